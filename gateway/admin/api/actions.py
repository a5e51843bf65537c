"""Which action each route of the API is; ``domain.operator`` says who may do it.

A route without an entry here is refused to everybody, and a test names it.
"""

from fastapi import Depends, Request
from fastapi.routing import APIRoute

from gateway.admin.api.problems import Refused
from gateway.admin.auth import Operator
from gateway.domain.operator import Action, not_allowed

ROUTES: dict[str, Action] = {
    "status": Action.VIEW,
    "why": Action.SEE_PERSON,
    "list_sources": Action.VIEW,
    "add_source": Action.SET_SOURCES,
    "rotate_source": Action.SET_SOURCES,
    "remove_source": Action.SET_SOURCES,
    "list_devices": Action.SEE_PERSON,
    "devices_of_user": Action.SEE_PERSON,
    "show_device": Action.SEE_PERSON,
    "apps_of_user": Action.SEE_PERSON,
    "forget_without_mail": Action.BIND,
    "forget_device": Action.BIND,
    "pin_device": Action.BIND,
    "unpin_device": Action.BIND,
    "list_credentials": Action.SEE_PERSON,
    "issue_credential": Action.ISSUE_CREDENTIALS,
    "revoke_credential": Action.ISSUE_CREDENTIALS,
    "list_people": Action.SEE_PERSON,
    "list_groups": Action.VIEW,
    "import_people": Action.IMPORT_PEOPLE,
    "erase_person": Action.ERASE_PERSON,
    "list_bans": Action.VIEW,
    "show_ban": Action.VIEW,
    "add_ban": Action.EDIT_POLICY,
    "remove_ban": Action.EDIT_POLICY,
    "list_presets": Action.VIEW,
    "show_preset": Action.VIEW,
    "propose_import": Action.EDIT_POLICY,
    "list_flags": Action.VIEW,
    # What they enforce more needs the editor besides: see ``ChangeDesk.propose``.
    "set_flag": Action.TURN_DOWN,
    "set_global": Action.TURN_DOWN,
    "set_unknown": Action.EDIT_POLICY,
    "set_outlook_mobile": Action.EDIT_POLICY,
    "set_unavailable": Action.EDIT_POLICY,
    "set_grace": Action.EDIT_POLICY,
    "list_exemptions": Action.VIEW,
    "add_exemption": Action.EDIT_POLICY,
    "remove_exemption": Action.EDIT_POLICY,
    "list_changes": Action.VIEW,
    "plan_change": Action.EDIT_POLICY,
    "show_change": Action.VIEW,
    "preview_change": Action.PREVIEW,
    "approve_change": Action.APPROVE,
    "apply_change": Action.APPLY,
    "halt_change": Action.TURN_DOWN,
    "withdraw_change": Action.TURN_DOWN,
    "reject_change": Action.TURN_DOWN,
    "telling_of_change": Action.VIEW,
    "verify_impact": Action.SEE_PERSON,
    "show_brake": Action.VIEW,
    "release_brake": Action.WORK_BRAKE,
    "confirm_brake": Action.WORK_BRAKE,
    "list_mailings": Action.VIEW,
    "list_notices": Action.SEE_PERSON,
    "plan_notices": Action.SEND_NOTICES,
    "stop_notices": Action.STOP_NOTICES,
    "resume_notices": Action.SEND_NOTICES,
    "resend_notice": Action.SEND_NOTICES,
    "list_operators": Action.VIEW,
    "show_operator": Action.VIEW,
    "add_operator": Action.SET_OPERATORS,
    "set_roles": Action.SET_OPERATORS,
    "remove_operator": Action.SET_OPERATORS,
    "list_tokens": Action.VIEW,
    # Of others: ``SET_OPERATORS`` and ``REVOKE_TOKENS`` (``tokens``).
    "create_token": Action.OWN_TOKENS,
    "revoke_token": Action.OWN_TOKENS,
    "list_policies": Action.VIEW,
    "show_policy": Action.VIEW,
    "export_policy": Action.VIEW,
    "audit_state": Action.VIEW,
    "audit_entries": Action.READ_AUDIT,
}


def see_that_may(operator: Operator, action: Action) -> None:
    """Raises ``Refused`` where no role of the operator allows the action."""
    if operator.may(action):
        return
    raise Refused(403, "not_allowed", not_allowed(operator.name, action))


async def _allowed(request: Request) -> None:
    route = request.scope.get("route")
    action = ROUTES.get(route.name) if isinstance(route, APIRoute) else None
    if action is None:
        raise Refused(403, "not_allowed", "nobody may do this: the gateway does not know what it takes")
    see_that_may(request.state.operator, action)


Allowed = Depends(_allowed)
"""For every router of ``/api/v1``."""
