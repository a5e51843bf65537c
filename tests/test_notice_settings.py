"""[notices]: which servers and logins fit each other, and what is said where they do not."""

import pytest

from gateway.settings import SettingsInvalid, check_complete, load_settings
from tests.system.desk import documented

SMTP = "smtp+starttls://mail.internal:25"
EWS = "ews+https://mail.internal/EWS/Exchange.asmx"
LOGIN = {"USERNAME": "gatepost", "PASSWORD": "hidden"}
TOKEN = {"LOGIN": "oauth", "TOKEN_URL": "https://id.example/token", **LOGIN}


def environment(**told: str) -> dict[str, str]:
    named = {f"GATEPOST_NOTICES__{name}": value for name, value in told.items()}
    return {"GATEPOST_HTTP__UPSTREAM": "https://mail.internal", **named}


@pytest.mark.parametrize(
    "told",
    [
        {"SERVER": SMTP},
        {"SERVER": SMTP, **LOGIN},
        {"SERVER": SMTP, **TOKEN},
        {"SERVER": "smtps://mail.internal", **LOGIN},
        {"SERVER": "smtp://127.0.0.1:25"},
        {"SERVER": "smtp://[::1]:25"},
        {"SERVER": EWS, **LOGIN},
        {"SERVER": EWS, **LOGIN, "LOGIN": "ntlm", "IMPERSONATE": "true", "CHOOSE_MESSAGE_ID": "true"},
        {"SERVER": EWS, **TOKEN},
        {"SERVER": SMTP, **LOGIN, "BOUNCES": "imaps://mail.internal"},
        {"SERVER": SMTP, "BOUNCES": "imap://127.0.0.1:143", "BOUNCES_USERNAME": "b", "BOUNCES_PASSWORD": "hidden"},
        {"SERVER": "ews+https://mail.outlook.com.corp.example", **LOGIN},
    ],
)
def test_what_fits(told: dict[str, str]) -> None:
    check_complete(load_settings(None, environment(SENDER="notices@corp.example", **told)), "all")


def test_the_path_of_ews_is_the_usual_one() -> None:
    assert load_settings(None, environment(SERVER="ews+https://mail.internal")).notices.server == EWS


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({}, "[notices] server is not set: write the mail server that takes notices"),
        ({"SERVER": "smtp://mail.internal:25"}, "would be spoken to in clear text"),
        ({"SERVER": SMTP, "USERNAME": "gatepost"}, "username is set, but password is not"),
        ({"SERVER": SMTP, **LOGIN, "LOGIN": "ntlm"}, 'login = "ntlm" is for Exchange'),
        ({"SERVER": SMTP, "IMPERSONATE": "true"}, "impersonate is for Exchange"),
        ({"SERVER": SMTP, **LOGIN, "LOGIN": "oauth"}, 'login = "oauth" needs token_url'),
        ({"SERVER": SMTP, **TOKEN, "LOGIN": "password"}, "token_url is set, but no token is asked for"),
        ({"SERVER": EWS}, "username is not set: Exchange takes notices from who logs in only"),
        ({"SERVER": "ews+https://outlook.office365.com/EWS/Exchange.asmx", **TOKEN}, "Exchange Online, which ends EWS"),
        ({"SERVER": SMTP, **LOGIN, "BOUNCES": "imap://mail.internal"}, "would be read in clear text"),
        ({"SERVER": SMTP, "BOUNCES": "imaps://mail.internal"}, "bounces needs a login by password"),
        ({"SERVER": SMTP, **LOGIN, "BOUNCES": "imaps://m", "BOUNCES_USERNAME": "b"}, "belong together"),
        ({"SERVER": SMTP, "LANGUAGE": "fr"}, "[notices] language 'fr': there are notices in de, en, es: write one"),
        ({"SERVER": SMTP, "TEMPLATES": "/nowhere"}, "[notices] templates /nowhere is no directory: correct it"),
        ({"SERVER": SMTP, "SERVER_CA": "/nowhere.pem"}, "[notices] server_ca: there is no file /nowhere.pem"),
    ],
)
def test_what_does_not(told: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        check_complete(load_settings(None, environment(SENDER="notices@corp.example", **told)), "all")
    assert sentence in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert documented(str(caught.value)), str(caught.value)


@pytest.mark.parametrize(
    "told",
    [
        {"SERVER": "ews+http://mail.internal/EWS/Exchange.asmx"},
        {"SERVER": "ews://mail.internal"},
        {"SERVER": "ews+https://gatepost:hidden@mail.internal/EWS"},
        {"SERVER": "https://mail.internal"},
        {"TOKEN_URL": "http://id.example/token"},
        {"TOKEN_URL": "https://client:hidden@id.example/token"},
        {"LOGIN": "cram-md5"},
        {"TIME_ZONE": "Europe/Berln"},
        {"TIME_ZONE": ""},
        {"SENDER_NAME": "Mail access\r\nBcc: everybody@corp.example"},
    ],
)
def test_what_no_key_takes(told: dict[str, str]) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(None, environment(**told))
    assert f"GATEPOST_NOTICES__{next(iter(told))}" in str(caught.value)
    assert "hidden" not in str(caught.value)
