"""What the scripted EWS server says, as an Exchange would: [MS-OXWSMSG] 4.1, [MS-OXWSCDATA] 2.2.4."""

from collections.abc import Sequence
from typing import Any

M = "{http://schemas.microsoft.com/exchange/services/2006/messages}"
T = "{http://schemas.microsoft.com/exchange/services/2006/types}"
ENVELOPE = "{http://schemas.xmlsoap.org/soap/envelope/}"
ERRORS = "http://schemas.microsoft.com/exchange/services/2006/errors"
KEY_FIELD = (
    '<t:ExtendedFieldURI PropertySetId="7c0a0ee6-5d3e-4f57-9a07-4b1d6f3a9c52"'
    ' PropertyName="gatepost-notice" PropertyType="String"/>'
)


def soap(body: str) -> str:
    """The envelope of each answer."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<s:Envelope xmlns:s="{ENVELOPE[1:-1]}"><s:Header><t:ServerVersionInfo MajorVersion="15" MinorVersion="1"'
        f' MajorBuildNumber="2507" MinorBuildNumber="6" Version="V2017_07_11" xmlns:t="{T[1:-1]}"/></s:Header>'
        f'<s:Body xmlns:m="{M[1:-1]}" xmlns:t="{T[1:-1]}">{body}</s:Body></s:Envelope>'
    )


def response(operation: str, parts: Sequence[str], code: str = "NoError") -> str:
    """One response message for each part."""
    kind = "Success" if code == "NoError" else "Error"
    inside = "".join(
        f'<m:{operation}ResponseMessage ResponseClass="{kind}">'
        + ("" if code == "NoError" else "<m:MessageText>No.</m:MessageText>")
        + f"<m:ResponseCode>{code}</m:ResponseCode>{part}</m:{operation}ResponseMessage>"
        for part in parts
    )
    return soap(f"<m:{operation}Response><m:ResponseMessages>{inside}</m:ResponseMessages></m:{operation}Response>")


def created() -> str:
    """Sent, with a copy: no ItemId comes back."""
    return response("CreateItem", ["<m:Items/>"])


def refused(code: str) -> str:
    """One message not created, with HTTP 200."""
    return response("CreateItem", ["<m:Items/>"], code)


def fault(code: str, text: str = "No.", back_off: int = 0) -> str:
    """A SOAP fault; ``back_off`` in milliseconds."""
    asked = f'<t:MessageXml xmlns:t="{T[1:-1]}"><t:Value Name="BackOffMilliseconds">{back_off}</t:Value></t:MessageXml>'
    return soap(
        f'<s:Fault><faultcode xmlns:a="{T[1:-1]}">a:{code}</faultcode><faultstring>{text}</faultstring><detail>'
        f'<e:ResponseCode xmlns:e="{ERRORS}">{code}</e:ResponseCode><e:Message xmlns:e="{ERRORS}">{text}</e:Message>'
        f"{asked if back_off else ''}</detail></s:Fault>"
    )


def folders(names: Sequence[str]) -> str:
    """Of distinguished folders."""
    one = (
        '<m:Folders><t:Folder><t:FolderId Id="{0}" ChangeKey="k"/>'
        "<t:DisplayName>{0}</t:DisplayName></t:Folder></m:Folders>"
    )
    return response("GetFolder", [one.format(name) for name in names])


def found(places: Sequence[int]) -> str:
    """The items at these places."""
    inside = "".join(f'<t:Message><t:ItemId Id="{place}" ChangeKey="k"/></t:Message>' for place in places)
    paging = f'IndexedPagingOffset="{len(places)}" TotalItemsInView="{len(places)}" IncludesLastItemInRange="true"'
    root = f"<m:RootFolder {paging}>"
    return response("FindItem", [f"{root}<t:Items>{inside}</t:Items></m:RootFolder>"])


def items(of: Sequence[tuple[int, str, str]]) -> str:
    """Place, key and Message-ID of each."""
    one = (
        '<m:Items><t:Message><t:ItemId Id="{}" ChangeKey="k"/><t:ExtendedProperty>'
        + KEY_FIELD
        + "<t:Value>{}</t:Value></t:ExtendedProperty>"
        "<t:InternetMessageId>{}</t:InternetMessageId></t:Message></m:Items>"
    )
    escaped = [(place, key, message_id.replace("<", "&lt;").replace(">", "&gt;")) for place, key, message_id in of]
    return response("GetItem", [one.format(*each) for each in escaped])


def property_name(extended: Any) -> str:
    """Of an ExtendedProperty: its name, or its tag."""
    field = extended.find(f"{T}ExtendedFieldURI")
    return str(field.get("PropertyName") or field.get("PropertyTag"))
