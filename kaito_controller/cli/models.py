"""`kubectl kaito models`: the catalogue, or what of it has a word in it."""

from __future__ import annotations

import click

from kaito_controller.api.violation import quote
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.model import Preset
from kaito_controller.cli.document import models_document
from kaito_controller.cli.output import Output, output_option, to_text


@click.command(short_help="The models of the catalogue.")
@click.argument("word", default="")
@output_option
def command(word: str, output: Output) -> tuple[int, str]:
    """The models of the catalogue; with WORD only those with it in name, family, repository or licence.

    Exit codes: 0 shown, 2 there is none.
    """
    found = [p for _, p in sorted(load_catalog().presets.items()) if word.lower() in _searched(p)]
    if not found:
        raise click.UsageError(
            f"{quote(word)}: no model has it in name, family, repository or licence; leave it out to see all"
        )
    if output == "table":
        from kaito_controller.cli.plan_page import models_page  # rich takes longer to import than JSON to write

        return 0, models_page(found)
    return 0, to_text(models_document(found), output)


def _searched(preset: Preset) -> str:
    return " ".join((preset.name, preset.family, preset.weights.repository, preset.weights.licence)).lower()
