"""The harness for processes: it sees output and exits, and never leaves a child behind."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from test.support.processes import Process, ProcessDied, wait_until

STUBBORN = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(60)"


def python(source: str, tmp_path: Path) -> Process:
    return Process([sys.executable, "-c", source], name="child", log_dir=tmp_path)


def test_output_is_waited_for_and_term_gives_the_exit_code(tmp_path: Path) -> None:
    with python("import time; print('ready on 4711'); time.sleep(60)", tmp_path) as child:
        assert child.wait_for_output(r"ready on (\d+)").group(1) == "4711"
        assert child.terminate() == -signal.SIGTERM


def test_process_that_dies_early_fails_the_wait_with_its_last_words(tmp_path: Path) -> None:
    with (
        python("import sys; sys.exit('no kubeconfig')", tmp_path) as child,
        pytest.raises(ProcessDied, match="no kubeconfig"),
    ):
        child.wait_for_output("ready")


def test_paused_process_does_nothing_until_resumed(tmp_path: Path) -> None:
    with python("import sys\nprint('up')\nimport time\ntime.sleep(60)", tmp_path) as child:
        child.wait_for_output("up")
        child.pause()
        state = Path(f"/proc/{child.pid}/stat")
        wait_until(lambda: state.read_text().rsplit(")", 1)[1].split()[0] == "T", what="stopped state")
        child.resume()
        wait_until(lambda: state.read_text().rsplit(")", 1)[1].split()[0] != "T", what="running state")


def test_killed_process_reports_the_signal(tmp_path: Path) -> None:
    with python(STUBBORN, tmp_path) as child:
        child.wait_for_output("up")
        assert child.kill() == -signal.SIGKILL


def test_condition_that_never_holds_is_named() -> None:
    with pytest.raises(AssertionError, match="pigs fly did not come true"):
        wait_until(lambda: 0, timeout_s=0.01, what="pigs fly")
