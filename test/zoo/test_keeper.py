"""The zoo itself: every mutant still fits the code and is Python, and the keeper cannot be fooled into calling a survivor caught."""

from __future__ import annotations

from collections import Counter

import pytest

from test.zoo.keeper import ROOT, StaleMutantError, judge, mutated
from test.zoo.mutants import MUTANTS, Mutant

TEST = "test/a.py::test_b"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_code_compiles_and_names_tests_that_exist(mutant: Mutant) -> None:
    compile(mutated((ROOT / mutant.file).read_text(), mutant), mutant.file, "exec")
    for test in mutant.tests:
        path, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / path).read_text()


def test_names_are_unique() -> None:
    assert not [name for name, count in Counter(mutant.name for mutant in MUTANTS).items() if count > 1]


@pytest.mark.parametrize("source", ["", "x = 1\nx = 1\n"])
def test_a_mutant_whose_text_is_not_there_exactly_once_is_refused_with_its_name(source: str) -> None:
    mutant = Mutant("m", "a bug", "f.py", "x = 1", "x = 2", (TEST,))
    with pytest.raises(StaleMutantError, match=r"f\.py has the text 'x = 1' [02] times; adapt the mutant m"):
        mutated(source, mutant)


@pytest.mark.parametrize(
    ("code", "output"),
    [
        (0, "1 passed"),
        (2, f"ERROR {TEST} - SyntaxError"),
        (5, "no tests ran"),
        (-1, "no end"),
        (1, "FAILED test/a.py::test_other - assert 0"),
        (1, "FAILED test/a.py::test_b_too - assert 0"),
    ],
)
def test_a_mutant_counts_as_caught_only_when_its_own_tests_ran_and_failed(code: int, output: str) -> None:
    assert judge([TEST], code, output)[1]


@pytest.mark.parametrize("failed", [TEST, f"{TEST}[with a space - and dashes]", f"{TEST}[one]"])
def test_a_failure_of_the_named_test_or_of_one_of_its_cases_counts(failed: str) -> None:
    assert judge([TEST], 1, f"FAILED {failed} - assert 0") == ("test_b", "")


def test_every_named_test_has_to_fail() -> None:
    assert "test/a.py::test_c" in judge([TEST, "test/a.py::test_c"], 1, f"FAILED {TEST} - assert 0")[1]
