"""A pytest plugin: tests that take long run by ``make test-long``, not with each commit.

What stands here starts several gateways, waits for real programs, or does the same by the hundred; the same code is
looked at by quicker tests as well. ``--long`` runs everything, ``--long -m long`` only these.
"""

import pytest

FILES = (
    "tests/changes/test_kills.py",
    "tests/demo/test_ctrl_c.py",
    "tests/live/askers/test_conformance.py",
    "tests/live/askers/test_known_by_certificate.py",
    "tests/live/askers/test_long_waits.py",
    "tests/live/askers/test_what_clients_see.py",
    "tests/live/mail/test_balancer.py",
    "tests/live/mail/test_notice.py",
    "tests/live/mail/test_programs.py",
    "tests/live/mail/test_wire.py",
    "tests/live/test_calendars.py",
    "tests/live/test_second_client.py",
    "tests/notices/test_kills.py",
    "tests/notices/test_planning_kills.py",
    "tests/soak/test_soak.py",
    "tests/system/test_asker_cuts.py",
    "tests/system/test_backup.py",
    "tests/system/test_break_glass.py",
    "tests/system/test_fleet_brake.py",
    "tests/system/test_floods.py",
    "tests/system/test_mail_workers.py",
    "tests/system/test_never_alone.py",
    "tests/system/test_put_back.py",
    "tests/system/test_stopped_worker.py",
    "tests/system/test_told.py",
    "tests/system/test_told_later.py",
    "tests/system/test_upgrade.py",
)
CASES = (
    "tests/demo/test_command.py::test_a_demo_that_is_killed",
    "tests/demo/test_command.py::test_a_gateway_that_dies",
    "tests/demo/test_command.py::test_afterwards_it_stays_up",
    "tests/demo/test_command.py::test_broken_off",
    "tests/demo/test_sent_in_error.py::test_a_small_company",
    "tests/faults/test_faults.py::test_the_important_faults",
    "tests/fuzz/test_campaign.py::test_the_command_runs_both_engines",
    "tests/inventory/test_past_records.py::test_many_more",
    "tests/live/bound/test_apache.py::test_a_whole_gateway",
    "tests/live/bound/test_apache.py::test_many_at_once",
    "tests/live/smtp/test_postfix.py::test_the_proxy_protocol",
    "tests/live/smtp/test_postfix.py::test_tokens",
    "tests/system/test_authz.py::test_an_upgrade",
    "tests/system/test_two_machines.py::test_the_database_is_restarted",
    "tests/system/test_two_machines.py::test_nothing_is_lost_when_a_control",
)

VARIANTS = (
    *((f"tests/{part}/", "[asyncio") for part in ("authz", "hostile", "limits", "proxies")),
    ("tests/live/askers/test_web.py", "[envoy-http"),
    ("tests/live/askers/test_web.py", "test_nobody_is_let_in_while_gatepost_says_nothing[traefik"),
    ("tests/live/askers/test_web.py", "test_nobody_is_let_in_while_gatepost_says_nothing[envoy"),
    ("tests/live/mail/test_dovecot.py", "[clear"),
    ("tests/live/smtp/test_postfix.py", "[clear"),
    ("tests/live/smtp/test_postfix.py", "[tls"),
    ("tests/live/notices/test_notices_by_postfix.py", "[tls"),
    ("tests/live/test_same_answers.py", "[plain"),
    ("tests/live/test_waiting.py", "[plain"),
    ("tests/live/test_waiting.py", "[direct"),
    *(("tests/notices/test_hostile_servers.py", f"-{stage}]") for stage in ("greeting", "EHLO", "MAIL", "DATA")),
)
"""Of what begins like this the cases with that mark.

The others show the same by TLS, or by uvloop, on which the gateway always runs.
"""


def takes_long(nodeid: str) -> bool:
    """Whether a test is one of them."""
    variant = any(nodeid.startswith(file) and mark in nodeid for file, mark in VARIANTS)
    return variant or nodeid.startswith((*FILES, *CASES))


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--long``."""
    parser.addoption("--long", action="store_true", help="also the tests that take long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark them, and leave them out where they are not asked for."""
    for item in items:
        if takes_long(item.nodeid):
            item.add_marker(pytest.mark.long)
    # Who names a file or a case means it.
    named = any(".py" in str(each) for each in config.args)
    if config.getoption("--long") or named:
        return
    kept = [item for item in items if item.get_closest_marker("long") is None]
    config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long") is not None])
    items[:] = kept
