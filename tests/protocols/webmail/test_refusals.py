"""Each rule refuses in its own form, and whatever an app is called, the form stays whole."""

import json
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from gateway.protocols.webmail.paths import Rule
from gateway.protocols.webmail.refusals import deny


@given(st.text(max_size=300), st.text(max_size=2000))
def test_dav_has_an_error_that_a_reader_understands(app: str, note: str) -> None:
    answer = deny(Rule.DAV, app, note)
    assert answer.status == 403
    error = ElementTree.fromstring(answer.body)  # noqa: S314  (our own)
    assert [each.tag for each in (error, *error)] == [
        *("{DAV:}error", "{DAV:}need-privileges", "{DAV:}responsedescription")
    ]
    assert "blocked by your organization" in (error[1].text or "")


@given(st.text(max_size=300), st.text(max_size=2000))
def test_jmap_has_a_problem(app: str, note: str) -> None:
    answer = deny(Rule.JMAP, app, note)
    assert dict(answer.headers)["Content-Type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert (answer.status, problem["status"], problem["type"]) == (403, 403, "about:blank")
    assert "blocked by your organization" in problem["detail"]


def test_the_others_have_text() -> None:
    for rule in (Rule.EWS, Rule.MAPI):
        answer = deny(rule, "TikTok", "Remove it.")
        assert (answer.status, dict(answer.headers)["Content-Type"]) == (403, "text/plain; charset=utf-8")
        assert b"TikTok" in answer.body
