"""Putting objects back: at once for a person, ever more rarely for a program that undoes it, never against the API server itself."""

from __future__ import annotations

from typing import Any

from controller_runtime.resources import Object
from kaito_controller.workspace.act.drift_backoff import FORGIVEN_AFTER_S, DriftBackoff
from test.support.fake_clock import FakeClock


def service(**selector: Any) -> Object:
    return {"kind": "Service", "metadata": {"name": "phi", "uid": "u"}, "spec": {"selector": selector}}


MEANT, CHANGED, OTHERWISE = service(app="phi"), service(app="phi", extra="x"), service(app="y")


def test_first_change_and_each_different_one_are_put_back_at_once() -> None:
    repairs = DriftBackoff(FakeClock())
    assert repairs.due_in_s(CHANGED) == 0.0

    repairs.note(CHANGED, MEANT)

    assert repairs.due_in_s(OTHERWISE) == 0.0


def test_change_that_the_api_server_makes_of_our_write_is_accepted_until_something_else_changes() -> None:
    repairs = DriftBackoff(FakeClock())

    repairs.note(CHANGED, CHANGED)

    assert repairs.due_in_s(CHANGED) is None
    assert repairs.due_in_s(OTHERWISE) == 0.0


def test_change_that_comes_back_each_time_is_put_back_ever_more_rarely_but_not_for_ever() -> None:
    clock = FakeClock()
    repairs = DriftBackoff(clock)
    pauses = []
    for _ in range(12):
        repairs.note(CHANGED, MEANT)
        pauses.append(repairs.due_in_s(CHANGED))
        clock.advance(pauses[-1] or 0.0)
        assert repairs.due_in_s(CHANGED) == 0.0

    assert pauses[:4] == [1.0, 2.0, 4.0, 8.0]
    assert pauses[-1] == 300.0


def test_change_that_stayed_away_for_long_counts_as_new() -> None:
    clock = FakeClock()
    repairs = DriftBackoff(clock)
    for _ in range(5):
        repairs.note(CHANGED, MEANT)
    clock.advance(FORGIVEN_AFTER_S)

    repairs.note(CHANGED, MEANT)

    assert repairs.due_in_s(CHANGED) == 1.0


def test_object_that_is_gone_is_forgotten() -> None:
    repairs = DriftBackoff(FakeClock())
    repairs.note(CHANGED, MEANT)

    repairs.forget("u")

    assert repairs.due_in_s(CHANGED) == 0.0
