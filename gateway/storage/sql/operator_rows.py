"""Operators as rows: roles divided by spaces, logins as a JSON list.

A role that this version does not know is left out: who has only such roles may do nothing until the newer version runs.
"""

import json
from typing import Any

from gateway.domain.operator import NamedOperator, Role

_KNOWN = {role.value: role for role in Role}


def row_of_operator(operator: NamedOperator) -> dict[str, object]:
    """The columns of an operator."""
    return {
        "name": operator.name,
        "roles": " ".join(sorted(operator.roles)),
        "logins": json.dumps(list(operator.logins)),
        "first_start": operator.first_start,
        "created_at": operator.created_at,
        "created_by": operator.created_by,
        "removed_at": operator.removed_at,
    }


def operator_of_row(row: Any) -> NamedOperator:
    """The operator of a row."""
    return NamedOperator(
        row.name,
        frozenset(_KNOWN[name] for name in row.roles.split() if name in _KNOWN),
        tuple(json.loads(row.logins)),
        bool(row.first_start),
        row.created_at,
        row.created_by,
        row.removed_at,
    )
