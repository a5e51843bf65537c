"""An app as answers show it."""

from pydantic import BaseModel

from gateway.domain.inventory import App, Platform


class AppOut(BaseModel):
    """An installed app, as a source names it."""

    platform: Platform
    id: str
    name: str
    version: str


def app_out(app: App | None) -> AppOut | None:
    """An app for an answer."""
    if app is None:
        return None
    return AppOut(platform=app.platform, id=app.id, name=app.name, version=app.version)
