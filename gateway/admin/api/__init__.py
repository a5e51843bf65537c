"""The admin API: ``/api/v1`` for operators with a token, ``/healthz``, ``/readyz`` and ``/metrics`` for everybody.

A file per noun. Answers have stable snake_case fields, moments are RFC 3339 in UTC, errors are RFC 9457 problems; the
OpenAPI document is at ``/api/v1/openapi.json``. ``create_api(deps)`` builds the application and nothing else.
"""

from functools import cache

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from gateway.admin.api import (
    audit,
    bans,
    brake,
    changes,
    credentials,
    devices,
    exemptions,
    flags,
    health,
    impact,
    notices,
    operators,
    people,
    person_apps,
    policies,
    presets,
    sources,
    status,
    telling,
    tokens,
    why,
)
from gateway.admin.api.actions import Allowed
from gateway.admin.api.deps import ApiDeps
from gateway.admin.api.gate import OPENAPI_URL, BodyLimits, Gate
from gateway.admin.api.problems import Problem, add_handlers
from gateway.admin.api.storable import Storable
from gateway.admin.auth import Authenticator
from gateway.admin.unjudged import FleetCounter

__all__ = ["ApiDeps", "BodyLimits", "create_api"]

PREFIX = "/api/v1"

_ERRORS: dict[int | str, dict[str, object]] = {
    code: {"model": Problem, "description": words}
    for code, words in (
        (401, "no usable token"),
        (403, "no role of the operator allows this"),
        (404, "what was named is not there"),
        (409, "somebody else changed the same thing"),
        (422, "a value is not acceptable"),
        (429, "too many failures from this address"),
        (503, "the store cannot answer now"),
    )
}


def create_api(deps: ApiDeps) -> FastAPI:
    """The application. It has no start-up or shut-down of its own."""
    app = FastAPI(
        title="Gatepost",
        version="1",
        summary="Administration of a Gatepost mail gateway",
        openapi_url=OPENAPI_URL,
        # The usual pages load their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
    )
    app.state.deps = deps
    app.state.fleet = FleetCounter(deps.store, deps.load_record)
    app.router.routes.extend(_routes())
    add_handlers(app)
    app.add_middleware(
        Gate,
        authenticate=Authenticator(deps.store, deps.now).authenticate,
        limits=deps.limits,
        count=deps.count_refused,
    )
    return app


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """Everything that can be asked; what stands behind is found by the application's state.

    Once for all applications of a process: working them out takes longer than most of what is asked of one.
    """
    router = APIRouter(generate_unique_id_function=_operation_id)
    for noun in (
        status,
        why,
        sources,
        devices,
        person_apps,
        credentials,
        people,
        bans,
        brake,
        presets,
        flags,
        exemptions,
        changes,
        telling,
        impact,
        operators,
        notices,
        tokens,
        policies,
        audit,
    ):
        router.include_router(noun.router, prefix=PREFIX, responses=_ERRORS, dependencies=[Allowed, Storable])
    router.include_router(health.router)
    return tuple(router.routes)


def _operation_id(route: APIRoute) -> str:
    return route.name
