"""A real Prometheus reads guarded metrics with what the ServiceMonitors of `config/secured-prometheus` tell it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.demo.installation import OPERATORS, free_port
from hack.localcluster.cluster import LocalCluster
from test.install import guarded, shipped
from test.install.guarded import Scraper
from test.install.test_prometheus import series
from test.support.processes import Process

pytestmark = [pytest.mark.prometheus, pytest.mark.timeout(240)]


def job(operator: str, scraper: Scraper, token: Path, authority: Path) -> dict[str, Any]:
    """The scrape job that the Prometheus operator makes of a ServiceMonitor; files stand for what it mounts."""
    monitors = {d["metadata"]["name"]: d for d in shipped.of_kind(shipped.base("secured-prometheus"), "ServiceMonitor")}
    (endpoint,) = monitors[operator]["spec"]["endpoints"]
    assert endpoint["bearerTokenFile"] == "/var/run/secrets/kubernetes.io/serviceaccount/token"
    assert endpoint["tlsConfig"]["ca"] == {"secret": {"name": f"{operator}-metrics-tls", "key": "ca.crt"}}
    return {
        "job_name": operator,
        "scheme": endpoint["scheme"],
        "metrics_path": endpoint["path"],
        "authorization": {"credentials_file": str(token)},
        "tls_config": {"ca_file": str(authority), "server_name": endpoint["tlsConfig"]["serverName"]},
        "static_configs": [{"targets": [f"127.0.0.1:{scraper.product.operators[operator].metrics_port}"]}],
    }


def test_both_targets_are_up(tmp_path: Path) -> None:
    port, token, authority = free_port(), tmp_path / "token", tmp_path / "ca.crt"
    with (
        LocalCluster(time_scale=300, directory=tmp_path / "cluster", rbac=True) as cluster,
        guarded.installed(cluster, tmp_path, (sys.executable,)) as scraper,
    ):
        token.write_text(scraper.token(guarded.PROMETHEUS))
        scraper.authority.cert_pem.write_to_path(authority)
        jobs = [job(operator, scraper, token, authority) for operator in OPERATORS]
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        flags = (
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        )
        with Process(["prometheus", *flags], log_dir=tmp_path, cwd=tmp_path) as process:
            process.wait_for(lambda: len(series(f"http://127.0.0.1:{port}", "up == 1")) == 2, 60, "both to be up")
