"""What a scanner of the trade (sslyze) finds at a real gateway, with certificates of both kinds."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.live.tls.secured import CORPORATE, Secured

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCANNER = Path(__file__).resolve().parents[3] / ".venv/scanner/bin/sslyze"
"""By ``tests/live/scanner.sh``."""
AEAD = ("_GCM_SHA256", "_GCM_SHA384", "_CHACHA20_POLY1305_SHA256")


async def scanned(secure: Secured, name: str, directory: Path) -> dict[str, Any]:
    """The scanner's findings, by the names of its commands."""
    if not SCANNER.exists():
        pytest.skip("sslyze is not installed (tests/live/scanner.sh)")
    out = directory / "found.json"
    process = await asyncio.create_subprocess_exec(
        *(str(SCANNER), f"--json_out={out}", "--certinfo_ca_file", str(secure.authority.certificate)),
        *("--sni", name, "--mozilla_config=disable", "--resum", "--early_data", "--certinfo", "--compression"),
        *("--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3", "--fallback", "--ems"),
        *("--heartbleed", "--robot", "--openssl_ccs", "--reneg", "--elliptic_curves", f"127.0.0.1:{secure.port}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode == 0, said.decode()
    (server,) = json.loads(out.read_text())["server_scan_results"]
    found = {command: told for command, told in server["scan_result"].items() if told["status"] != "NOT_SCHEDULED"}
    assert {told["status"] for told in found.values()} == {"COMPLETED"}
    return {command: told["result"] for command, told in found.items()}


@pytest.mark.parametrize("name", ["localhost", CORPORATE])
async def test_the_scanner_has_nothing_to_say(secure: Secured, name: str, tmp_path: Path) -> None:
    found = await scanned(secure, name, tmp_path)
    for old in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
        assert found[f"{old}_cipher_suites"]["accepted_cipher_suites"] == [], old
        assert found[f"{old}_cipher_suites"]["is_tls_version_supported"] is False
    for version in ("tls_1_2", "tls_1_3"):
        accepted = [
            each["cipher_suite"]["name"] for each in found[f"{version}_cipher_suites"]["accepted_cipher_suites"]
        ]
        assert len(accepted) == 3
        assert all(suite.endswith(AEAD) for suite in accepted), accepted
        assert all(each["ephemeral_key"] for each in found[f"{version}_cipher_suites"]["accepted_cipher_suites"])
        if version == "tls_1_2":
            assert all(suite.startswith("TLS_ECDHE_") for suite in accepted)
    assert found["tls_compression"] == {"supports_compression": False}
    assert found["openssl_ccs_injection"] == {"is_vulnerable_to_ccs_injection": False}
    assert found["heartbleed"] == {"is_vulnerable_to_heartbleed": False}
    assert found["robot"] == {"robot_result": "NOT_VULNERABLE_RSA_NOT_SUPPORTED"}
    assert found["tls_fallback_scsv"] == {"supports_fallback_scsv": True}
    assert found["tls_extended_master_secret"] == {"supports_ems_extension": True}
    assert found["tls_1_3_early_data"] == {"supports_early_data": False}
    assert found["session_renegotiation"] == {
        "supports_secure_renegotiation": True,
        "is_vulnerable_to_client_renegotiation_dos": False,
        "client_renegotiations_success_count": 0,
    }
    curves = {each["name"] for each in found["elliptic_curves"]["supported_curves"]}
    assert {"X25519", "prime256v1"} <= curves | {"prime256v1" if "secp256r1" in curves else ""}
    assert curves <= {"X25519", "X448", "prime256v1", "secp256r1", "secp384r1", "secp521r1"}
    deployed = found["certificate_info"]["certificate_deployments"][0]
    assert deployed["received_chain_has_valid_order"]
    assert not deployed["verified_chain_has_sha1_signature"]
    trusted = {
        each["trust_store"]["name"]: each["was_validation_successful"] for each in deployed["path_validation_results"]
    }
    assert trusted["Supplied CA file"]


async def test_the_chain_is_served(secure: Secured, tmp_path: Path) -> None:
    """The file's further certificates go along."""
    kept = secure.own.certificate.read_bytes()
    before = secure.logged("certificate_reloaded")
    secure.own.certificate.write_bytes(kept + secure.authority.certificate.read_bytes())
    await secure.until_logged("certificate_reloaded", before + 2)
    found = await scanned(secure, "localhost", tmp_path)
    (deployed, *_) = found["certificate_info"]["certificate_deployments"]
    assert len(deployed["received_certificate_chain"]) == 2
    assert deployed["received_chain_has_valid_order"]
