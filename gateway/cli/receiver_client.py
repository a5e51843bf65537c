"""Delivers one signed report to the receiver and turns every failure into one clear sentence."""

import ssl
from typing import TYPE_CHECKING, Any

from gateway.cli.address import Address
from gateway.cli.client import ANSWER_SECONDS, CONNECT_SECONDS
from gateway.cli.failures import Failed

if TYPE_CHECKING:
    import httpx

PATH = "/inventory/v1/reports"
MEDIA_TYPE = "application/cloudevents+json"
ERRORS_TOLD = 3


def deliver(address: Address, body: bytes, headers: dict[str, str], source: str) -> dict[str, Any]:
    """The acknowledgement of a report. Raises ``Failed`` for everything else."""
    import httpx  # not above: ``gatepost run`` need not wait for it

    try:
        with httpx.Client(
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            verify=address.tls(),
            # As for the admin API: what one's phone holds does not belong on a proxy.
            trust_env=False,
        ) as client:
            given = {**headers, "Content-Type": MEDIA_TYPE}
            response = client.post(f"{address.url}{PATH}", content=body, headers=given)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        if "certificate" in str(error).lower():
            raise Failed(f"the certificate of {address.url} is not trusted: {error}") from None
        raise Failed(f"no Gatepost receives reports at {address.url}: is it running (gatepost run)?") from None
    except httpx.HTTPError as error:
        # It may have been taken.
        late = " in time" if isinstance(error, httpx.TimeoutException) else ""
        raise Failed(f"{address.url} did not answer{late}: send the same file again, it counts once") from None
    except (OSError, ssl.SSLError) as error:
        raise Failed(f"certificate {address.certificate} cannot be read: {error}") from None
    return _read(response, address.url, source)


def _read(response: "httpx.Response", url: str, source: str) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        answer = {}
    if response.is_success and isinstance(answer.get("status"), str):
        return answer
    if response.is_success or not isinstance(answer.get("detail"), str):
        raise Failed(f"{url} answered {response.status_code}, not as a Gatepost does: check the address")
    raise Failed(_refused(response, answer, source))


def _refused(response: "httpx.Response", problem: dict[str, Any], source: str) -> str:
    """What the receiver said, with what the sender does next."""
    detail = str(problem["detail"])
    if response.status_code == 401:
        return f"not taken as of source {source}: {detail}"
    if response.status_code == 404:
        return f"nobody receives reports at {response.url}: is that the URL of [inventory] listen?"
    after = response.headers.get("Retry-After")
    if after:
        return f"{detail} (after {after} s; the same file counts once)"
    more = [f"{each['pointer']}: {each['detail']}" for each in _others(problem)]
    return "; ".join([detail, *more])


def _others(problem: dict[str, Any]) -> list[dict[str, str]]:
    """What else is wrong beside the first error, which the detail tells; not all of it."""
    errors = problem.get("errors")
    whole = [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    return [each for each in whole[1 : 1 + ERRORS_TOLD] if {"pointer", "detail"} <= each.keys()]
