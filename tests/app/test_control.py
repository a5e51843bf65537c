"""What is logged when the control process ends by itself."""

import asyncio

from structlog.testing import capture_logs

from gateway.app.control import tell_of_the_end
from gateway.ports.state_cache import StoreWentBack


def test_a_store_that_went_back_is_no_fault_of_ours() -> None:
    with capture_logs() as logged:
        assert not tell_of_the_end(StoreWentBack("an earlier state was put in place"))
    assert logged == [
        {"event": "control_begins_anew", "log_level": "warning", "reason": "an earlier state was put in place"}
    ]


def test_a_fault_of_ours_is_told_with_where_it_happened() -> None:
    fault = ValueError("never expected")
    with capture_logs() as logged:
        assert tell_of_the_end(fault)
        assert not tell_of_the_end(None)
        assert not tell_of_the_end(asyncio.CancelledError())
    assert logged == [{"event": "control_task_failed", "log_level": "error", "error": repr(fault), "exc_info": fault}]
