"""Another's client (``pyactivesync``, which knows 16.1 only) has its mail from SOGo through the gateway as without it.

It insists on a policy, and SOGo has none to give: that one step ends in its error on both ways, and is left out after.
It gives the version 16.1 with each request though SOGo offers 14.1 at most; SOGo answers all the same.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from email.message import EmailMessage
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from pyactivesync import Client, FolderType, ProvisionError, StatusError

from tests.live.conftest import COLLEAGUE, SECOND
from tests.live.conversation import DOMAIN
from tests.live.mail_servers import PASSWORD
from tests.live.site import Site
from tests.support.reporting import Agent
from tests.support.running import Running

pytestmark = pytest.mark.asyncio(loop_scope="session")

PICTURE = os.urandom(50_000)
both_ways = pytest.mark.parametrize("way", ["direct", "tls"])


@pytest.fixture
def user(way: str) -> str:
    return SECOND[way]


@pytest_asyncio.fixture(loop_scope="session")
async def client(
    site: Site, secure_gateway: Running, way: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Client]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(site.certificates.authority))
    server = urlsplit(site.tls if way == "direct" else secure_gateway.http).netloc
    client = Client(server, user, PASSWORD, device_id=f"ID{user}", device_type="Android")
    yield client
    client.close()


@pytest.fixture
def unprovisioned(client: Client) -> Client:
    """A client that takes the policy as given."""
    client._provisioned = True
    return client


@both_ways
async def test_there_is_no_policy(client: Client) -> None:
    with pytest.raises(ProvisionError, match="no PolicyKey"):
        await asyncio.to_thread(client.provision)


@both_ways
async def test_mail_is_read_and_written(site: Site, unprovisioned: Client, user: str) -> None:
    site.mail.send(user, "A picture", attachment=PICTURE)
    site.mail.until_arrived(user, "A picture")
    folder = await asyncio.to_thread(inbox, unprovisioned)
    first = await asyncio.to_thread(unprovisioned.sync_folder, folder)
    told = await asyncio.to_thread(unprovisioned.sync_folder, folder, first.sync_key)
    (mail,) = (item for item in told.added if item.fields["Email.Subject"] == "A picture")
    whole = await asyncio.to_thread(unprovisioned.fetch_item, folder, mail.server_id)
    (attachment,) = whole.attachments
    assert await asyncio.to_thread(unprovisioned.fetch_attachment, attachment.file_reference) == PICTURE

    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = f"{user}@{DOMAIN}", f"{COLLEAGUE}@{DOMAIN}", f"From {user}"
    message.set_content("Hello.\n")
    await asyncio.to_thread(unprovisioned.send_mail, message)
    site.mail.until_arrived(COLLEAGUE, f"From {user}")


@both_ways
async def test_it_waits_for_mail(site: Site, unprovisioned: Client, user: str) -> None:
    folder = await asyncio.to_thread(inbox, unprovisioned)
    await asyncio.to_thread(read_all, unprovisioned, folder)
    waits = asyncio.create_task(asyncio.to_thread(unprovisioned.ping, folder, timeout=90))
    await site.until_waiting(user)
    site.mail.send(user, "Wake up.")
    told = await waits
    assert (told.status, told.changed_folder_ids) == ("2", [folder])


@pytest.mark.parametrize(("way", "user"), [("tls", SECOND["cut"])])
async def test_it_is_cut(site: Site, unprovisioned: Client, user: str, secure_agent: Agent) -> None:
    await secure_agent.clean(user, f"ID{user}")
    folder = await asyncio.to_thread(inbox, unprovisioned)
    waits = asyncio.create_task(asyncio.to_thread(unprovisioned.ping, folder, timeout=90))
    await site.until_waiting(user)
    await secure_agent.dirty(user, f"ID{user}")
    assert (await waits).status == "7"
    with pytest.raises(StatusError, match="129"):
        await asyncio.to_thread(unprovisioned.list_folders)


def inbox(client: Client) -> str:
    """Where the mail is."""
    (found,) = (folder.id for folder in client.list_folders() if folder.type is FolderType.INBOX)
    return str(found)


def read_all(client: Client, folder: str) -> None:
    """Sync until there is nothing new."""
    key = client.sync_folder(folder).sync_key
    while (told := client.sync_folder(folder, key)).added:
        key = told.sync_key
