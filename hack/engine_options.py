"""`python -m hack.engine_options vllm-0.33.0-….whl`: write the names of the engine's options from its own source, without importing it.

The controller refuses names that the engine does not have, because a pod that fails on one has a GPU already. Run it when the runtime image
gets another vLLM.
"""

from __future__ import annotations

import ast
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

TARGET = Path("kaito_controller/catalog/data/engine_options.yaml")
ENGINE, FRONTEND = "vllm/engine/arg_utils.py", "vllm/entrypoints/common/cli_args.py"


def main(wheel: str) -> None:
    """Write `TARGET`."""
    version = Path(wheel).name.split("-")[1]
    with zipfile.ZipFile(wheel) as archive:
        engine, frontend = (ast.parse(archive.read(name)) for name in (ENGINE, FRONTEND))
    lines = [
        "# Option names of vLLM, without the leading dashes. `python -m hack.engine_options WHEEL` writes this file.",
        f"version: {version}",
        f"source: vllm {version} (Apache-2.0), {ENGINE} and {FRONTEND}, add_argument and FrontendArgs",
    ]
    for kind, names in (("engine", set(_added(engine))), ("frontend", set(_fields(frontend)))):
        lines += [f"{kind}:", *(f"  - {name}" for name in sorted(names))]
    TARGET.write_text("\n".join(lines) + "\n", "utf-8")


def _added(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            texts = (a.value for a in node.args if isinstance(a, ast.Constant))
            yield from (str(text)[2:] for text in texts if str(text).startswith("--"))


def _fields(tree: ast.Module) -> Iterator[str]:
    classes = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name in ("BaseFrontendArgs", "FrontendArgs"))
    for body in (node.body for node in classes):
        names = (n.target.id for n in body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name))
        yield from (name.replace("_", "-") for name in names)


if __name__ == "__main__":
    main(sys.argv[1])
