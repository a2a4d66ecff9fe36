"""What was done a moment ago is known for that moment, and no longer."""

from __future__ import annotations

from kaito_controller.workspace.act.moments import FEW, Moments
from test.support.fake_clock import FakeClock


def test_a_moment_lasts_as_long_as_it_should() -> None:
    clock = FakeClock()
    moments = Moments(clock, 2.0)

    assert moments.left_s("a") == 0.0
    moments.note("a")
    clock.advance(1.5)
    assert moments.left_s("a") == 0.5
    clock.advance(0.5)
    assert moments.left_s("a") == 0.0
    assert moments.left_s("b") == 0.0


def test_what_is_over_is_not_kept_for_ever() -> None:
    clock = FakeClock()
    moments = Moments(clock, 2.0)

    for number in range(3 * FEW):
        moments.note(str(number))
        clock.advance(0.1)

    assert len(moments) <= FEW + 1
