"""Sizes and durations as the data files write them: `16Gi`, `30m`. A bare number is refused, because KAITO's `400` once meant GB."""

from __future__ import annotations

import re

GIB = 1024**3

_SIZE = re.compile(r"([0-9]{1,9})(Ki|Mi|Gi|Ti)")
_DURATION = re.compile(r"([0-9]{1,6})([smh])")
_FACTORS = {"Ki": 1024, "Mi": 1024**2, "Gi": GIB, "Ti": 1024**4}
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def parse_size(text: str) -> int:
    """`16Gi` in bytes. ValueError tells how to write it."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError(f'"{text[:40]}" is no size; write a whole number with Ki, Mi, Gi or Ti, such as 16Gi')
    return int(match[1]) * _FACTORS[match[2]]


def parse_duration(text: str) -> int:
    """`30m` in seconds. ValueError tells how to write it."""
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError(f'"{text[:40]}" is no duration; write a whole number with s, m or h, such as 30m')
    return int(match[1]) * _SECONDS[match[2]]


def format_size(size_bytes: int) -> str:
    """Bytes for people: `16Gi`, or `15.5Gi` when it is not a whole number."""
    gib = size_bytes / GIB
    return f"{gib:.0f}Gi" if size_bytes % GIB == 0 else f"{gib:.1f}Gi"


def count_of(number: int, noun: str) -> str:
    """`1 GPU`, `2 GPUs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
