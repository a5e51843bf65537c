"""NTLM at Exchange, bound to the TLS connection as Extended Protection wants it (RFC 5929 4.1, [MS-NLMP] 3.1.5.1.2).

requests_ntlm takes the certificate from an answer that is still being read; ours are read whole, in bounds, before
anybody sees them. So the certificate is the one that the attempt's own connection was shown.
"""

from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from requests_ntlm import HttpNtlmAuth

from gateway.notices.exchange_wire import certificate_here


class BoundNtlm(HttpNtlmAuth):
    """A login by NTLM; it repeats a request twice on one connection, each behind a 401."""

    def _get_server_cert(self, response: Any) -> bytes | None:
        certificate = certificate_here()
        return end_point_hash(certificate) if certificate else None


def end_point_hash(certificate: bytes) -> bytes | None:
    """``tls-server-end-point`` of a DER certificate; None where RFC 5929 defines none."""
    try:
        algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        return None
    weak = algorithm is None or algorithm.name in ("md5", "sha1")
    digest = hashes.Hash(hashes.SHA256() if weak or algorithm is None else algorithm)
    digest.update(certificate)
    return digest.finalize()
