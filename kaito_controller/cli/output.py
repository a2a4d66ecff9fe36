"""How a command speaks: a page for people, or JSON or YAML for programs, and remarks on standard error beside it or in its place."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Callable
from typing import Any, Literal

import click

Output = Literal["table", "json", "yaml"]

output_option: Callable[[Any], Any] = click.option(
    "-o",
    "--output",
    type=click.Choice(("table", "json", "yaml")),
    default="table",
    show_default=True,
    help="Form of the answer.",
)


def to_text(document: Any, output: Output) -> str:
    """As JSON or YAML."""
    if output == "json":
        return json.dumps(document, indent=2) + "\n"
    import yaml  # most answers are pages

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(document, Dumper=dumper, sort_keys=False, width=120)
    return text


def remark(sentence: str) -> None:
    """One line, for whoever searches it; on a terminal broken between words, and never inside a name."""
    text = " ".join(sentence.split())
    if sys.stderr.isatty():
        text = textwrap.fill(text, shutil.get_terminal_size().columns, break_long_words=False, break_on_hyphens=False)
    print(text, file=sys.stderr)  # noqa: T201  # a command line
