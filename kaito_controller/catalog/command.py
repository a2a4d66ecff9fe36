"""`kaito-catalog add owner/name --config config.json --index model.safetensors.index.json`: print the entry of a model.

Reads the two files, checks the entry by the schema that the controller uses, and prints it: as one entry of a data file, or with
`--config-map` as the ConfigMap that adds it to a running cluster. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from kaito_controller.catalog.data_files import CatalogError, preset_from
from kaito_controller.catalog.from_hub import UnreadableModelError, entry_from_hub

_COMMIT = re.compile(r"[0-9a-f]{40}")
_MOVES = "note: revision {} may move; give the commit of the two files with --revision, so that weights and entry stay the same"
CONFIG_MAP, NAMESPACE = "kaito-catalogue", "kaito-system"


def main(argv: list[str] | None = None) -> int:
    """0 and the entry on stdout, or 1 and one sentence on stderr."""
    options = _parser().parse_args(argv)
    try:
        index = _read(options.index) if options.index else None
        entry = entry_from_hub(options.repository, _read(options.config), index, revision=options.revision)
        if options.name:
            entry["name"] = options.name
        preset_from(entry, options.repository)
    except (UnreadableModelError, CatalogError) as error:
        print(error, file=sys.stderr)  # noqa: T201  # a command line
        return 1
    if not _COMMIT.fullmatch(options.revision):
        print(_MOVES.format(options.revision), file=sys.stderr)  # noqa: T201  # a command line
    shown = _config_map(entry, options.repository) if options.config_map else [entry]
    print(yaml.safe_dump(shown, sort_keys=False, width=120), end="")  # noqa: T201  # a command line
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kaito-catalog", description="Entries of the model catalogue.")
    add = parser.add_subparsers(required=True).add_parser("add", help="print the entry of a model from its own files")
    add.add_argument("repository", help="owner/name on the hub")
    add.add_argument("--config", type=Path, required=True, help="the model's config.json")
    add.add_argument("--index", type=Path, help="its model.safetensors.index.json; not needed for a model of one file")
    add.add_argument("--revision", default="main", help="commit, tag or branch of the files")
    add.add_argument("--name", help="name of the preset; follows from the repository when not given")
    add.add_argument(
        "--config-map", action="store_true", help="print it as a ConfigMap for kubectl apply --server-side"
    )
    return parser


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UnreadableModelError(
            f"{path}: cannot be read as JSON ({error}); download it from the model's repository"
        ) from error
    if not isinstance(content, dict):
        raise UnreadableModelError(f"{path}: holds no object; download it from the model's repository")
    return content


def _config_map(entry: dict[str, Any], repository: str) -> dict[str, Any]:
    name = entry["name"]
    body = yaml.safe_dump({key: value for key, value in entry.items() if key != "name"}, sort_keys=False, width=120)
    data = {f"preset.{name}.yaml": body, f"alias.{repository.replace('/', '__')}": name}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIG_MAP, "namespace": NAMESPACE},
        "data": data,
    }


if __name__ == "__main__":
    sys.exit(main())
