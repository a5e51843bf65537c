"""Reading a policy file: what is wrong is told with line, key and remedy; nothing that a text holds takes long."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.changes.policy_file import LINE_LONGEST, LONGEST, read
from gateway.changes.policy_lines import line_of
from gateway.domain.bans import Flag
from gateway.domain.errors import InvalidValue

WHOLE = """\
# What the works council agreed to.
based_on = 7

[flags]
global = "on"

[[bans.ban]]
name = "TikTok"   # [[ not a table ]]
id = [
  "android:com.zhiliaoapp.musically",
  { value = "ios:com.zhiliaoapp.musically", below_version = "9" },
]
text = \"\"\"
[[bans.ban]]
Please remove it.\"\"\"
flag = "enforce"

[[bans.ban]]
name = "Old"
flag = "off"
rules = [{ flag = "enforce", percent = 10 }, { flag = "enforce", group = "a" }]

[rollout]
stages = [
  { report_only_for = "24h" },
  { everybody = true },
]
"""


def test_a_whole_file() -> None:
    file = read(WHOLE)
    assert file.text == WHOLE
    document = file.document
    assert (document.based_on, document.flags.switch) == (7, "on")
    tiktok, old = document.bans.ban
    assert [each.value for each in tiktok.id] == ["android:com.zhiliaoapp.musically", "ios:com.zhiliaoapp.musically"]
    assert (tiktok.flag, old.rules[0].percent) == (Flag.ENFORCE, 10)
    assert document.rollout.stages[0].report_only_for == 86_400


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("based_on",), 2),
        (("flags",), 4),
        (("flags", "global"), 5),
        (("bans", "ban", 0), 7),
        (("bans", "ban", 0, "name"), 8),
        (("bans", "ban", 0, "id", 1), 11),
        (("bans", "ban", 0, "id", 1, "below_version"), 11),
        (("bans", "ban", 0, "flag"), 16),
        (("bans", "ban", 1), 18),
        (("bans", "ban", 1, "rules", 1, "group"), 21),
        (("rollout", "stages", 1), 26),
        (("rollout", "nothing"), 23),
        (("nowhere",), None),
    ],
)
def test_where_it_stands(path: tuple[str | int, ...], line: int | None) -> None:
    assert line_of(WHOLE, path) == line


def test_tables_within_an_entry_belong_to_it() -> None:
    text = '[[a]]\nx = 1\n[a.b]\ny = 2\n[[a]]\n[a.b]\n"y" = [[1], [\n2]]\nz.w = 3\n'
    assert line_of(text, ("a", 0, "b", "y")) == 4
    assert line_of(text, ("a", 1, "b", "y", 1, 0)) == 8
    assert line_of(text, ("a", 1, "b", "z", "w")) == 9


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[flags]\nglbal = "on"', "line 2, flags.glbal: there is no key glbal: did you mean global?"),
        ("[zebra]", "line 1, zebra: there is no key zebra: there are based_on, title, note, flags, unknown, bans, "),
        (
            '[[bans.ban]]\nname = "a"\nflag = "maybe"',
            "line 3, bans.ban[1].flag: 'maybe': write 'off', 'report-only' or 'enforce'",
        ),
        ('[[bans.ban]]\nflag = "off"', "line 1, bans.ban[1].name: it has to be there"),
        ('[[bans.ban]]\nname = "a"\ngrup = "x"', "there is no key grup: did you mean group?"),
        ('[bans]\ncomplete = "yes"', "line 2, bans.complete: 'yes': write true or false"),
        ('based_on = "7"', "line 1, based_on: '7': write a whole number"),
        (
            '[[bans.ban]]\nname = "a"\nstarts = 2026-01-31',
            "line 3, bans.ban[1].starts: 2026-01-31 has no time zone: write it like 2026-01-31T08:00+01:00",
        ),
        (
            '[[bans.ban]]\nname = "a"\nstarts = "soon"',
            "bans.ban[1].starts: 'soon' is no moment: write 2026-01-31T08:00+01:00",
        ),
        ('[[bans.ban]]\nname = "a"\nends = 5', "a moment is a text"),
        ("[flags]\ngrace = 3", 'line 2, flags.grace: a length of time is a text: write "30m"'),
        ('[flags]\ngrace = "long"', "'long' is no length of time: write 30m, 12h, 2d or 1w"),
        ('[unknown]\nstale = "perhaps"', "line 2, unknown.stale.setting: 'perhaps': write 'allow'"),
        ("[rollout]\nstages = [{ percent = 101 }]", "rollout.stages[1].percent: 101: write 100.0 or less"),
        ("[rollout]\nstop = { wrong = -1 }", "line 2, rollout.stop.wrong: -1: write 0 or more"),
        ("flags = 5", "line 1, flags: 5: write a table"),
        ("a = [1,", "this is no TOML text: "),
        ("[a]\n[a]", "(at line 2, column 3)"),
        (f"based_on = {'9' * 5000}", "this is no TOML text: "),
        (f"x = {'[' * 5000}{']' * 5000}", "lie too deep in one another"),
        ("x" * (LINE_LONGEST + 1), f"line 1 has more than {LINE_LONGEST} characters"),
        ("\n" * (LONGEST + 1), f"at most {LONGEST} characters"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, sentence: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        read(text)
    assert sentence in str(refused.value)


def test_an_answer_in_a_file_of_the_longest_is_there_soon() -> None:
    keys = "".join(
        f"[[bans.ban]]\nname = 'b{number}'\nid = 'android:com.example.a{number}'\n" for number in range(5001)
    )
    began = time.process_time()
    with pytest.raises(InvalidValue, match=r"bans\.ban: it has at most 5000 entries"):
        read(keys)
    assert time.process_time() - began < 5.0


_PIECES = ["[", "]", "[[", "]]", "{", "}", ",", "=", ".", "\n", '"', "'", '"""', "'''", "#", "a", "b", "1", " ", "\\"]


@given(st.lists(st.sampled_from(_PIECES), max_size=40).map("".join))
def test_no_text_keeps_the_search_for_a_line_going(text: str) -> None:
    """Also of texts that are no TOML: it ends, whatever it finds."""
    line_of(text, ("a", 0, "b"))


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_a_sentence(text: str) -> None:
    try:
        assert read(text).text == text
    except InvalidValue as error:
        sentence = str(error)
    else:
        return
    assert sentence
