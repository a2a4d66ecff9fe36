"""Each selection of tests in the Makefile names markers that exist.

Under strict markers pytest refuses an unknown name, and pytest-xdist reports that as an internal error at a test
that has nothing to do with it.
"""

from __future__ import annotations

import re
import tomllib

import pytest

from hack.render.kustomize import ROOT

SELECTION = re.compile(r"pytest[^\n]*? -m (?:\"([^\"]+)\"|([a-z_]+))")
OPERATORS = {"and", "or", "not"}


def selections() -> list[str]:
    """The marker expressions of the Makefile's pytest commands and variables, in order."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    lines = re.sub(r"\$\((?:PY|MODEL_PY)\) -m |\$\(MODEL_TESTS\)", "pytest ", makefile)
    return [quoted or bare for quoted, bare in SELECTION.findall(lines)]


def registered() -> set[str]:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]
    return {re.split(r"[:(]", marker)[0] for marker in options["markers"]}


def test_the_makefile_selects_by_marker() -> None:
    assert {"image and not envtest", "prometheus", "cluster", "model and not long"} <= set(selections())


@pytest.mark.parametrize("expression", sorted(set(selections())))
def test_a_selection_names_registered_markers(expression: str) -> None:
    names = set(re.findall(r"[a-z_]+", expression)) - OPERATORS

    assert names <= registered(), f"Makefile: -m {expression!r} names markers that pyproject.toml does not register"
