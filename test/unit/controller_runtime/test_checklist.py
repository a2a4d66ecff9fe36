"""The checklist in the package's folder is complete, and every test that it names exists and runs."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import controller_runtime

PACKAGE = Path(controller_runtime.__file__).parent
ROOT = PACKAGE.parent
HERE = Path(__file__).parent
TEXT = (PACKAGE / "CHECKLIST.md").read_text()
OTHERWISE = "decided otherwise:"
SWITCHED_OFF = {"skip", "skipif", "xfail"}


def rows(text):
    """The cells of the rows of every table in `text`, heads and rulers left out."""
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| # ", "| fault "))]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


ITEMS, FAULTS = (rows(part) for part in TEXT.split("## Faults on the wire"))


def named_tests(cell):
    return re.findall(r"`([\w/.]+\.py)::(\w+)`", cell)


@cache
def defined_in(path):
    """Name → the marks on it, of every test function and test class at the top of a module."""
    found = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            marks = {part.attr for d in node.decorator_list for part in ast.walk(d) if isinstance(part, ast.Attribute)}
            found[node.name] = marks
        elif isinstance(node, ast.Assign):  # How Hypothesis gives its state machines to pytest.
            found |= {target.id: set() for target in node.targets if isinstance(target, ast.Name)}
    return found


def test_every_number_from_1_to_72_is_there_once():
    assert [int(number) for number, _, _ in ITEMS] == list(range(1, 73))


def test_each_fault_that_a_network_or_server_can_do_has_an_outcome():
    listed = " ".join(fault for fault, _, _ in FAULTS)
    for fault in (
        *("garbage", "half a JSON line", "truncated body", "black hole", "reset", "ERROR event", "unknown event types"),
        *("1.4 MB", "CRD not installed", "401", "403", "404", "409", "410", "422", "429", "500", "503"),
    ):
        assert fault in listed
    assert all(outcome for _, outcome, _ in FAULTS)


@pytest.mark.parametrize("row", [*ITEMS, *FAULTS], ids=lambda row: row[0][:20])
def test_each_row_names_tests_that_exist_and_run_or_says_why_there_is_none(row):
    tests = named_tests(row[2])
    for path, name in tests:
        module = ROOT / path if "/" in path else HERE / path
        assert name.startswith(("test_", "Test"))
        assert name in defined_in(module), f"{path} has no {name}"
        assert not defined_in(module)[name] & SWITCHED_OFF, f"{path}::{name} is switched off"
    assert tests or (row[2].startswith(OTHERWISE) and len(row[2]) > len(OTHERWISE) + 40)


def test_the_readme_leads_to_it():
    assert "](CHECKLIST.md)" in (PACKAGE / "README.md").read_text()
