"""Nothing is remembered of what is gone, also when it went by force: the tables of both operators have a constant size under churn."""

from __future__ import annotations

import pytest

from test.support.churn import MachineLives, WorkspaceLives
from test.support.remembered import grown, tables

pytestmark = pytest.mark.faults

SWEPT_LATER = {"DelayingQueue._heap", "Cooldown._since"}
"""Entries whose time has not come are swept out when they outnumber the living, which tests of the queue and of the moments show."""


@pytest.mark.parametrize("lives", [WorkspaceLives, MachineLives])
def test_no_table_grows_with_lives_that_have_ended(lives: type[WorkspaceLives] | type[MachineLives]) -> None:
    several = lives()
    for number in range(2):
        several.live(number)
    before = tables(several.program)

    for number in range(2, 8):
        several.live(number)

    after = grown(before, tables(several.program))
    assert sum(before.values()) > 10, "the walk has found nothing"
    assert after.keys() <= SWEPT_LATER
