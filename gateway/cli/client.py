"""A client of the admin API that turns every failure into one clear sentence."""

import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from gateway.cli.address import Address
from gateway.cli.failures import Failed, Unclear, Waits

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
LEFT_OPEN = ", so it is not known whether this was done"
NEEDS_APPROVAL = "urn:gatepost:problem:needs_approval"


class AdminClient:
    """One connection to the API at ``/api/v1``."""

    def __init__(self, address: Address) -> None:
        import httpx  # not above: ``gatepost run`` need not wait for it

        self._url = address.url
        try:
            self._http = httpx.Client(
                base_url=f"{address.url}/api/v1",
                headers={"Authorization": f"Bearer {address.token}", "Accept": "application/json"},
                timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
                verify=address.tls(),
                # The gateway's own machine needs no proxy, and a token does not belong on one.
                trust_env=False,
            )
        except (OSError, ssl.SSLError) as error:
            raise Failed(f"certificate {address.certificate} cannot be read: {error}") from None

    def __enter__(self) -> "AdminClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def get(self, path: str, **query: str | int | Sequence[str] | None) -> dict[str, Any]:
        """The answer to a GET."""
        return self._ask("GET", path, query=query)

    def post(self, path: str, body: dict[str, Any], **query: str) -> dict[str, Any]:
        """The answer to a POST."""
        return self._ask("POST", path, body, query)

    def put(self, path: str, body: dict[str, Any], **query: str) -> dict[str, Any]:
        """The answer to a PUT."""
        return self._ask("PUT", path, body, query)

    def delete(self, path: str, **query: str | int | None) -> dict[str, Any]:
        """The answer to a DELETE."""
        return self._ask("DELETE", path, query=query)

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, query: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        import httpx

        asked = {key: value for key, value in (query or {}).items() if value not in (None, "")}
        # By neither can anything have been done.
        looked = method == "GET" or bool((body or {}).get("dry_run"))
        try:
            response = self._http.request(method, path, json=body, params=asked)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if "certificate" in str(error).lower():
                raise Failed(f"the certificate of {self._url} is not trusted: {error}") from None
            raise Failed(f"no Gatepost answers at {self._url}: is it running (gatepost run)?") from None
        except httpx.HTTPError as error:
            late = " in time" if isinstance(error, httpx.TimeoutException) else ""
            left_open = "" if looked else LEFT_OPEN
            raise Unclear(f"Gatepost at {self._url} did not answer{late}{left_open}: see its log") from None
        return self._read(response, looked=looked)

    def _read(self, response: "httpx.Response", *, looked: bool) -> dict[str, Any]:
        """The answer; ``looked``: nothing can have been done."""
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.is_success and isinstance(answer, dict):
            return answer
        if isinstance(answer, dict) and isinstance(answer.get("detail"), str):
            if answer.get("type") == NEEDS_APPROVAL:
                raise Waits(answer["detail"], answer)
            raise (Unclear if response.is_server_error else Failed)(answer["detail"])
        said = f"{self._url} answered {response.status_code}, not as a Gatepost does"
        if not looked and (response.is_success or response.is_server_error):
            # A front proxy's word: it may have lost the answer of a Gatepost behind it.
            raise Unclear(f"{said}{LEFT_OPEN}: check the address, and what stands before Gatepost there")
        raise Failed(f"{said}: check the address")


def segment(text: str) -> str:
    """A name as one segment of a path."""
    return quote(text, safe="")
