"""A parser with the options of the engine, as vLLM builds its own from the same table: it refuses what vLLM's would refuse."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any, NoReturn

from kaito_controller.catalog.engine_options import Kind, load_engine_options

_SUFFIXES = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class RefusedError(ValueError):
    """What the parser said."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RefusedError(message)


def engine_parser() -> argparse.ArgumentParser:
    """Strict: no abbreviations, no unknown options."""
    parser = _Parser(allow_abbrev=False, add_help=False)
    for name, kind in load_engine_options().kinds.items():
        parser.add_argument(f"--{name}", default=argparse.SUPPRESS, **_keywords(kind))
    return parser


def _keywords(kind: Kind) -> dict[str, Any]:
    if isinstance(kind, list):
        return {"choices": kind}
    readers: dict[str, Callable[[str], Any]] = {
        "whole": int, "number": float, "json": json.loads, "size": _size, "context": _context,
    }  # fmt: skip
    special: dict[str, dict[str, Any]] = {
        "switch": {"action": argparse.BooleanOptionalAction},
        "many": {"nargs": "+"},
        "optional": {"nargs": "?", "const": True},
    }
    return special.get(kind) or ({"type": readers[kind]} if kind in readers else {})


def _size(text: str) -> int:
    return int(float(text[:-1]) * _SUFFIXES[text[-1]]) if text[-1:] in _SUFFIXES else int(text)


def _context(text: str) -> int:
    return -1 if text in ("auto", "-1") else _size(text)
