"""Validates every EWS request of a run with Microsoft's schema, which is not ours to publish.

    python -m tests.notices.validate --schema DIR
    EWS_SCHEMA=DIR pytest tests/notices/test_schema.py

DIR holds ``ews.xsd``, which imports types.xsd and messages.xsd as each Exchange serves them in its EWS directory. The
run sends with each login and with and without what is optional, looks up and checks, against the scripted server. As a
control a request with two parts exchanged must be found invalid. Ends with 1 where a request is invalid.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from lxml import etree

from tests.network.authority import Authority
from tests.notices.ews_answers import T
from tests.notices.ews_server import Act
from tests.notices.test_exchange import NOTICE, started, yes

NAMELESS = replace(NOTICE, sender_name="", recipient_name="", reply_to="", key="1/cut/b")
PLAIN = replace(NAMELESS, html="", references=(), headers={})
TOLD: tuple[dict[str, Any], ...] = ({}, {"impersonate": True}, {"choose_message_id": True})


async def requests_of_a_run(authority: Authority) -> list[tuple[str, bytes]]:
    """Operation and body of all."""
    requests: list[tuple[str, bytes]] = []
    for told in TOLD:
        for password in ("secret", ""):
            async with started(authority, told, password=password) as (ews, delivery):
                ews.script.extend([Act(), Act(), Act("cut_after")])
                await delivery.check()
                for notice in (NOTICE, PLAIN, replace(NOTICE, key="1/cut/lost")):
                    await delivery.deliver(notice, yes)
                await delivery.look_up([NOTICE.key, PLAIN.key, "1/cut/lost"])
                requests += ews.requests
    return requests


def reordered(body: bytes) -> bytes:
    """The request with Subject as the last part of the message."""
    root = etree.fromstring(body)
    message = next(root.iter(f"{T}Message"))
    message.append(message.find(f"{T}Subject"))
    return bytes(etree.tostring(root))


def main() -> int:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schema", type=Path, required=True, metavar="DIR")
    schema = etree.XMLSchema(etree.parse(str(parser.parse_args().schema / "ews.xsd")))
    with tempfile.TemporaryDirectory() as place:
        requests = asyncio.run(requests_of_a_run(Authority(Path(place))))
    valid: Counter[str] = Counter()
    invalid: Counter[str] = Counter()
    for name, body in requests:
        if schema.validate(etree.fromstring(body)):
            valid[name] += 1
        else:
            invalid[name] += 1
            print(f"{name}: {schema.error_log.last_error}")
    first = next(body for name, body in requests if name == "CreateItem")
    control = schema.validate(etree.fromstring(reordered(first)))
    for name in sorted(valid | invalid):
        print(f"{name}: {valid[name]} valid, {invalid[name]} invalid")
    print(f"control (Subject last): {'VALID, so this proves nothing' if control else 'invalid, as it should be'}")
    return 1 if invalid or control else 0


if __name__ == "__main__":
    sys.exit(main())
