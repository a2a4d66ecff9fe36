from datetime import UTC, datetime

import pytest

from controller_runtime.clock import parse_rfc3339, rfc3339, rfc3339_micro

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


def test_a_time_is_written_in_utc_with_second_precision():
    assert rfc3339(MOMENT) == "2026-01-02T03:04:05Z"


def test_a_micro_time_survives_a_round_trip():
    assert parse_rfc3339(rfc3339_micro(MOMENT)) == MOMENT


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="carries no zone"):
        parse_rfc3339("2026-01-02T03:04:05")
