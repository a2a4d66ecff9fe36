"""`python -m hack.engine_options vllm-0.33.0-….whl`: write the engine's options from its own source, without importing it.

The controller refuses names and values that the engine would refuse, because a pod that fails on one has a GPU already. The engine makes
its parser from the types of its configuration classes; the same rules, in the same order, are read from the source here. Run it when
the runtime image gets another vLLM.
"""

from __future__ import annotations

import ast
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

TARGET = Path("kaito_controller/catalog/data/engine_options.yaml")
ENGINE, FRONTEND = "vllm/engine/arg_utils.py", "vllm/entrypoints/common/cli_args.py"
SOURCES = ("vllm/config/", "vllm/model_executor/layers/quantization/__init__.py", ENGINE, FRONTEND)
SIZES = (
    "max_num_batched_tokens", "max_num_scheduled_tokens", "kv_cache_memory_bytes", "safetensors_prefetch_block_size",
    "max_num_queued_tokens",
)  # fmt: skip
"""Whole numbers that may be written with a suffix: `human_readable_int_args` in the engine's source."""
JSON = ("allowed_origins", "allowed_methods", "allowed_headers")
"""Lists that the engine takes as JSON (`_customize_cli_kwargs`)."""

Kind = str | list[str]


def main(wheel: str) -> None:
    """Write `TARGET`."""
    version = Path(wheel).name.split("-")[1]
    with zipfile.ZipFile(wheel) as archive:
        names = [n for n in archive.namelist() if n.endswith(".py") and n.startswith(SOURCES)]
        trees = {name: ast.parse(archive.read(name)) for name in names}
    source = _Source(list(trees.values()))
    lines = [
        "# Options of vLLM, without the leading dashes: the words that it takes, or the kind of its value (switch, whole, size, context,",
        "# number, json, many, optional, text). `python -m hack.engine_options WHEEL` writes this file.",
        f"version: {version}",
        f"source: vllm {version} (Apache-2.0), {ENGINE} and {FRONTEND}, and the configuration classes that they name",
    ]
    for part, found in (("engine", _added(trees[ENGINE], source)), ("frontend", _fields(source))):
        lines += [f"{part}:", *(f"  {name}: {_flow(kind)}" for name, kind in sorted(dict(found).items()))]
    TARGET.write_text("\n".join(lines) + "\n", "utf-8")


class _Source:
    """Classes and type aliases of the engine's source, by name."""

    def __init__(self, trees: list[ast.Module]) -> None:
        nodes = [node for tree in trees for node in tree.body]
        self.classes = {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}
        self.aliases = {
            t.id: n.value for n in nodes if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)
        }
        self.aliases |= {
            n.target.id: n.value
            for n in nodes
            if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name) and n.value
        }

    def fields(self, name: str) -> dict[str, ast.expr]:
        """Annotations of a class and of its bases."""
        node = self.classes.get(name)
        if node is None:
            return {}
        inherited = {k: v for base in node.bases if isinstance(base, ast.Name) for k, v in self.fields(base.id).items()}
        own = {
            n.target.id: n.annotation
            for n in node.body
            if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
        }
        return inherited | own

    def leaves(self, annotation: ast.expr) -> Iterator[ast.expr]:
        """The types of a union, with aliases followed and `Annotated` taken off."""
        if isinstance(annotation, ast.BinOp):
            yield from self.leaves(annotation.left)
            yield from self.leaves(annotation.right)
        elif isinstance(annotation, ast.Name) and annotation.id in self.aliases:
            yield from self.leaves(self.aliases[annotation.id])
        elif isinstance(annotation, ast.Subscript) and _named(annotation) in (
            "Optional",
            "Union",
            "Annotated",
            "SkipValidation",
        ):
            inner = annotation.slice
            parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            for part in parts[:1] if _named(annotation) == "Annotated" else parts:
                yield from self.leaves(part)
        else:
            yield annotation

    def words(self, literal: ast.expr) -> Iterator[object]:
        """What a `Literal` allows, and None where it holds something that only runs to a value."""
        assert isinstance(literal, ast.Subscript)
        inner = literal.slice
        for part in inner.elts if isinstance(inner, ast.Tuple) else [inner]:
            if isinstance(part, ast.Constant):
                yield "None" if part.value is None else part.value
            elif isinstance(part, ast.Name) and isinstance(self.aliases.get(part.id), ast.Subscript):
                yield from self.words(self.aliases[part.id])
            else:
                yield None

    def kind(self, field: str, annotation: ast.expr) -> Kind:
        """What the engine's parser takes, by the rules of `_compute_kwargs`."""
        leaves = list(self.leaves(annotation))
        names = {_named(leaf) for leaf in leaves}
        if field in JSON or any(_is_dataclass(self.classes.get(name)) for name in names):
            return "json"
        if names == {"bool", "str", "None"}:
            return "optional"
        if "bool" in names:
            return "switch"
        if "Literal" in names:
            words = [word for leaf in leaves if _named(leaf) == "Literal" for word in self.words(leaf)]
            return "text" if "str" in names or None in words else sorted({str(word) for word in words})
        if names & {"tuple", "list", "set"}:
            return "many"
        if "int" in names:
            return "context" if field == "max_model_len" else "size" if field in SIZES else "whole"
        return "number" if "float" in names else "json" if names <= {"dict", "None"} else "text"


def _named(node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        return _named(node.value)
    return "None" if isinstance(node, ast.Constant) else ast.unparse(node).rpartition(".")[2]


def _is_dataclass(node: ast.ClassDef | None) -> bool:
    return node is not None and any(
        "config" in ast.unparse(d) or "dataclass" in ast.unparse(d) for d in node.decorator_list
    )


def _added(tree: ast.Module, source: _Source) -> Iterator[tuple[str, Kind]]:
    """Every option that the engine's parser is given."""
    made = {
        t.id: n.value for n in ast.walk(tree) if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            names = [str(a.value) for a in node.args if isinstance(a, ast.Constant) and str(a.value).startswith("--")]
            kind = _given(node, made, source)
            yield from ((name[2:], kind) for name in names)


def _given(call: ast.Call, made: Mapping[str, ast.expr], source: _Source) -> Kind:
    """The kind of one `add_argument`: of the field that its keywords come from, unless they say otherwise."""
    told = {k.arg: k.value for k in call.keywords if k.arg}
    if "action" in told and ast.unparse(told["action"]) in ("'store_true'", "argparse.BooleanOptionalAction"):
        return "switch"
    if isinstance(told.get("choices"), ast.List):
        return sorted(ast.literal_eval(told["choices"]))
    spread = next((k.value for k in call.keywords if k.arg is None), None)
    while (isinstance(spread, ast.Name) and spread.id in made) or isinstance(spread, ast.Dict):
        inside = (
            [v for k, v in zip(spread.keys, spread.values, strict=True) if k is None]
            if isinstance(spread, ast.Dict)
            else []
        )
        spread = made[spread.id] if isinstance(spread, ast.Name) else next(iter(inside), None)
    if not isinstance(spread, ast.Subscript) or not isinstance(spread.slice, ast.Constant):
        return {"int": "whole", "float": "number"}.get(ast.unparse(told["type"]), "text") if "type" in told else "text"
    owner = spread.value
    while isinstance(owner, ast.Name) and owner.id in made:
        owner = made[owner.id]
    assert isinstance(owner, ast.Call)
    field = str(spread.slice.value)
    return source.kind(field, source.fields(ast.unparse(owner.args[0]))[field])


def _fields(source: _Source) -> Iterator[tuple[str, Kind]]:
    for name, annotation in source.fields("FrontendArgs").items():
        yield name.replace("_", "-"), source.kind(name, annotation)


def _flow(kind: Kind) -> str:
    return yaml.safe_dump(kind, default_flow_style=True, width=10_000).removesuffix("...\n").strip()


if __name__ == "__main__":
    main(sys.argv[1])
