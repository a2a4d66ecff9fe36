"""Every command of `docs/plugin.md`, with the real kubectl against the cluster of `make up`, prints what the page shows."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hack.demo.world import World
from hack.render.kustomize import ROOT, kubectl
from kaito_controller.cli.app import LAZY, app
from test.e2e.plugin.page import PAGE, SHOWN, lasting, run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def _nothing_of_the_test_is_left(world: World) -> Iterator[None]:
    """The cluster is shared, and the page begins with a Workspace that is not there yet."""
    yield
    world.product.kubectl("delete", "workspaces", "--all", "--timeout=120s")


def test_each_command_of_the_page_prints_what_the_page_shows(world: World) -> None:
    shown = SHOWN.findall(PAGE.read_text("utf-8"))

    assert len(shown) >= 9
    for command, output in shown:
        assert lasting(run(command, world.kubeconfig)) == lasting(output), command


def test_the_page_lists_every_command_and_fits_eighty_columns() -> None:
    text = PAGE.read_text("utf-8")
    listed = re.findall(r"^\| `(\w+)", text, re.M)

    assert sorted(listed) == sorted({*LAZY, *app.commands})
    ours = [output for command, output in SHOWN.findall(text) if " chat " not in command and " logs " not in command]
    long = [line for output in ours for line in output.splitlines() if len(line) > 80]
    assert [line for line in long if not line.startswith("  kubectl ")] == []


USER = "jane"


def test_the_shipped_roles_are_all_that_an_ordinary_user_needs(world: World, tmp_path: Path) -> None:
    world.product.kubectl("create", "serviceaccount", USER)
    subject = f"--serviceaccount=default:{USER}"
    world.product.kubectl("create", "rolebinding", USER, "--clusterrole=kaito-plugin-user", subject)
    world.product.kubectl("create", "clusterrolebinding", USER, "--clusterrole=kaito-plugin-user-cluster", subject)
    document = yaml.safe_load(world.kubeconfig.read_text())
    document["users"] = [
        {**u, "user": {"token": world.product.kubectl("create", "token", USER).strip()}} for u in document["users"]
    ]
    mine = tmp_path / "jane"
    mine.write_text(yaml.safe_dump(document))
    world.product.apply((ROOT / "config/samples/inference-phi-3-mini.yaml").read_text())
    name = "workspace-phi-3-mini"
    world.product.kubectl("wait", "workspace", name, "--for=condition=WorkspaceReady", "--timeout=120s")

    pages = [
        run(f"kubectl kaito {words}", mine)
        for words in (f"explain {name}", f"plan {name}", "top", f"logs {name}", f"chat {name} Hi")
    ]
    doctor = run("kubectl kaito doctor || true", mine)

    assert "cannot be read" not in "".join(pages)
    unread = [line for line in doctor.splitlines() if line.startswith("??")]
    assert [line.split()[1] for line in unread] == ["permissions"], "which asks what the operators may do"


def test_a_terminal_gets_colours_and_bars_and_a_pipe_gets_neither(world: World) -> None:
    world.product.apply((ROOT / "config/samples/inference-phi-3-mini.yaml").read_text())
    words = "kaito explain workspace-phi-3-mini --watch"

    assert "\x1b[" not in run(f"kubectl {words}", world.kubeconfig)
    seen = _on_a_terminal([kubectl(), *words.split()], world.kubeconfig)
    assert "\x1b[" in seen
    assert "InferenceServing" in seen
    assert "━" in seen


def _on_a_terminal(command: list[str], kubeconfig: Path) -> str:
    leader, follower = pty.openpty()
    environment = {
        "PATH": f"{Path(kubectl()).parent}:/usr/bin:/bin", "HOME": "/nonexistent", "KUBECONFIG": str(kubeconfig),
        "COLUMNS": "80", "TERM": "xterm-256color",
    }  # fmt: skip
    with subprocess.Popen(command, env=environment, stdin=follower, stdout=follower, stderr=follower) as process:
        os.close(follower)
        seen = bytearray()
        while True:
            try:
                seen += os.read(leader, 65536)
            except OSError:
                break
        process.wait(60)
    os.close(leader)
    return seen.decode("utf-8", "replace")
