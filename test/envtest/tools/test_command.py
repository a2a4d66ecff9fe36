"""`python -m hack.envtest up` as a user runs it, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from test.support.kubectl import Kubectl
from test.support.processes import Process

pytestmark = [pytest.mark.envtest, pytest.mark.timeout(300)]


def test_up_serves_until_it_is_told_to_stop_and_leaves_nothing(tmp_path: Path) -> None:
    with Process.module("hack.envtest", "up", log_dir=tmp_path).start() as process:
        kubeconfig = Path(process.wait_for_output(r"^export KUBECONFIG=(.+)$", 120)[1])
        kubectl = Kubectl(kubeconfig, tmp_path)
        assert "default" in kubectl("get", "namespaces")

        assert process.terminate() == 0

    assert not kubeconfig.parent.exists()
    assert kubectl.run("get", "namespaces").returncode != 0
