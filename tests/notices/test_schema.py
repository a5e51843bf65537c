"""Every EWS request of a run is valid by Microsoft's schema, which is not ours to publish: ``EWS_SCHEMA`` says where.

Without it the scripted server still reads each request strictly (``ews_server``), in each test of Exchange.
"""

import os
from pathlib import Path

import pytest
from lxml import etree

from tests.network.authority import Authority
from tests.notices.validate import reordered, requests_of_a_run

DIRECTORY = os.environ.get("EWS_SCHEMA", "")


@pytest.mark.skipif(not DIRECTORY, reason="EWS_SCHEMA names no directory with ews.xsd, types.xsd and messages.xsd")
async def test_every_request_of_a_run_is_valid_and_one_out_of_order_is_not(tmp_path: Path) -> None:
    schema = etree.XMLSchema(etree.parse(str(Path(DIRECTORY) / "ews.xsd")))
    requests = await requests_of_a_run(Authority(tmp_path))
    assert {name for name, _ in requests} == {"CreateItem", "FindItem", "GetItem", "GetFolder"}
    wrong = [name for name, body in requests if not schema.validate(etree.fromstring(body))]
    assert wrong == [], schema.error_log.last_error
    first = next(body for name, body in requests if name == "CreateItem")
    assert not schema.validate(etree.fromstring(reordered(first)))
