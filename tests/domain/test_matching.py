"""Matchers and the apps they recognise: each kind, version bounds, exceptions, and warnings about over-wide ones."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import matching
from gateway.domain.bans import Ban, Flag, Matcher, MatcherKind
from gateway.domain.errors import InvalidValue
from gateway.domain.inventory import App, AppOrigin, Platform
from gateway.domain.matching import (
    below,
    compiled,
    folded_name,
    matcher_from_text,
    matches,
    normalized_signer,
    specificity,
)
from tests.support.evidence_strategies import MAIL, SIDELOADED, TIKTOK, WECHAT, thorough

SIGNER = "sha256:" + "ab" * 32
TEAM = "ABCDE12345"
ANDROID = Platform.ANDROID


def of(kind: MatcherKind, text: str, *, below_version: str = "", publisher: str = "") -> Matcher:
    return replace(matcher_from_text(kind, text), below_version=below_version, publisher=publisher)


def app(
    app_id: str = "com.example.app", platform: Platform = ANDROID, version: str = "", code: int | None = None
) -> App:
    return App(platform, app_id, version=version, version_code=code)


def names(bans: tuple[Ban, ...], found: App) -> list[str]:
    return [ban.name for ban in compiled(bans).bans_of(found)]


# --- Exact ids, by the platform's own rule of case


@pytest.mark.parametrize("platform", [Platform.IOS, Platform.MACOS, Platform.WINDOWS])
def test_apple_and_windows_ids_know_no_case(platform: Platform) -> None:
    matcher = of(MatcherKind.ID, f"{platform}:com.Example.App")
    for index in (compiled((Ban("b", (matcher,)),)), compiled((Ban("b", (replace(matcher, platform=None),)),))):
        assert index.bans_of(app("COM.example.aPP", platform))
        assert not index.bans_of(app("com.example.app2", platform))


@pytest.mark.parametrize("platform", [Platform.ANDROID, Platform.LINUX, Platform.CHROME])
def test_other_ids_differ_by_case(platform: Platform) -> None:
    matcher = of(MatcherKind.ID, f"{platform}:com.Example.App")
    assert matches(matcher, app("com.Example.App", platform))
    assert not matches(matcher, app("com.example.app", platform))
    assert names((Ban("b", (matcher,)),), app("com.example.app", platform)) == []


def test_an_id_is_of_one_platform() -> None:
    ban = Ban("b", (of(MatcherKind.ID, "android:com.example.app"),))
    assert names((ban,), app()) == ["b"]
    assert names((ban,), app(platform=Platform.IOS)) == []
    everywhere = Ban("b", (Matcher(MatcherKind.ID, "com.example.app"),))
    assert names((everywhere,), app(platform=Platform.IOS)) == ["b"]


# --- Prefixes


@pytest.mark.parametrize(
    ("app_id", "hit"),
    [
        ("com.ss.android.ugc.aweme", True),
        ("com.ss.android.ugc", True),
        ("com.ss.android", False),
        ("com.ss.androidx", False),
        ("com.ss.androidx.ugc", False),
        ("org.com.ss.android.ugc", False),
        ("com.SS.android.ugc", False),
    ],
)
def test_a_prefix_ends_at_a_dot(app_id: str, hit: bool) -> None:
    assert matches(of(MatcherKind.ID, "android:com.ss.android.*"), app(app_id)) is hit


def test_a_prefix_folds_case_where_ids_do() -> None:
    assert matches(of(MatcherKind.ID, "ios:com.Example.*"), app("COM.example.game", Platform.IOS))


# --- Signer, team, extension, origin


def test_a_signer_is_one_of_the_app_s_signers() -> None:
    matcher = of(MatcherKind.SIGNER, "AB" * 32)
    assert matches(matcher, replace(app(), signers=("sha256:" + "00" * 32, SIGNER)))
    assert not matches(matcher, replace(app(), signers=("sha256:" + "00" * 32,)))
    assert not matches(matcher, app())


@pytest.mark.parametrize("text", ["ab" * 32, "AB" * 32, "SHA256:" + "ab" * 32, ":".join(["AB"] * 32), f" {'ab' * 32} "])
def test_all_spellings_of_a_signer_are_one(text: str) -> None:
    assert normalized_signer(text) == SIGNER


@pytest.mark.parametrize("text", ["", "ab" * 31, "ab" * 33, "xy" * 32, "sha1:" + "ab" * 20])
def test_what_is_no_sha_256_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="64 hex digits"):
        normalized_signer(text)


def test_a_team_id_is_exact_and_of_apple() -> None:
    matcher = of(MatcherKind.TEAM_ID, TEAM)
    assert matches(matcher, replace(app(platform=Platform.MACOS), team_id=TEAM))
    assert not matches(matcher, replace(app(platform=Platform.MACOS), team_id=TEAM.lower()))
    assert not matches(matcher, replace(app(), team_id=TEAM))


def test_an_extension_id_is_exact() -> None:
    matcher = of(MatcherKind.EXTENSION_ID, "aapbdbdomjkkjkaonfhkkikfgjllcleb")
    assert matches(matcher, app("aapbdbdomjkkjkaonfhkkikfgjllcleb", Platform.CHROME))
    assert not matches(matcher, app("AAPBDBDOMJKKJKAONFHKKIKFGJLLCLEB", Platform.CHROME))
    assert not matches(matcher, app("aapbdbdomjkkjkaonfhkkikfgjllcleb", Platform.WINDOWS))


def test_an_origin() -> None:
    assert matches(of(MatcherKind.ORIGIN, "sideload"), SIDELOADED)
    assert not matches(of(MatcherKind.ORIGIN, "marketplace"), SIDELOADED)
    assert not matches(of(MatcherKind.ORIGIN, "sideload"), TIKTOK)


# --- Names


@pytest.mark.parametrize(
    ("pattern", "name", "hit"),
    [
        ("TikTok", "tiktok", True),
        ("TikTok", "  Tik\u200bTok\u202e ", True),
        ("tiktok", "ＴｉｋＴｏｋ", True),
        ("TikTok", "TikTok Lite", False),
        ("TikTok*", "TikTok  Lite", True),
        ("AnyDesk ?", "AnyDesk 9", True),
        ("AnyDesk ?", "AnyDesk 10", False),
        ("*desk*", "AnyDesk 10", True),
        ("a[bc]d", "abd", False),
        ("a[bc]d", "A[BC]D", True),
        ("a.d", "axd", False),
        ("TikTok", "ТikTok", False),
    ],
)
def test_names_are_folded_and_matched_as_a_whole(pattern: str, name: str, hit: bool) -> None:
    assert matches(of(MatcherKind.NAME, pattern), replace(app(), name=name)) is hit


def test_a_publisher_narrows_a_name() -> None:
    matcher = of(MatcherKind.NAME, "TikTok", publisher="ByteDance*")
    assert matches(matcher, replace(app(), name="TikTok", publisher="BYTEDANCE Ltd."))
    assert not matches(matcher, replace(app(), name="TikTok", publisher="Somebody"))
    assert not matches(matcher, replace(app(), name="TikTok"))
    anything = replace(matcher, value="")
    assert matches(anything, replace(app(), name="CapCut", publisher="bytedance"))


def test_folded_names() -> None:
    assert folded_name(" Straße \t X\u200d ") == "strasse x"


@given(st.text(alphabet="ab*?[!]-. ", max_size=12), st.text(alphabet="ab*?[!]-. ", max_size=12))
def test_a_glob_is_stars_and_question_marks_only(pattern: str, name: str) -> None:
    pattern, name = folded_name(pattern), folded_name(name)
    if not pattern:
        return
    assert matches(Matcher(MatcherKind.NAME, pattern), replace(app(), name=name)) is _glob_matches(pattern, name)


def _glob_matches(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(_glob_matches(pattern[1:], name[start:]) for start in range(len(name) + 1))
    return bool(name) and pattern[0] in ("?", name[0]) and _glob_matches(pattern[1:], name[1:])


# --- Versions


@pytest.mark.parametrize(
    ("version", "bound", "lower"),
    [
        ("4.1", "4.2", True),
        ("4.2", "4.2", False),
        ("4.10", "4.2", False),
        ("4.2.0.0", "4.2", False),
        ("4", "4.0.1", True),
        ("4.1 (build 7)", "4.2", True),
        ("4.3 beta", "4.2", False),
        ("", "4.2", True),
        ("v4.3", "4.2", True),
        ("4.x", "4.2", True),
        ("9" * 200, "4.2", True),
        ("٤.٣", "4.2", True),
        ("4.3", "four", True),
    ],
)
def test_versions_are_numbers_between_dots_and_what_cannot_be_read_is_below(
    version: str, bound: str, lower: bool
) -> None:
    assert below(app(version=version, platform=Platform.IOS), bound) is lower


def test_on_android_a_whole_number_bounds_the_version_code() -> None:
    assert below(app(version="99.0", code=340099), "340100")
    assert not below(app(version="1.0", code=340100), "340100")
    assert below(app(version="34.1"), "340100")
    assert below(app(version="3.0", code=340100), "34.1")
    assert not below(app(version="34.1", platform=Platform.IOS, code=1), "34")


@pytest.mark.parametrize("bound", ["²", "٣"])
def test_a_bound_in_other_digits_cannot_be_read(bound: str) -> None:
    assert below(app(version="34.1", code=340100), bound)


@pytest.mark.parametrize("kind", list(MatcherKind))
def test_a_version_bounds_every_kind(kind: MatcherKind) -> None:
    values = {
        MatcherKind.ID: "com.example.app",
        MatcherKind.ID_PREFIX: "com.example",
        MatcherKind.SIGNER: SIGNER,
        MatcherKind.TEAM_ID: TEAM,
        MatcherKind.EXTENSION_ID: "com.example.app",
        MatcherKind.ORIGIN: "sideload",
        MatcherKind.NAME: "app",
    }
    found = App(
        *(Platform.MACOS, "com.example.app", "App", "4.1"),
        team_id=TEAM,
        signers=(SIGNER,),
        origin=AppOrigin.SIDELOAD,
    )
    matcher = Matcher(kind, values[kind], Platform.MACOS, below_version="4.2")
    for index in (compiled((Ban("b", (matcher,)),)), compiled((Ban("b", (replace(matcher, platform=None),)),))):
        assert index.bans_of(found)
        assert not index.bans_of(replace(found, version="4.2"))


# --- Bans and exceptions

VENDOR = of(MatcherKind.ID, "android:com.tencent.*")
OLD_WECHAT = of(MatcherKind.ID, f"android:{WECHAT.id}", below_version="9")


def test_all_bans_of_an_app_in_the_order_of_the_policy() -> None:
    vendor, exact = Ban("vendor", (VENDOR,)), Ban("exact", (of(MatcherKind.ID, f"android:{WECHAT.id}"),))
    assert names((vendor, exact), WECHAT) == ["vendor", "exact"]
    assert names((exact, vendor), WECHAT) == ["exact", "vendor"]
    assert names((vendor, exact), MAIL) == []


@pytest.mark.parametrize(
    ("matcher", "exception", "excepted"),
    [
        (VENDOR, of(MatcherKind.ID, f"android:{WECHAT.id}"), True),
        (VENDOR, VENDOR, True),
        (VENDOR, of(MatcherKind.NAME, "WeChat"), False),
        (VENDOR, of(MatcherKind.ID, "android:com.tencent.other"), False),
        (of(MatcherKind.ID, f"android:{WECHAT.id}"), VENDOR, False),
        (of(MatcherKind.NAME, "WeChat"), VENDOR, True),
        (
            of(MatcherKind.ID, f"android:{WECHAT.id}", below_version="9"),
            of(MatcherKind.ID, f"android:{WECHAT.id}"),
            False,
        ),
        (VENDOR, of(MatcherKind.ID, f"android:{WECHAT.id}", below_version="9"), True),
    ],
)
def test_an_exception_counts_where_it_is_at_least_as_specific(
    matcher: Matcher, exception: Matcher, excepted: bool
) -> None:
    ban = Ban("b", (matcher,), (exception,))
    assert names((ban,), replace(WECHAT, version="1.0")) == ([] if excepted else ["b"])


def test_the_most_specific_matcher_that_hits_sets_the_mark() -> None:
    ban = Ban("b", (VENDOR, of(MatcherKind.ID, f"android:{WECHAT.id}")), (VENDOR,))
    assert names((ban,), WECHAT) == ["b"]
    assert names((ban,), app("com.tencent.mobileqq")) == []


def test_an_exception_of_one_ban_frees_of_no_other() -> None:
    free = Ban("free", (VENDOR,), (VENDOR,))
    assert names((free, Ban("b", (VENDOR,))), WECHAT) == ["b"]


def test_kinds_by_strength() -> None:
    order = [
        MatcherKind.ID,
        MatcherKind.SIGNER,
        MatcherKind.ID_PREFIX,
        MatcherKind.NAME,
        MatcherKind.ORIGIN,
    ]
    strengths = [specificity(Matcher(kind, "x")) for kind in order]
    assert strengths == sorted(strengths, reverse=True)
    assert len(set(strengths)) == len(strengths)
    assert specificity(Matcher(MatcherKind.ID, "x", below_version="1")) > specificity(Matcher(MatcherKind.ID, "x"))


matchers = st.builds(
    Matcher,
    st.sampled_from(MatcherKind),
    st.sampled_from(["com.a.b", "com.a", "COM.A.b", "sideload", "A*", SIGNER, TEAM]),
    st.sampled_from([None, Platform.ANDROID, Platform.IOS]),
    below_version=st.sampled_from(["", "2"]),
)
found_apps = st.builds(
    App,
    st.sampled_from([Platform.ANDROID, Platform.IOS]),
    st.sampled_from(["com.a.b", "com.a", "com.A.B", "com.a.b.c"]),
    st.sampled_from(["A", "Ab", "b"]),
    st.sampled_from(["1", "2"]),
    team_id=st.sampled_from(["", TEAM]),
    signers=st.sampled_from([(), (SIGNER,)]),
    origin=st.sampled_from(AppOrigin),
)
some_bans = st.builds(
    Ban, st.just("b"), st.lists(matchers, max_size=3).map(tuple), st.lists(matchers, max_size=2).map(tuple)
)


@thorough
@given(st.lists(some_bans, max_size=3), found_apps)
def test_the_index_answers_as_a_look_at_every_matcher_would(bans: list[Ban], found: App) -> None:
    expected = []
    for ban in bans:
        strengths = [specificity(matcher) for matcher in ban.matchers if matches(matcher, found)]
        undone = [specificity(matcher) for matcher in ban.exceptions if matches(matcher, found)]
        if strengths and max(strengths) > max(undone, default=-1):
            expected.append(ban)
    index = compiled(bans)
    assert list(index.bans_of(found)) == expected
    assert list(index.bans_of(found)) == expected


def test_the_memory_of_answers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "REMEMBERED_APPS", 3)
    index = compiled((Ban("b", (VENDOR,)),))
    for number in range(10):
        assert index.bans_of(app(f"com.tencent.a{number}"))
        assert len(index._answers) <= 3


@thorough
@given(st.lists(some_bans, max_size=3), st.lists(some_bans, max_size=3), st.lists(found_apps, max_size=4), st.data())
def test_an_index_after_another_answers_as_one_by_itself(
    earlier: list[Ban], bans: list[Ban], found: list[App], data: st.DataObject
) -> None:
    """Also where matchers are the same, and only what follows from them differs."""
    before = compiled(earlier)
    for each in found[:2]:
        before.bans_of(each)
    match data.draw(st.sampled_from(("others", "flags", "more"))):
        case "flags":
            bans = [replace(ban, flag=Flag.ENFORCE, text="another") for ban in earlier]
        case "more":
            bans = [*(replace(ban, flag=Flag.ENFORCE) for ban in earlier), *bans]
    after, alone = compiled(bans, before), compiled(bans)
    for each in found:
        assert after.bans_of(each) == alone.bans_of(each)
    assert after.caught_of(found) == alone.caught_of(found)
    assert [before.bans_of(each) for each in found] == [compiled(earlier).bans_of(each) for each in found]


def test_a_flag_that_is_set_costs_no_new_look_at_apps() -> None:
    before = compiled((Ban("b", (VENDOR,)),))
    before.bans_of(app("com.tencent.a"))
    after = compiled((Ban("b", (VENDOR,), flag=Flag.ENFORCE),), before)
    assert after._answers is before._answers
    assert [ban.flag for ban in after.bans_of(app("com.tencent.a"))] == [Flag.ENFORCE]
    assert compiled((Ban("b", (of(MatcherKind.TEAM_ID, TEAM),)),), before)._answers == {}


def test_a_ban_by_ids_that_is_added_costs_a_look_at_the_apps_that_it_names() -> None:
    known = (app("com.tencent.a"), app("com.example.B"), app("COM.example.b", Platform.IOS), app("com.example.c"))
    before = compiled((Ban("vendor", (VENDOR,)),))
    before.caught_of(known)
    named = Ban("named", (of(MatcherKind.ID, "android:com.example.B"), of(MatcherKind.ID, "ios:com.example.B")))
    after = compiled((*before.bans, named), before)
    assert set(after._answers) == set(known)
    assert after.newly_caught == {"com.example.B", "COM.example.b"}
    assert [ban.name for each in known for ban in after.bans_of(each)] == ["vendor", "named", "named"]
    assert before.newly_caught == frozenset()
    assert [ban.name for each in known for ban in before.bans_of(each)] == ["vendor"]
    # By anything else than ids every app has to be looked at.
    by_name = Ban("by name", (of(MatcherKind.NAME, "B*"),))
    assert compiled((*before.bans, by_name), before)._answers == {}


def test_what_an_exception_leaves_alone_is_not_newly_caught() -> None:
    before = compiled(())
    before.caught_of([app(version="3")])
    spared = Ban(
        "b", (of(MatcherKind.ID, "android:com.example.app"),), (of(MatcherKind.ID, "android:com.example.app"),)
    )
    assert compiled((spared,), before).newly_caught == frozenset()
