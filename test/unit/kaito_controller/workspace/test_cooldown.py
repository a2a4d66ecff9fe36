"""What was done a moment ago is known for that moment, and no longer."""

from __future__ import annotations

from kaito_controller.workspace.act.cooldown import FEW, Cooldown
from test.support.fake_clock import FakeClock


def test_a_moment_lasts_as_long_as_it_should() -> None:
    clock = FakeClock()
    cooldown = Cooldown(clock, 2.0)

    assert cooldown.left_s("a") == 0.0
    cooldown.note("a")
    clock.advance(1.5)
    assert cooldown.left_s("a") == 0.5
    clock.advance(0.5)
    assert cooldown.left_s("a") == 0.0
    assert cooldown.left_s("b") == 0.0


def test_what_is_over_is_not_kept_for_ever() -> None:
    clock = FakeClock()
    cooldown = Cooldown(clock, 2.0)

    for number in range(3 * FEW):
        cooldown.note(str(number))
        clock.advance(0.1)

    assert len(cooldown) <= FEW + 1
