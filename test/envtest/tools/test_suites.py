"""The runner's books: counts, what was left out and why, and the table in the README."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from hack.envtest import binaries, selection, suites
from hack.envtest.suites import Count, Suite

README = Path(binaries.__file__).with_name("README.md").read_text("utf-8")
ROOT = Path(__file__).parents[3]


def test_table_has_a_row_for_each_suite_a_column_for_each_server_and_sums() -> None:
    two = [Suite("one", ("a",)), Suite("two", ("b",))]
    results = {("one", "1.0"): Count(3, 0, 0), ("two", "1.0"): Count(4, 1, 0, ("t\tbecause",))}

    assert suites.table(results, two, ["1.0"]).splitlines() == [
        "| suite | Kubernetes 1.0 |",
        "| --- | --- |",
        "| one | 3 passed |",
        "| two | 4 passed, 1 FAILED, 1 not run |",
        "| **all** | 7 passed, 1 FAILED, 1 not run |",
    ]
    assert suites.notes(results).endswith("- t: because")


def test_suite_whose_pytest_did_not_even_start_counts_as_failed(tmp_path: Path) -> None:
    count = suites.run_suite(Suite("none", (str(tmp_path / "no_such_test.py"),)), {})

    assert (count.passed, count.failed) == (0, 1)


FLAKY = """
import pathlib, pytest
MARK = pathlib.Path(__file__).with_name("mark")
def test_good():
    pass
def test_second_time_lucky():
    first = not MARK.exists()
    MARK.touch()
    assert not first
"""


def no_server(_suite: Suite, _minor: str) -> AbstractContextManager[dict[str, str]]:
    return nullcontext({})


def test_what_failed_is_repeated_on_a_fresh_server_and_named(tmp_path: Path) -> None:
    (tmp_path / "test_flaky.py").write_text(FLAKY)
    suite = Suite("flaky", (str(tmp_path),))

    count = suites.run_on_fresh_server(suite, "1.0", repeat_failed=True, start=no_server)

    assert (count.passed, count.failed) == (2, 0)
    assert "Passed only when repeated:\n- 1.0: " in suites.notes({("flaky", "1.0"): count})
    assert count.repeated[0].endswith("test_flaky::test_second_time_lucky")


def test_suite_that_an_older_minor_does_without_has_no_count_there() -> None:
    results = {("one", "2.0"): Count(3, 0, 0), ("two", "2.0"): Count(4, 0, 0), ("one", "1.0"): Count(3, 0, 0)}

    lines = suites.table(results, [Suite("one", ("a",), every_minor=True), Suite("two", ("b",))], ["2.0", "1.0"])

    assert lines.splitlines()[2:] == [
        "| one | 3 passed | 3 passed |",
        "| two | 4 passed | – |",
        "| **all** | 7 passed | 3 passed |",
    ]


def test_what_fails_twice_has_failed(tmp_path: Path) -> None:
    (tmp_path / "test_bad.py").write_text("def test_good():\n    pass\ndef test_bad():\n    assert False\n")

    count = suites.run_on_fresh_server(Suite("bad", (str(tmp_path),)), "1.0", repeat_failed=True, start=no_server)

    assert (count.passed, count.failed, count.repeated) == (1, 1, ())


def test_suites_side_by_side_are_told_each_in_one_piece(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / f"test_{name}.py").write_text(f"def test_{name}():\n    assert {name!r} == 'a'\n")
    two = [Suite(name, (str(tmp_path / f"test_{name}.py"),), own_server=True) for name in ("a", "b")]

    results = suites.side_by_side([suites.Run(suite, "1.0", repeat_failed=False) for suite in two])

    assert {key: (count.passed, count.failed) for key, count in results.items()} == {
        ("a", "1.0"): (1, 0),
        ("b", "1.0"): (0, 1),
    }
    first, second = sorted(re.split(r"(?=\n=== [ab] on)", capsys.readouterr().out)[1:])
    assert "1 passed" in first
    assert first.endswith(" s\n")
    assert "1 failed" in second
    assert second.endswith(" s\n")


def run_with_plugin(folder: Path, body: str, record: Path) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(f"import pytest\n{body}\ndef test_stays():\n    pass\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        selection.__name__,
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    environment = {"PYTHONPATH": str(ROOT), selection.RECORD: str(record), "PATH": ""}
    return subprocess.run(
        [*command, "--rootdir", str(folder), str(folder)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
        check=False,
    )


def test_what_only_localcluster_can_do_is_left_out_and_recorded_with_its_reason(tmp_path: Path) -> None:
    body = "@pytest.mark.localcluster('no proxy there')\ndef test_goes():\n    assert False"
    done = run_with_plugin(tmp_path, body, tmp_path / "record")

    assert "1 passed, 1 deselected" in done.stdout
    assert (tmp_path / "record").read_text() == "test_it.py::test_goes\tno proxy there\n"


def test_marker_without_a_reason_is_an_error_of_the_author(tmp_path: Path) -> None:
    done = run_with_plugin(tmp_path, "@pytest.mark.localcluster\ndef test_goes():\n    pass", tmp_path / "record")

    assert done.returncode != 0
    assert "needs its reason" in done.stdout + done.stderr


def test_readme_has_a_row_for_each_suite_and_a_column_for_each_minor() -> None:
    table = README.split("## Record")[1].split("Left out")[0]
    rows = re.findall(r"^\| ([^|*]+?) \|", table, re.MULTILINE)
    head, *names = rows

    assert head == "suite"
    assert names == [suite.name for suite in suites.SUITES]
    assert all(f"Kubernetes {minor}" in table for minor in binaries.minors())


@pytest.mark.parametrize("suite", suites.SUITES, ids=lambda suite: suite.name)
def test_every_path_of_a_suite_exists(suite: Suite) -> None:
    assert all((ROOT / path).exists() for path in suite.paths)
