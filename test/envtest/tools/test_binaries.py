"""Where the binaries come from, and clusters that somebody else started."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hack.envtest import binaries, suites
from hack.envtest.control_plane import ControlPlane, ControlPlaneFailed
from test.support.kubectl import Kubectl

pytestmark = [pytest.mark.envtest, pytest.mark.timeout(300)]


def test_downloaded_binaries_are_used_and_nothing_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = binaries.ensure(binaries.control_plane(binaries.chosen_minor()))
    assets = tmp_path / "assets"
    assets.symlink_to(built)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    monkeypatch.setenv("ENVTEST_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("PATH", "")

    with ControlPlane(binaries.ensure_control_plane("1.0"), controllers=False) as plane:
        version = Kubectl(plane.kubeconfig, tmp_path)("version")

    assert f"Server Version: v{binaries.chosen_minor()}" in version
    assert not (tmp_path / "empty").exists()


def test_folder_with_the_two_that_kubebuilder_needs_serves_without_controllers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = binaries.ensure(binaries.control_plane(binaries.chosen_minor()))
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).symlink_to(built / name)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))

    with ControlPlane(binaries.ensure_control_plane("1.0"), controllers=False) as plane:
        assert Kubectl(plane.kubeconfig, tmp_path)("get", "--raw", "/readyz") == "ok"


def test_missing_binary_is_named_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))

    with pytest.raises(ControlPlaneFailed, match=r"etcd is missing: .*KUBEBUILDER_ASSETS"):
        ControlPlane(binaries.ensure_control_plane("1.0")).__enter__()


def test_build_without_go_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("ENVTEST_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "")

    with pytest.raises(binaries.BuildFailed, match="install Go, or name a folder"):
        binaries.ensure_control_plane(binaries.minors()[0])


def test_failed_build_shows_what_the_compiler_said_and_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "go"
    compiler.write_text("#!/bin/sh\necho 'syntax error in main.go' >&2\nexit 1\n")
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("ENVTEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    tools = binaries.control_plane(binaries.minors()[0])

    with pytest.raises(binaries.BuildFailed, match=r"syntax error in main\.go"):
        binaries.ensure(tools)

    assert "etcd" in tools.missing()


def test_existing_cluster_is_used_as_it_is_and_survives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = binaries.ensure(binaries.control_plane(binaries.chosen_minor()))
    with ControlPlane(folder, controllers=False) as somebody_elses:
        monkeypatch.setenv("USE_EXISTING_CLUSTER", "true")
        monkeypatch.setenv("KUBECONFIG", str(somebody_elses.kubeconfig))
        one_file = suites.Suite("access", ("test/conformance/test_access.py",))
        one_that_starts_servers = suites.Suite("own", ("test/envtest",), own_server=True)
        monkeypatch.setattr(suites, "SUITES", (one_file, one_that_starts_servers))

        assert suites.run(binaries.minors()) == 0

        assert Kubectl(somebody_elses.kubeconfig, tmp_path)("get", "--raw", "/readyz") == "ok"
        users = {event["user"]["username"] for event in somebody_elses.audit_events()}
        agents = {event.get("userAgent") for event in somebody_elses.audit_events()}
    assert "admin" in users
    assert "conformance/1" in agents
    shown = capfd.readouterr().out
    assert "| suite | existing cluster |" in shown
    assert "| own |" not in shown
