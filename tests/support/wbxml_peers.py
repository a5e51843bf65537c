"""Decoders of WBXML that are not ours: libwbxml's command line tool, and a client library's reader."""

import re
import shutil
import subprocess
from functools import cache
from typing import Any

import pytest
from pyactivesync._wbxml import WBXMLReader

needs_libwbxml = pytest.mark.skipif(shutil.which("wbxml2xml") is None, reason="libwbxml2-utils is not installed")


@cache
def libwbxml_xml(body: bytes) -> str:
    """``body`` as XML on one line, without prologue and document type."""
    command = ("wbxml2xml", "-l", "ACTIVESYNC", "-m", "0", "-o", "-", "-")
    decoded = subprocess.run(command, input=body, capture_output=True, check=True, timeout=10).stdout.decode()
    return re.sub(r"<\?xml.*?\?>|<!DOCTYPE[^>]*>", "", decoded).strip()


def client_xml(body: bytes) -> str:
    """``body`` as the client library reads it, tags as ``Page.Name``."""
    return "".join(_xml(node) for node in WBXMLReader(body).parse())


def _xml(node: tuple[str, object, list[tuple[str, object, list[Any]]]]) -> str:
    name, characters, children = node
    if name.startswith("#"):
        return str(characters)
    return f"<{name}>{''.join(_xml(child) for child in children)}</{name}>"
