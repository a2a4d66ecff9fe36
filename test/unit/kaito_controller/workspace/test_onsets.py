"""Since when an order fails: the moment when it began to, seen by this program, and what its condition says where nobody saw it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from kaito_controller.workspace.observe.onsets import Onsets
from kaito_controller.workspace.state.snapshot import MachinePhase, MachineView
from test.support.snapshots import START

MINUTE = timedelta(minutes=1)
ORDERED = MachineView("ws1", "u1", 0, 0, MachinePhase.PENDING, START, reason="LaunchInProgress", since=START)
FAILING = replace(ORDERED, reason="AllocationFailed")


def test_a_failure_is_dated_when_it_was_seen_to_begin_and_keeps_that_date() -> None:
    onsets = Onsets()
    onsets.dated("w", [ORDERED], START)

    seen = [onsets.dated("w", [FAILING], START + number * MINUTE)[0].since for number in (5, 6, 7)]

    assert seen == [START + 5 * MINUTE] * 3


def test_another_failure_has_a_date_of_its_own() -> None:
    onsets = Onsets()
    for number, reason in enumerate(("LaunchInProgress", "AllocationFailed", "QuotaExceeded")):
        found = onsets.dated("w", [replace(ORDERED, reason=reason)], START + number * MINUTE)

    assert found[0].since == START + 2 * MINUTE


def test_after_a_restart_the_condition_says_since_when() -> None:
    assert Onsets().dated("w", [FAILING], START + MINUTE)[0].since == START


def test_an_order_of_the_same_name_is_another_one() -> None:
    onsets = Onsets()
    onsets.dated("w", [ORDERED], START)

    assert onsets.dated("w", [replace(FAILING, uid="u2")], START + MINUTE)[0].since == START


def test_what_was_ready_is_dated_by_its_condition_which_has_flipped() -> None:
    onsets = Onsets()
    lost = replace(ORDERED, phase=MachinePhase.DEGRADED, reason="NodeNotReady", since=START + 3 * MINUTE)
    onsets.dated("w", [replace(ORDERED, phase=MachinePhase.READY, reason="")], START)

    assert onsets.dated("w", [lost], START + 4 * MINUTE)[0].since == START + 3 * MINUTE
