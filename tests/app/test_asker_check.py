"""``gatepost check --asker``: each asker's question to real listeners, and the answers in words."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.app.asker_check import Answered, check_asker
from gateway.app.asker_names import AskerName
from gateway.domain.errors import DomainError
from gateway.settings import Settings
from tests.support.asking import Asking, asking

WITH_DEVICE = {AskerName.NGINX, AskerName.CADDY, AskerName.TRAEFIK, AskerName.ENVOY, AskerName.HAPROXY}


@pytest.fixture
async def authz(tmp_path: Path) -> AsyncIterator[Asking]:
    """Anna's phone is clean, Bert's is not."""
    async with asking(tmp_path, dovecot_proved=True) as made:
        made.clean("anna@corp.example", "annaphone")
        made.dirty("bert@corp.example", "bertphone")
        yield made


def settings_of(authz: Asking, **keys: object) -> Settings:
    return Settings.model_validate(
        {
            "authz": {"listen": [authz.http.replace("tcp:", "http:")], "key_files": [str(authz.key_file)], **keys},
            "haproxy": {"listen": [authz.haproxy]},
            "postfix": {"listen": [authz.postfix]},
        }
    )


async def told(authz: Asking, name: AskerName, user: str, device: str) -> Answered:
    return await asyncio.to_thread(check_asker, settings_of(authz), name, user, device)


@pytest.mark.parametrize("name", list(AskerName))
async def test_the_verdicts_of_each(authz: Asking, name: AskerName) -> None:
    allowed = await told(authz, name, "anna", "ANNAPHONE")
    assert allowed.verdict == "allow"
    assert allowed.sentence.startswith("let in; judged by")
    assert ("this device (ANNAPHONE)" in allowed.sentence) == (name in WITH_DEVICE)
    refused = await told(authz, name, "bert", "BERTPHONE")
    assert refused.verdict == "deny"
    assert refused.sentence.startswith("refused; judged by")
    authz.evidence.unavailable = True
    assert (await told(authz, name, "dora", "DORAPHONE")).verdict == "defer"


@pytest.mark.parametrize("name", list(AskerName))
async def test_another_key_than_the_gateway_has_read(authz: Asking, name: AskerName, tmp_path: Path) -> None:
    authz.key_file.write_text("another-key-0123456789\n")
    answered = await told(authz, name, "anna", "ANNAPHONE")
    # Of these three the answer to a stranger is the same as "cannot know now".
    silent = {AskerName.NGINX_MAIL: "defer", AskerName.DOVECOT: "defer", AskerName.POSTFIX: "defer"}
    assert answered.verdict == silent.get(name, "")


async def test_nobody_listens(authz: Asking) -> None:
    settings = settings_of(authz).model_copy(update={"haproxy": Settings().haproxy})
    with pytest.raises(DomainError, match=r"\[haproxy\] listen is empty"):
        await asyncio.to_thread(check_asker, settings, AskerName.HAPROXY, "anna", "")
    await authz.front.close()
    with pytest.raises(DomainError, match="does the gateway run"):
        await asyncio.to_thread(check_asker, settings, AskerName.NGINX, "anna", "")


async def test_a_name_cannot_write_lines_of_its_own(authz: Asking) -> None:
    with pytest.raises(DomainError, match="control characters"):
        await told(authz, AskerName.POSTFIX, "anna\nsasl_username=bert", "")
