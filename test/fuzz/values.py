"""Odd values of every kind, drawn by hypothesis: what a field may hold whose writer means no good. Pure."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

DEEP = "[" * 60_000
_BOMB = json.dumps(
    {
        "0": {
            "next": 1,
            "failed": 6_000_000_000,
            "machine": "m",
            "reason": "r",
            "message": "",
            "at": "2026-01-02T03:04:05Z",
        }
    }
)

texts = st.one_of(
    st.sampled_from(
        [
            *("", "6000000000", "-1", "1e999", "NaN", "9" * 5000, "٣", "true", "null", "[]", "{}", DEEP, _BOMB),
            *(
                '{"0":{"failed":2000,"at":"9999-12-31T23:59:59-23:59"}}',
                '{"0":{"next":1e999,"at":"0001-01-01T00:00:00+23:59"}}',
            ),
            *(
                '"\\ud800"',
                "a/b/c",
                "//",
                "a/b",
                "strangers/a/uid",
                "x" * 10_000,
                "\x00",
                "é\u202e",
                "(" * 2000 + "a" * 2000,
            ),
            *("now", "2026-01-02T03:04:05Z", "default", "Standard_NC6s_v3"),
        ]
    ),
    st.text(max_size=40),
)
moments = st.sampled_from(
    [
        "2026-01-02T03:04:05Z",
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "2999-12-31T23:59:59Z",
    ]
)
numbers = st.one_of(st.sampled_from([0, 1, -1, 2**31 - 1, 2**31, 2**63 - 1, 10**18]), st.integers(-5, 5))
scalars = st.one_of(st.none(), st.booleans(), numbers, texts, st.floats(allow_nan=False, allow_infinity=False))
junk = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)


def nested(levels: int) -> Any:
    value: Any = "bottom"
    for _ in range(levels):
        value = {"deeper": value}
    return value
