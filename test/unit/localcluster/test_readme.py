"""The README's tables say what the code has: no more, no less."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import urllib3

from hack.localcluster.__main__ import build_parser
from hack.localcluster.actors.podfaults import PodFaultKind
from hack.localcluster.apiserver.builtins import builtin_types
from hack.localcluster.apiserver.registry import ALL_VERBS
from hack.localcluster.apiserver.server import ApiServer, ServerOptions
from hack.localcluster.cloud.market import Stock
from hack.localcluster.cloud.model import Outcome
from hack.localcluster.faults import FaultKind
from test.bench.localcluster import AT_LEAST, BELOW

README = Path(__file__).parents[3] / "hack" / "localcluster" / "README.md"


def rows(header: str) -> list[list[str]]:
    """The cells of the table with that header."""
    lines = README.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {header} |"))
    body = itertools.takewhile(lambda line: line.startswith("|"), lines[start + 2 :])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body]


def code_words(text: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


def table(header: str) -> set[str]:
    """The code words in the first column of the table with that header."""
    return {word for row in rows(header) for word in code_words(row[0])}


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("fault", {kind.value for kind in FaultKind}),
        ("outcome", {outcome.value for outcome in Outcome}),
        ("stock", {stock.value for stock in Stock}),
    ],
)
def test_table_lists_every_value(header: str, names: set[str]) -> None:
    assert table(header) == names


def test_every_flag_is_listed() -> None:
    usage = next(iter(build_parser()._subparsers._group_actions[0].choices.values())).format_help()  # type: ignore[union-attr]
    flags = set(re.findall(r"--[a-z-]+", usage)) - {"--help"}
    assert {flag.split()[0] for flag in table("flag")} == flags


def test_every_failure_of_pods_is_named() -> None:
    text = README.read_text()
    assert all(kind.value.replace("_", "-") in text for kind in PodFaultKind)


def part(name: str) -> list[str]:
    """The code words of one row of the table of the API server's parts."""
    return code_words(next(row[1] for row in rows("part") if row[0] == name))


def test_every_module_of_the_api_server_belongs_to_one_part() -> None:
    folder = README.parent / "apiserver"
    named = [word for row in rows("part") for word in code_words(row[2])]
    assert sorted(named) == sorted(path.name for path in folder.glob("*.py") if not path.name.startswith("__"))


def test_verbs_are_those_of_the_types() -> None:
    assert sorted(part("verbs")) == sorted(ALL_VERBS)


def test_subresources_are_answered_as_listed_and_the_others_are_refused_by_name(tmp_path: Path) -> None:
    """Asked of objects that are not there: 404 or 503 from those that are answered, 501 from the others."""
    answered, refused = set(), set()
    with ApiServer(ServerOptions(folder=tmp_path, plain_http=True)) as server:
        for kind in builtin_types():
            place = f"{'namespaces/default/' if kind.namespaced else ''}{kind.plural}/absent"
            base = f"{server.plain_url}/{'apis' if kind.group else 'api'}/{kind.api_version}/{place}"
            for name in kind.subresources:
                replies = [urllib3.request(method, f"{base}/{name}", body=b"{}") for method in ("GET", "POST")]
                found = {(reply.status, reply.json().get("reason")) for reply in replies}
                supported = found & {(404, "NotFound"), (503, "ServiceUnavailable")}
                (answered if supported else refused).add(name)
                assert supported or (501, "NotImplemented") in found, (kind.plural, name, found)
    assert set(part("subresources")) == answered
    not_there = README.read_text().partition("\nNot there, ")[2].partition("\n\n")[0]
    assert refused <= set(code_words(not_there))


def test_figures_and_their_bars_are_those_of_the_bench() -> None:
    bars = {name: f">= {bar:g}" for name, bar in AT_LEAST.items()} | {name: f"< {bar:g}" for name, bar in BELOW.items()}
    assert {code_words(row[0])[0]: row[1] for row in rows("figure")} == bars
