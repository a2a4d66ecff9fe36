"""An operator that is told to stop while it still imports. Real processes; `-X importtime` says how far they are."""

from __future__ import annotations

import signal
import sys

import pytest

from test.support.processes import Process

OPERATORS = ("kaito_controller", "gpu_provisioner")
HEAVY = r"\| +pydantic_core$"
"""A line of `-X importtime` about a module that is imported long before an operator is ready to run."""


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator_told_to_stop_while_it_imports_ends_at_once_with_exit_code_0(operator: str) -> None:
    with Process([sys.executable, "-X", "importtime", "-m", operator], name=operator) as process:
        process.wait_for_output(HEAVY)

        process.signal(signal.SIGTERM)

        assert process.wait_for_exit(10.0) == 0, (
            "by its own handler; the kernel's default would be -15, and none at all for PID 1"
        )
        assert f"{operator}.main" not in process.output, "it was still importing"
