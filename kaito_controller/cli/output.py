"""In which form a command answers: a page for people, or JSON or YAML for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

import click
import yaml

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
    return yaml.safe_dump(document, sort_keys=False, width=120)
