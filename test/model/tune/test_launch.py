"""T1, T5, T7 with processes: the launch form of the container contract, kills and resumes, several processes, a locked-down container."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from model_runtime import contract
from model_runtime.tune import fine_tuning
from test.model.locked_down import closed_parent, locked_down, may_unshare
from test.model.tune.lessons import ANSWER, Run, answer, prepare, start, subprocess_environment, write_config
from test.support.processes import wait_until

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

PATIENCE_S = 150
SLOW = {"TrainingArguments": {"max_steps": 60, "save_strategy": "steps", "save_steps": 5, "logging_steps": 1}}


ACCELERATE = (str(Path(sys.executable).with_name("accelerate")), "launch", "--num_processes=1")
SEVERAL = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
"""What `accelerate launch` itself runs when it has several GPUs; on a CPU it would start one process."""


@contextmanager
def launched(run: Run, *launcher: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """`<launcher> fine_tuning.py` in the folder of that file, in a process group of its own that ends with the test."""
    with (run.folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*launcher, contract.TRAINER_PROGRAM],
            cwd=Path(fine_tuning.__file__).parent,
            env=subprocess_environment(run, **variables),
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            end_family(process)


def end_family(process: subprocess.Popen[str]) -> None:
    """Kills a launcher that still runs with all that it started: it puts each trainer into a session of its own."""
    if process.poll() is None:
        launcher = psutil.Process(process.pid)
        for member in [launcher, *launcher.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                member.kill()
    process.wait()


def eventually(what: Callable[[], Any], process: subprocess.Popen[str], run: Run) -> Any:
    """What `what` gives as soon as it gives something; fails when the process ends before."""

    def found() -> Any:
        assert process.poll() is None, (run.folder / "log").read_text()[-3000:]
        return what()

    return wait_until(found, PATIENCE_S, f"what the log does not show: {run.folder / 'log'}")


def free_port() -> int:
    """The first of two neighbours that are free now, below those that the kernel gives to clients: one that connects to a port of that
    range, where nobody listens yet, may be given the port itself and meet its own words."""
    for port in range(20_000 + 2 * (os.getpid() % 4_000), 32_000, 2):
        with socket.socket() as first, socket.socket() as second, suppress(OSError):
            first.bind(("127.0.0.1", port))
            second.bind(("127.0.0.1", port + 1))
            return port
    raise AssertionError("no two neighbouring ports are free below 32000")


def progress(port: int) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/progress", timeout=5) as reply:
            shown: dict[str, Any] = json.load(reply)
            return shown
    except (urllib.error.URLError, ConnectionError):
        return {}


def test_a_killed_run_goes_on_from_its_checkpoint_and_ends_as_if_nothing_had_happened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = prepare("llama", tmp_path / "whole", SLOW)
    run = prepare("llama", tmp_path / "killed", SLOW)
    with launched(run, *ACCELERATE) as process:
        eventually(lambda: (run.output / "checkpoint-15" / "complete.json").exists(), process, run)
        os.killpg(process.pid, signal.SIGKILL)
    assert not (run.output / "fine_tuning_completed.txt").exists()
    caplog.set_level("INFO")
    assert start(run).code == 0
    resumed = re.search(r"going on from the checkpoint after step (\d+)", caplog.text)
    assert resumed is not None
    assert 15 <= int(resumed[1]) < 60
    assert run.record()["steps"] == 60
    assert start(whole).code == 0
    ours, theirs = (load_file(str(r.output / "adapter_model.safetensors")) for r in (run, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)


def test_progress_is_served_and_after_sigterm_the_next_start_goes_on_from_the_same_step(tmp_path: Path) -> None:
    run = prepare(
        "llama", tmp_path, {"TrainingArguments": {"max_steps": 5000, "save_strategy": "epoch", "logging_steps": 1}}
    )
    port = free_port()
    with launched(run, sys.executable, TRAINER_PORT=str(port)) as process:
        seen = eventually(lambda: (now := progress(port)).get("loss") and now, process, run)
        assert (seen["phase"], seen["steps"]) == ("training", 5000)
        assert seen["step"] >= 1
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
            assert b"trainer_steps 5000.0" in reply.read()
        process.terminate()
        assert process.wait(timeout=60) == 143
    said = (run.folder / "termination-log").read_text()
    stopped = re.fullmatch(r"stopped by SIGTERM after step (\d+) of 5000; the next start goes on from step (\d+)", said)
    assert stopped is not None, said
    assert stopped[1] == stopped[2]
    assert (run.output / f"checkpoint-{stopped[1]}" / "complete.json").exists()
    with launched(run, sys.executable, TRAINER_PORT=str(port)) as process:
        again = eventually(lambda: (now := progress(port)).get("loss") and now, process, run)
    assert again["resumedFromStep"] == int(stopped[1])
    assert again["step"] > int(stopped[1])


def test_two_processes_train_one_adapter_and_the_first_of_them_leaves_it(tmp_path: Path) -> None:
    run = prepare(
        "llama", tmp_path, {"TrainingArguments": {"per_device_train_batch_size": 4, "save_strategy": "epoch"}}
    )
    port = free_port()
    ranks: set[int] = set()

    def both() -> bool:
        ranks.update(offset for offset in (0, 1) if progress(port + offset).get("step"))
        return ranks == {0, 1}

    with launched(run, *SEVERAL, TRAINER_PORT=str(port), ACCELERATE_USE_CPU="true") as process:
        eventually(both, process, run)
        assert process.wait(timeout=PATIENCE_S) == 0, (run.folder / "log").read_text()[-3000:]
    assert run.record()["steps"] == 48, "64 rows, two processes of 4 rows a step, 6 epochs"
    assert (run.folder / "log").read_text().count("Trained 48 steps") == 1
    assert answer(run.weights, run.output) == ANSWER


def test_a_test_that_fails_leaves_no_trainer_of_several_running(tmp_path: Path) -> None:
    changes = {"TrainingArguments": {"max_steps": 5000, "per_device_train_batch_size": 4, "save_strategy": "no"}}
    run = prepare("llama", tmp_path, changes)
    trainers: list[psutil.Process] = []

    def both() -> bool:
        assert process is not None
        children = psutil.Process(process.pid).children(recursive=True)
        trainers[:] = [child for child in children if contract.TRAINER_PROGRAM in " ".join(child.cmdline())]
        return len(trainers) == 2

    def failing_test() -> None:
        nonlocal process
        with launched(run, *SEVERAL, TRAINER_PORT=str(free_port()), ACCELERATE_USE_CPU="true") as process:
            eventually(both, process, run)
            raise AssertionError("as a failed test")

    process: subprocess.Popen[str] | None = None
    with pytest.raises(AssertionError, match="as a failed test"):
        failing_test()
    assert psutil.wait_procs(trainers, timeout=30)[1] == []


def test_an_error_ends_the_launcher_and_says_one_sentence(tmp_path: Path) -> None:
    run = prepare("llama", tmp_path, {"TrainingArguments": {"warm_up": 1}})
    with launched(run, *ACCELERATE) as process:
        assert process.wait(timeout=PATIENCE_S) == 1
    said = "training_config: TrainingArguments has the unknown key warm_up"
    assert (run.folder / "termination-log").read_text().startswith(said)
    log = (run.folder / "log").read_text()
    assert said in log
    assert "UserError" not in log, "no traceback of ours for a mistake of the user"


@pytest.mark.skipif(not may_unshare(), reason="needs the right to make a mount namespace")
@pytest.mark.skipif(bool(closed_parent(sys.executable)), reason="needs a checkout that other users may enter")
def test_a_user_without_rights_on_a_read_only_root_trains_with_its_mounts_alone() -> None:
    with tempfile.TemporaryDirectory() as folder:
        mount = Path(folder)
        mount.chmod(0o755)
        run = prepare(
            "llama", mount, {"TrainingArguments": {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}}
        )
        shutil.copytree(run.weights, mount / "weights")
        run = Run(mount, mount / "weights")
        write_config(run, {"TrainingArguments": {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}})
        for file in run.weights.iterdir():
            file.chmod(0o644)
        for name in ("tmp", "output"):
            (mount / name).mkdir()
        (mount / "output").chmod(0o777)
        (mount / "termination-log").touch()
        (mount / "termination-log").chmod(0o666)
        environment = subprocess_environment(run, TMPDIR=str(mount / "tmp"), HOME="/nonexistent")
        del environment["HF_DATASETS_CACHE"]
        program = Path(fine_tuning.__file__)
        command = [*locked_down(mount, program.parent), *ACCELERATE, program.name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        assert {"adapter_config.json", "adapter_model.safetensors"} <= {path.name for path in run.output.iterdir()}
        assert (run.output / "adapter_model.safetensors").stat().st_uid == 65534
        assert "Trained 2 steps" in (mount / "termination-log").read_text()
