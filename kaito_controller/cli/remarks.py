"""Sentences on standard error: beside an answer, or in its place."""

from __future__ import annotations

import shutil
import sys
import textwrap


def remark(sentence: str) -> None:
    """One line, for whoever searches it; on a terminal broken between words, and never inside a name."""
    text = " ".join(sentence.split())
    if sys.stderr.isatty():
        text = textwrap.fill(text, shutil.get_terminal_size().columns, break_long_words=False, break_on_hyphens=False)
    print(text, file=sys.stderr)  # noqa: T201  # a command line
