"""Breed one mutant in a throw-away folder, run the tests that should catch it, and judge what they said."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from test.zoo.mutants import Mutant

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 900.0
"""For one run of pytest; a mutant that makes tests hang is caught by their own timeout long before."""
TEST_TIMEOUT_S = 60
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


class StaleMutantError(Exception):
    """The mutation does not fit the code any more."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one mutant. `told`: the tests that failed, which is good; `trouble`: why it counts as a failure."""

    name: str
    bug: str
    seconds: float
    told: str = ""
    trouble: str = ""

    @property
    def good(self) -> bool:
        return not self.trouble


def mutated(source: str, mutant: Mutant) -> str:
    """The source with the bug in it. Raises StaleMutantError unless the text to replace is there exactly once."""
    count = source.count(mutant.before)
    if count != 1:
        raise StaleMutantError(
            f"{mutant.file} has the text {mutant.before!r} {count} times; adapt the mutant {mutant.name} to the code"
        )
    return source.replace(mutant.before, mutant.after)


def try_mutant(mutant: Mutant) -> Finding:
    """Run its tests on the mutated code; good when each selection fails."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        try:
            _breed(mutant, Path(folder))
        except StaleMutantError as error:
            return Finding(mutant.name, mutant.bug, 0.0, trouble=str(error))
        code, output = _pytest(mutant.tests, Path(folder))
    told, trouble = judge(mutant.tests, code, output)
    return Finding(mutant.name, mutant.bug, time.monotonic() - started, told, trouble)


def check_sanity(mutants: Iterable[Mutant]) -> Finding:
    """The same tests on the code as it is: a test that always fails would catch everything."""
    started = time.monotonic()
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    code, output = _pytest(tests, None)
    trouble = "" if code == 0 else f"the tests do not pass on unmutated code\n{_tail(output)}"
    told = f"nothing, as it should be: {len(tests)} selections pass"
    return Finding("(no mutation)", "The code as it is.", time.monotonic() - started, told, trouble)


def judge(tests: Sequence[str], code: int, output: str) -> tuple[str, str]:
    """(what caught it, what is wrong) from the exit code and the output of pytest."""
    failed = _FAILED.findall(output)
    silent = [test for test in tests if not any(_is_within(name, test) for name in failed)]
    if code != 1:
        meaning = "all tests passed" if code == 0 else f"pytest ended with {code}"
        return "", f"{meaning}\n{_tail(output)}"
    if silent:
        return "", f"no failure in {', '.join(silent)}\n{_tail(output)}"
    return ", ".join(sorted({name.rpartition("::")[2].partition("[")[0] for name in failed})), ""


def _is_within(failed: str, selection: str) -> bool:
    """Whether a failed test is the selection, one of its parameters, or inside its file."""
    return failed == selection or failed.startswith((f"{selection}[", f"{selection}::"))


def _breed(mutant: Mutant, folder: Path) -> None:
    source = mutated((ROOT / mutant.file).read_text(), mutant)
    package = mutant.file.partition("/")[0]
    shutil.copytree(ROOT / package, folder / package)
    (folder / mutant.file).write_text(source)


def _pytest(tests: Sequence[str], overlay: Path | None) -> tuple[int, str]:
    paths = [str(overlay), "."] if overlay is not None else ["."]
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=line", "-p", "no:cacheprovider", "-p", "no:randomly"]
    command += ["-m", "not envtest", f"--timeout={TEST_TIMEOUT_S}", "-o", f"pythonpath={' '.join(paths)}", "--", *tests]
    # Wide, or pytest cuts the names of failed tests to the terminal.
    environment = {**os.environ, "COLUMNS": "400", "PYTHONDONTWRITEBYTECODE": "1", "CI": "1"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return -1, f"no end within {LIMIT_S:.0f} s"
    return done.returncode, done.stdout + done.stderr


def _tail(output: str) -> str:
    return "\n".join(line[:300] for line in output.strip().splitlines()[-12:])
