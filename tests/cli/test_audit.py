"""``gatepost audit``: verify reads the database of this machine, export asks the API."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.audit.checkpoints import Checkpointing, CheckpointSettings
from gateway.audit.keys import find_or_make_key
from gateway.cli.main import app
from gateway.domain.audit import AuditEntry, AuditKind, Subject
from gateway.domain.audit.chain import beginning_of, chained, leaf_of
from gateway.domain.audit.entry import canonical
from gateway.ports.store import Writing
from gateway.storage.sql import open_store

Gatepost = Callable[..., Result]


async def written(data_dir: Path) -> str:
    """A log of seven entries, signed up to the sixth; the checkpoint."""
    key, _ = find_or_make_key(data_dir)
    store = await open_store(f"sqlite:///{data_dir / 'gatepost.db'}", writable=True, seal=key.seal)

    async def work(writing: Writing) -> None:
        for _ in range(5):
            await writing.log_audit(AuditEntry(AuditKind.NOTICE, "anna", (Subject("ann@corp.example"),)))

    await store.write(work)
    made = await Checkpointing(store, key, None, CheckpointSettings()).make()
    await store.write(lambda writing: writing.log_audit(AuditEntry(AuditKind.NOTICE, "anna")))
    await store.close()
    return made.note


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "gatepost.toml").write_text(f'[gateway]\ndata_dir = "{tmp_path}"\n')
    (tmp_path / "outside").write_text(asyncio.run(written(tmp_path)))
    return tmp_path


def verify(data_dir: Path, *words: str, expect: int = 0) -> Result:
    config = str(data_dir / "gatepost.toml")
    result = CliRunner().invoke(app, ["audit", "verify", *words, "--config", config])
    assert result.exit_code == expect, (result.exit_code, result.output)
    return result


def test_an_intact_log_and_what_that_rests_on(data_dir: Path) -> None:
    assert verify(data_dir).stdout.splitlines() == [
        "intact: entries 1 to 7 are as they were written",
        "signed up to entry 6 by checkpoints kept here",
        "no checkpoint from outside was given: a tail that was cut off with its checkpoints, or a log that was written "
        "anew with the key, would not show",
    ]
    assert verify(data_dir, "--checkpoint", str(data_dir / "outside")).stdout.splitlines()[2:] == [
        "up to entry 6 it is what was signed outside of this machine"
    ]


def test_a_damaged_log_names_the_first_bad_entry(data_dir: Path) -> None:
    with sqlite3.connect(data_dir / "gatepost.db") as connection:
        connection.execute("DROP TRIGGER audit_entries_is_kept_update")
        connection.execute("UPDATE audit_entries SET entry = replace(entry, 'anna', 'berta') WHERE seq = 3")
    connection.close()
    said = verify(data_dir, expect=1).stdout.splitlines()
    assert said[0] == "DAMAGED (changed): entry 3 was changed: its octets do not have its hash"
    data = json.loads(verify(data_dir, "--json", expect=1).stdout)
    assert (data["intact"], data["damages"][0]["kind"], data["damages"][0]["first"]) == (False, "changed", 3)


def test_a_tail_that_was_cut_off_shows_by_the_outside_checkpoint_only(data_dir: Path) -> None:
    with sqlite3.connect(data_dir / "gatepost.db") as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        (chain,) = connection.execute("SELECT chain FROM audit_entries WHERE seq = 4").fetchone()
        connection.execute("DELETE FROM audit_entries WHERE seq > 4")
        connection.execute("DELETE FROM audit_checkpoints")
        connection.execute("UPDATE audit_head SET size = 4, chain = ?", (chain,))
    connection.close()
    verify(data_dir)
    said = verify(data_dir, "--checkpoint", str(data_dir / "outside"), expect=1).stdout
    assert "DAMAGED (tail_cut_off): entries 5 to 6 are missing: a checkpoint from outside counts 6" in said


def test_without_the_key_file_the_public_key_will_do(data_dir: Path) -> None:
    key, _ = find_or_make_key(data_dir)
    origin = (data_dir / "outside").read_text().splitlines()[0]
    (data_dir / "audit-key").unlink()
    said = verify(data_dir).stdout
    assert "no key is known here: signatures were not looked at; give the public key by --key" in said
    said = verify(data_dir, "--key", str(key.verifier(origin)), "--checkpoint", str(data_dir / "outside")).stdout
    assert "signed up to entry 6" in said
    assert "the gateway's key file is not on this machine: seals were not looked at" in said
    assert "up to entry 6 it is what was signed outside" in said


def test_what_cannot_be_read_is_one_sentence(data_dir: Path) -> None:
    refused = verify(data_dir, "--checkpoint", str(data_dir / "none"), expect=1)
    assert "none cannot be read (No such file or directory): name a file with checkpoints" in refused.stderr
    refused = verify(data_dir, "--checkpoint", str(data_dir / "gatepost.toml"), expect=1)
    assert "there is no checkpoint in it" in refused.stderr
    refused = verify(data_dir, "--key", "nonsense", expect=1)
    assert "this is no key of an audit log" in refused.stderr
    (data_dir / "gatepost.db").unlink()
    assert "is missing" in verify(data_dir, expect=1).stderr


def test_an_export_can_be_checked_without_gatepost(gatepost: Gatepost) -> None:
    gatepost("token", "create", "bob")
    lines = [json.loads(line) for line in gatepost("audit", "export").stdout.splitlines()]
    assert [line["entry"]["kind"] for line in lines][-2:] == ["token_created", "audit_read"]
    chain = beginning_of(json.loads(gatepost("audit", "status", "--json").stdout)["origin"])
    for line in lines:
        chain = chained(chain, leaf_of(canonical(line["entry"])))
        assert chain.hex() == line["chain"]


def test_an_export_of_a_time_and_of_a_person(gatepost: Gatepost) -> None:
    assert gatepost("audit", "export", "--until", "2001-01-01").stdout == ""
    found = [json.loads(line) for line in gatepost("audit", "export", "--user", "ann").stdout.splitlines()]
    assert [line["entry"]["kind"] for line in found] == ["audit_read"]
    gatepost("audit", "export", "--since", "yesterday", expect=2)


def test_where_it_stands(gatepost: Gatepost) -> None:
    assert "entries" in gatepost("audit", "status").stdout
