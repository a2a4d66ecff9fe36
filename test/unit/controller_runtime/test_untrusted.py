"""Whatever is stored, reading it never raises and never gives more than its bound."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller_runtime.clock import rfc3339
from controller_runtime.untrusted import (
    EARLIEST,
    LATEST,
    entries,
    integer,
    json_in,
    later,
    mapping,
    moment,
    nesting,
    text,
)

ODD_NUMBERS: list[Any] = [
    6_000_000_000, -1, 10**400, 1e999, float("nan"), -0.0, True, None, "9" * 5000, "٣", "1e9", " 7", "", [], {}, b"7"
]  # fmt: skip
ODD_MOMENTS: list[Any] = [
    "9999-12-31T23:59:59-23:59",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+23:59",
    "1969-12-31T23:59:59Z",
    "2026-01-02T03:04:05",
    "2026-W01-1",
    "\ud800",
    "2" * 100_000,
    "",
    5,
    None,
    ["2026-01-02T03:04:05Z"],
]
ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters(codec=None)),
        st.sampled_from([*ODD_NUMBERS[:-1], *ODD_MOMENTS]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=4)),
    max_leaves=10,
)


@pytest.mark.parametrize("value", ODD_NUMBERS, ids=lambda value: str(value)[:20])
def test_odd_number_stays_within_the_bounds(value: Any) -> None:
    assert 1 <= integer(value, least=1, most=1000, default=5) <= 1000


@pytest.mark.parametrize("value", ODD_MOMENTS, ids=lambda value: str(value)[:30])
def test_odd_moment_is_none(value: Any) -> None:
    assert moment(value) is None


def test_usual_values_are_read_as_they_are() -> None:
    assert integer("12", most=99) == integer(12, most=99) == integer(12.0, most=99) == 12
    assert moment("2026-01-02T04:04:05+01:00") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert text("ärger", 3) == "ärg"
    assert json_in('{"a": [1]}') == {"a": [1]}
    assert entries([{"a": 1}, 5, {"b": 2}], 2) == [{"a": 1}]


@pytest.mark.parametrize(
    "value", ["[" * 60_000, "[" * 60_000 + "]" * 60_000, "{", '{"a": ' * 50 + "1" + "}" * 50, "9" * 70_000, None, 5]
)
def test_json_that_is_deep_long_or_broken_is_none(value: Any) -> None:
    assert json_in(value) is None


def test_nesting_does_not_count_brackets_in_strings() -> None:
    assert nesting(json.dumps({"[[[": ['"[{', {"a": "}}"}]})) == 3


@pytest.mark.parametrize("seconds", [1e308, float("inf"), float("nan"), 10.0**15])
def test_later_never_passes_the_last_moment(seconds: float) -> None:
    assert later(datetime(2026, 1, 1, tzinfo=UTC), seconds) == LATEST
    assert LATEST + timedelta(days=3650) > LATEST, "durations can be added to whatever is read"


@given(value=ANYTHING)
def test_every_reader_takes_anything(value: Any) -> None:
    assert 0 <= integer(value, most=7) <= 7
    found = moment(value)
    assert found is None or EARLIEST <= found <= LATEST
    assert len(text(value, 5).encode()) <= 20
    assert len(entries(value, 2)) <= 2
    mapping(value)
    json_in(value)
    if found is not None:
        assert moment(rfc3339(later(found, 1e6))) is not None
