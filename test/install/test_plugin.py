"""The plugin as users run it: through the real kubectl, through pipes, in the words of its page, and without its extra."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hack.render.kustomize import ROOT, kubectl
from test.install import readme

PAGE = ROOT / "docs/plan.md"
SHOWN = re.findall(r"```sh\n([^`]+)\n```\n\n```\n(.*?)\n```", PAGE.read_text("utf-8"), re.S)
SAMPLE = "config/samples/inference-phi-3-mini.yaml"


def shell(command: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{Path(kubectl()).parent}:/usr/bin:/bin", "HOME": "/nonexistent"}
    return subprocess.run(
        ["sh", "-c", command],
        cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("command", "output"), SHOWN, ids=[command[:40] for command, _ in SHOWN])
def test_a_command_of_the_page_prints_what_the_page_shows(command: str, output: str) -> None:
    reply = shell(command)

    assert reply.stdout.rstrip("\n") == output
    assert reply.returncode == 0, reply.stderr


def test_the_first_page_shows_what_plan_and_explain_print() -> None:
    page = (ROOT / "README.md").read_text("utf-8")
    explained = (ROOT / "test/unit/kaito_controller/cli/explained/quota-is-refused.txt").read_text("utf-8")

    assert f"```\n{explained}```" in page
    assert f"```sh\n{SHOWN[0][0]}\n```\n\n```\n{SHOWN[0][1]}\n```" in page


def test_every_command_of_the_page_is_shown_with_its_output() -> None:
    assert [" ".join(command.split()) for command, _ in SHOWN] == readme.commands(text=PAGE.read_text("utf-8"))


def test_a_plan_without_a_cluster_takes_less_than_a_second_of_computing() -> None:
    """And so does not import what only a cluster needs, which alone takes longer."""

    def spent_s() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    shell(f"kubectl kaito plan -f {SAMPLE}")  # once, so that byte code is there
    before = spent_s()
    reply = shell(f"kubectl kaito plan -f {SAMPLE}")

    assert reply.returncode == 0
    assert spent_s() - before < 1.0


def test_a_command_that_asks_a_cluster_starts_in_less_than_a_second_of_computing(tmp_path: Path) -> None:
    """The least of three, because a busy machine makes the same work look like more."""
    kubeconfig = tmp_path / "kubeconfig"
    cluster = {"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}], "current-context": "c"}
    kubeconfig.write_text(yaml.safe_dump({**cluster, "contexts": [{"name": "c", "context": {"cluster": "c"}}]}))

    def spent_s() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        reply = shell(f"kubectl-kaito explain phi --kubeconfig {kubeconfig}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert "no reply from 127.0.0.1:9" in reply.stderr
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(spent_s() for _ in range(3)) < 1.0


def test_a_reader_that_goes_away_is_no_error() -> None:
    reply = shell(f"{{ kubectl-kaito plan -f {SAMPLE} --all -o json; echo $? >&2; }} | true")

    assert reply.stderr == "0\n"


def test_a_pipe_gets_no_colour_and_no_long_lines() -> None:
    reply = shell(f"TERM=xterm-256color kubectl-kaito plan -f {SAMPLE} --all | cat")

    assert "\x1b" not in reply.stdout
    assert max(map(len, reply.stdout.splitlines())) <= 80


def test_without_its_extra_it_says_how_to_install_it() -> None:
    script = "import sys; sys.modules['click'] = None\nfrom kaito_controller.cli.__main__ import main\nsys.exit(main(['models']))"
    reply = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert reply.returncode == 2
    assert (
        reply.stderr
        == "kubectl-kaito: click is not installed; install the plugin with: pip install 'kaito-operator[cli]'\n"
    )


def test_the_image_does_not_hold_what_only_the_plugin_needs() -> None:
    locked = (ROOT / "hack/image/requirements.txt").read_text()

    assert not re.search(r"^(click|rich)==", locked, re.M)
