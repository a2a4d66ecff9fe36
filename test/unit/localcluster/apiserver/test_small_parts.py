"""The pure parts: quantities, durations, JSONPath, versions, CEL functions, field sets."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

from hack.localcluster.apiserver.answers import warning_headers
from hack.localcluster.apiserver.cel import program, to_cel
from hack.localcluster.apiserver.cel_values import CelError, Optional
from hack.localcluster.apiserver.columns import human_duration
from hack.localcluster.apiserver.jsonpath import find
from hack.localcluster.apiserver.ownership import leaves, shown, subtract, union
from hack.localcluster.apiserver.quantity import parse_quantity
from hack.localcluster.apiserver.registry import version_order


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1500m", "1.5"),
        ("2Gi", "2147483648"),
        ("1e3", "1000"),
        ("0.5k", "500"),
        ("-3", "-3"),
        ("7", "7"),
        ("12E", "12e18"),
    ],
)
def test_quantity_is_exact(text: str, amount: str) -> None:
    assert parse_quantity(text) == Decimal(amount)


@pytest.mark.parametrize("text", ["", "1KiB", "one", "1 Gi", "1.2.3"])
def test_text_that_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "5s"), (119, "119s"), (150, "2m30s"), (3000, "50m"), (3600 * 5 + 60, "5h1m"), (3600 * 20, "20h"),
     (86400 * 3, "3d"), (86400 * 3 + 7200, "3d2h"), (86400 * 30, "30d"), (86400 * 800, "2y70d")],
)  # fmt: skip
def test_age_is_told_as_kubectl_tells_it(seconds: int, words: str) -> None:
    moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)
    assert human_duration(moment.isoformat()) == words


OBJECT: dict[str, Any] = {
    "metadata": {"labels": {"a.b/c": "x"}},
    "list": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}],
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ('.list[?(@.type=="Ready")].status', ["True"]),
        ("list[1].status", ["False"]),
        (".list[*].type", ["Ready", "Other"]),
        (".metadata.labels['a.b/c']", ["x"]),
        (r".metadata.labels.a\.b/c", ["x"]),
        (".nothing.here", []),
    ],
)
def test_path_finds_values(path: str, found: list[Any]) -> None:
    assert find(OBJECT, path) == found


def test_path_that_is_not_understood_says_so() -> None:
    with pytest.raises(ValueError, match="does not understand"):
        find(OBJECT, ".list[(@.length-1)]")


def test_versions_are_preferred_as_in_kubernetes() -> None:
    versions = ["v1alpha5", "v1beta1", "v2", "v1", "v1beta2", "foo"]
    assert sorted(versions, key=version_order, reverse=True) == ["v2", "v1", "v1beta2", "v1beta1", "v1alpha5", "foo"]


@pytest.mark.parametrize(
    "expression",
    [
        "'a-b'.split('-') == ['a', 'b']",
        "['a', 'b'].join('+') == 'a+b'",
        "'ABC'.lowerAscii() == 'abc'",
        "'%s has %d'.format(['x', 2]) == 'x has 2'",
        "'100%% of %s'.format(['x']) == '100% of x'",
        "'abc'.matches('^a.c$')",
        "quantity('2Gi').isGreaterThan(quantity('1500M'))",
        "quantity('1').add(quantity('500m')).compareTo(quantity('1.5')) == 0",
        "isQuantity('10Gi') && !isQuantity('ten')",
        "[1, 2, 3].sum() == 6 && [1, 2].isSorted() && ![2, 1].isSorted()",
        "['a', 'b'].indexOf('b') == 1 && 'abcb'.lastIndexOf('b') == 3",
        "'abc'.substring(1) == 'bc' && 'abc'.replace('b', 'x') == 'axc'",
        "'a1b22'.findAll('[0-9]+') == ['1', '22']",
        "has(self.a) && !has(self.b) && self.a.all(x, x > 0) && self.a.exists(x, x == 2)",
        "old.hasValue() ? false : old.orValue(3) == 3",
    ],
)
def test_function_works_as_in_kubernetes(expression: str) -> None:
    assert program(expression)({"self": to_cel({"a": [1, 2]}), "old": Optional(None)})


@pytest.mark.parametrize("expression", ["self.", "self.a.nosuch()", "authorizer.path('/').check('get').allowed()"])
def test_expression_that_is_not_understood_does_not_compile(expression: str) -> None:
    with pytest.raises(CelError, match="compilation failed"):
        program(expression)


def test_missing_field_is_an_evaluation_error() -> None:
    with pytest.raises(CelError, match="no such"):
        program("self.b > 1")({"self": to_cel({"a": 1})})


def test_field_sets_add_and_subtract() -> None:
    left = {"f:spec": {"f:a": {}, "f:b": {}}}
    right = {"f:spec": {"f:b": {}, "f:c": {}}}
    assert union(left, right) == {"f:spec": {"f:a": {}, "f:b": {}, "f:c": {}}}
    assert subtract(left, right) == {"f:spec": {"f:a": {}}}
    assert list(leaves(left)) == [("f:spec", "f:a"), ("f:spec", "f:b")]
    assert shown(("f:spec", 'k:{"name":"a"}', "f:image")) == '.spec[name="a"].image'


def test_warning_that_no_header_can_hold_is_left_out() -> None:
    headers = warning_headers(['say "a"', "two\nlines", "bell\x07", "half\ud800"])

    assert headers == [("Warning", '299 - "say \\"a\\""')]
