"""Names of the targets and where files are, without importing any target: the coverage engine must come first."""

from pathlib import Path

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
FINDINGS = HERE / "findings"

NAMES = (
    *("heads", "usual", "usual-answers", "streams", "chunks", "answers", "documents", "queries", "credentials"),
    *("device-credentials", "discovery", "places", "reports", "signatures", "imap", "pop3", "submission", "postfix"),
    *("dovecot", "spop", "askers", "envoy", "notices", "balancers", "certificates", "bounces"),
    "connection-logins",
)


def kept(name: str) -> list[bytes]:
    """The inputs that are kept for a target."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
