"""Every command of the top README works: it is run here, or its block says why it cannot be and what it names is checked."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from hack.demo.installation import Installation
from hack.localcluster.cluster import LocalCluster
from hack.render.kustomize import ROOT
from test.install import shipped

README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"(?P<before>[^\n]*)\n```(?P<kind>sh(?: no-test)?)\n(?P<code>.*?)```", re.S)
RUN_ELSEWHERE = {
    "make test": ".ci/run",
    "make demo": "test/e2e/demo/test_demo.py",
    "make up": "test/e2e/demo/test_demo.py",
}
"""What cannot be run from within a test, and where it is run; the file must say so."""
FOREVER = "--watch"


@dataclass(frozen=True)
class Block:
    """Commands of one code block; `reason` is why a `no-test` block is not run as it stands."""

    kind: str
    reason: str
    commands: tuple[str, ...]


def blocks() -> list[Block]:
    found = []
    for match in BLOCK.finditer(README):
        lines = match["code"].replace("\\\n", " ").splitlines()
        commands = (re.sub(r"\s+#.*$", "", line).strip() for line in lines)
        reason = re.search(r"<!-- no-test: (.+?) -->", match["before"])
        found.append(Block(match["kind"], reason[1] if reason else "", tuple(c for c in commands if c)))
    return found


def commands(kind: str = "") -> list[str]:
    return [command for block in blocks() if block.kind.startswith(kind) for command in block.commands]


def test_readme_has_commands_and_every_block_that_is_not_run_says_why() -> None:
    assert "make demo" in commands()
    assert "make test" in commands()
    assert [block.commands for block in blocks() if block.kind == "sh no-test" and not block.reason] == []


@pytest.mark.parametrize("command", [c for b in blocks() if b.kind == "sh" for c in b.commands])
def test_a_tested_command_is_run_somewhere(command: str) -> None:
    where = RUN_ELSEWHERE[command]

    assert command in (ROOT / where).read_text()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?make ([a-z-]+)`?", README))))
def test_make_knows_every_target_that_is_mentioned(target: str) -> None:
    reply = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)

    assert reply.returncode == 0, reply.stderr


def test_every_relative_link_and_path_exists() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    paths = re.findall(
        r"(?:^|[\s`])((?:config|manifests|hack|test|kaito_controller|gpu_provisioner|controller_runtime)/[\w./-]+)",
        README,
    )

    missing = {path for path in (*links, *paths) if not (ROOT / path.rstrip(".,:;")).exists()}
    assert links
    assert not missing


def test_every_value_given_to_helm_is_one_of_the_chart() -> None:
    values = yaml.safe_load((shipped.MANIFESTS / "chart" / "values.yaml").read_text())
    given = re.findall(r"--set ([\w.]+=[^\s`)]+)", README)

    assert given
    for pair in ",".join(given).split(","):
        node = values
        for key in pair.partition("=")[0].split("."):
            assert key in node, f"--set {pair}: values.yaml has no {key}"
            node = node[key]


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Installation]:
    settings = {"gpu-provisioner": ["--time-scale=300"]}
    with (
        LocalCluster(time_scale=300, directory=tmp_path / "cluster", rbac=True) as cluster,
        Installation(cluster.kubeconfig, tmp_path, cluster.environment, settings=settings) as installed,
    ):
        yield installed


@pytest.mark.e2e
@pytest.mark.timeout(240)
def test_kubectl_commands_work_in_the_order_in_which_they_are_printed(product: Installation) -> None:
    product.install()
    product.start_operators()
    node = next(n["metadata"]["name"] for n in product.objects("node") if "userpool" in n["metadata"]["name"])
    wanted = [c.replace("$NODE", node) for c in commands() if c.startswith("kubectl ") and FOREVER not in c]

    assert len(wanted) >= 4
    for command in wanted:
        product.kubectl(*(str(ROOT / word) if word.startswith("config/") else word for word in command.split()[1:]))
