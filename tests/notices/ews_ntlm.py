"""The accepting side of NTLM over HTTP, by pyspnego, with Extended Protection: bound to another connection it fails."""

import base64
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import spnego
from spnego._ntlm_raw.messages import Authenticate, AvId, NTClientChallengeV2
from spnego.channel_bindings import GssChannelBindings


class Acceptor:
    """One connection: from the second message on it is somebody's, or nobody's."""

    def __init__(self, certificate: bytes) -> None:
        """``certificate``: the server's, DER, signed by SHA-256."""
        self._bindings = GssChannelBindings(
            application_data=b"tls-server-end-point:" + hashlib.sha256(certificate).digest()
        )
        self._context: Any = None
        self.user = ""
        self.refused = ""

    def asked(self, shown: str) -> str:
        """What stands in WWW-Authenticate of the 401; empty: it is in."""
        scheme, _, value = shown.partition(" ")
        if self.user and not shown:
            return ""
        if scheme != "NTLM":
            return "NTLM"
        token = base64.b64decode(value)
        if self._context is None:
            options = spnego.NegotiateOptions.use_ntlm
            self._context = spnego.server(protocol="ntlm", options=options, channel_bindings=self._bindings)
            return "NTLM " + base64.b64encode(self._context.step(token)).decode()
        context, self._context = self._context, None
        try:
            context.step(token)
        except spnego.exceptions.SpnegoError as error:
            self.refused = str(error)
            return "NTLM"
        # pyspnego takes bindings of zeros for none; Exchange with Extended Protection does not.
        response = Authenticate.unpack(token).nt_challenge_response
        assert response is not None
        told = NTClientChallengeV2.unpack(response[16:]).av_pairs
        if told[AvId.channel_bindings] == b"\x00" * 16:
            self.refused = "no channel bindings"
            return "NTLM"
        self.user = str(context.client_principal)
        return ""


@contextmanager
def accounts(*lines: str) -> Iterator[None]:
    """Accounts as ``DOMAIN:user:password``, which pyspnego reads from a file named by a variable."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "accounts"
        file.write_text("\n".join(lines))
        before = os.environ.get("NTLM_USER_FILE")
        os.environ["NTLM_USER_FILE"] = str(file)
        try:
            yield
        finally:
            os.environ.pop("NTLM_USER_FILE")
            if before is not None:
                os.environ["NTLM_USER_FILE"] = before
