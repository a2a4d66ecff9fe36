"""S1, S2, S5, S6, S13: port, health, metrics, flags of old presets, and what the process writes."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from test.model.locked_down import USER, closed_parent, locked_down, may_unshare
from test.model.serve.running import TOP, Server, child, serving

pytestmark = pytest.mark.model


def test_both_health_paths_and_the_root_answer(server: Server) -> None:
    assert [server.get(path).status for path in ("/health", "/healthz", "/")] == [200, 200, 200]


def test_metrics_carry_the_names_that_vllm_has(server: Server) -> None:
    server.complete("The sky", max_tokens=4)
    for name in (
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
        "vllm:prompt_tokens_total",
        "vllm:generation_tokens_total",
        "vllm:time_to_first_token_seconds_count",
        "vllm:inter_token_latency_seconds_count",
        "vllm:e2e_request_latency_seconds_count",
        "vllm:request_success_total",
    ):
        assert server.metric(name) >= 0
    assert server.metric("model_runtime_ready") == 1


def test_flags_of_other_programs_are_named_and_ignored(server: Server) -> None:
    assert "flags that this server does not know are ignored: --load_in_4bit" in server.process.output


def test_the_engine_and_the_reason_are_one_line(server: Server) -> None:
    server.process.wait_for_output(r"engine: transformers, because there is no GPU$")


def test_local_rank_is_added_to_the_port_and_the_file_is_read(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "inference_config.yaml").write_text(json.dumps({"vllm": {"max-model-len": 100}, "max_probe_steps": 6}))
    flags = [f"--weights={llama}", "--port=45870", f"--kaito-config-file={tmp_path / 'inference_config.yaml'}"]
    with child(tmp_path, *flags, environment={"LOCAL_RANK": "3"}).start() as process:
        process.wait_for_output(r"listening on 127\.0\.0\.1:45873", 240)
        process.wait_for_output(r"100 tokens of context", 240)


def test_the_cache_is_made_for_the_context_that_is_asked_for(llama: Path, tmp_path: Path) -> None:
    flags = [f"--weights={llama}", "--block-tokens=4", "--max-model-len=500"]
    with serving(tmp_path, *flags) as server:
        server.process.wait_for_output(r"500 tokens of context", 240)
        assert server.post("/tokenize", {"prompt": "The sky " * 200}).json["count"] > 64 * 4
        assert server.complete("The sky " * 100, max_tokens=4)


def test_requests_without_a_token_make_the_server_unhealthy_and_it_recovers(llama: Path, tmp_path: Path) -> None:
    with serving(tmp_path, f"--weights={llama}", "--stall-timeout-s=0.001") as server, ThreadPoolExecutor(4) as clients:
        running = [clients.submit(server.complete, "The sky", max_tokens=200) for _ in range(4)]
        ill = server.process.wait_for(
            lambda: next((a for a in [server.get("/health")] if a.status == 503), None), 20, "503"
        )
        assert "requests are running and no token came for" in ill.json["detail"]
        assert all(reply.result() for reply in running)
        assert server.get("/health").status == 200


WRITES = """
import os, sys
def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        os.write(2, f"WRITES {arguments[0]}\\n".encode())
    elif event in ("os.mkdir", "os.rename", "os.link", "os.symlink"):
        os.write(2, f"WRITES {arguments[0]}\\n".encode())
sys.addaudithook(hook)
"""


def test_nothing_is_written_outside_of_the_temporary_folder(llama: Path, tmp_path: Path) -> None:
    """What a read-only root file system allows: Python tells of every file that is opened for writing."""
    (tmp_path / "sitecustomize.py").write_text(WRITES)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(scratch)}
    with serving(tmp_path, f"--weights={llama}", environment=environment) as server:
        server.complete("The sky", max_tokens=4)
        assert server.process.terminate() == 0
        written = set(re.findall(r"^WRITES (.*)$", server.process.output, re.MULTILINE))
    assert {path for path in written if not path.startswith(f"{scratch}/")} == {"/dev/null"}


@pytest.mark.skipif(not may_unshare(), reason="needs the right to make a mount namespace")
@pytest.mark.skipif(bool(closed_parent(sys.executable)), reason="needs a checkout that other users may enter")
def test_a_user_without_rights_on_a_read_only_root_serves_and_stops(llama: Path) -> None:
    """In a folder that others may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        mount = Path(folder)
        mount.chmod(0o755)
        (mount / "tmp").mkdir()
        (mount / "termination-log").touch()
        (mount / "termination-log").chmod(0o666)
        weights = shutil.copytree(llama, mount / "weights", copy_function=shutil.copyfile)
        environment = {"TMPDIR": str(mount / "tmp"), "HOME": "/nonexistent"}
        with serving(mount, f"--weights={weights}", environment=environment, within=locked_down(mount, TOP)) as server:
            assert f"Uid:\t{USER}\t" in Path(f"/proc/{server.process.pid}/status").read_text()
            assert server.complete("The sky", max_tokens=4)
            assert server.process.terminate() == 0
