"""A real Prometheus scrapes both binaries; promtool checks the exposition, the rules, and each alert against series made for it."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.demo.installation import Installation, free_port
from hack.demo.story import SAMPLES
from hack.localcluster.cluster import LocalCluster
from test.install import shipped
from test.support.processes import Process, wait_until

pytestmark = [pytest.mark.prometheus, pytest.mark.timeout(240)]

HERE = Path(__file__).parent
FROM_PROMETHEUS = {"up"}


def rules() -> dict[str, Any]:
    """The rule file that a Prometheus without the operator would load."""
    (rule,) = shipped.of_kind(shipped.base("prometheus"), "PrometheusRule")
    spec: dict[str, Any] = rule["spec"]
    # `runbook` and the like stay: they are annotations of the alerts.
    return spec


def alerts() -> list[dict[str, Any]]:
    return [rule for group in rules()["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    """Of every alert and every panel."""
    dashboard = (shipped.ROOT / "config" / "prometheus" / "dashboard.json").read_text()
    panels = re.findall(r'"expr": ("(?:[^"\\]|\\.)*")', dashboard)
    assert panels
    return [rule["expr"] for rule in alerts()] + [json.loads(text) for text in panels]


def promtool(*arguments: str, stdin: str | None = None, cwd: Path | None = None) -> str:
    reply = subprocess.run(["promtool", *arguments], input=stdin, capture_output=True, text=True, cwd=cwd, check=False)
    assert reply.returncode == 0, f"{reply.stdout}{reply.stderr}"
    return reply.stdout + reply.stderr


@pytest.fixture
def rule_folder(tmp_path: Path) -> Path:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules()))
    return tmp_path


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Both operators, with one Workspace served, so that every family has been touched."""
    folder = tmp_path_factory.mktemp("scraped")
    settings = {"gpu-provisioner": ["--time-scale=300"]}
    with (
        LocalCluster(time_scale=300, directory=folder / "cluster", rbac=True) as cluster,
        Installation(cluster.kubeconfig, folder, cluster.environment, settings=settings) as installed,
    ):
        installed.install()
        installed.start_operators()
        installed.apply((SAMPLES / "inference-phi-3-mini.yaml").read_text())
        wait_until(
            lambda: "InferenceServing" in installed.kubectl("get", "workspaces", "-o", "yaml"), 90, "a served model"
        )
        yield installed


def scrape(product: Installation, name: str) -> str:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{product.operators[name].metrics_port}/metrics", timeout=10
    ) as reply:
        text: str = reply.read().decode()
    return text


@pytest.fixture(scope="module")
def prometheus(product: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prometheus that scrapes both and evaluates the rules."""
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    jobs = [
        {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{operator.metrics_port}"]}]}
        for name, operator in product.operators.items()
    ]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "scrape_configs": jobs,
        "rule_files": ["rules.yaml"],
    }
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules()))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    flags = (
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with Process(["prometheus", *flags], log_dir=folder, cwd=folder) as process:
        url = f"http://127.0.0.1:{port}"
        process.wait_for(lambda: len(series(url, "up == 1")) == 2, 60, "both targets to be up")
        yield url


def series(url: str, query: str) -> list[dict[str, Any]]:
    """What an instant query gives; nothing while the server is not there."""
    try:
        with urllib.request.urlopen(
            f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}", timeout=5
        ) as reply:
            found: list[dict[str, Any]] = json.load(reply)["data"]["result"]
    except OSError:
        return []
    return found


@pytest.mark.parametrize(
    "query",
    [
        'kaito_workspaces{phase="ready", reason="InferenceServing"} == 1',
        'controller_runtime_reconcile_total{controller="workspace", result="success"} > 0',
        'leader_election_master_status{job="kaito-controller"} == 1',
        'leader_election_master_status{job="gpu-provisioner"} == 1',
        "karpenter_machines_launched_total == 1",
        "karpenter_cloudprovider_duration_seconds_count > 0",
        'process_resident_memory_bytes{job="gpu-provisioner"} > 0',
    ],
)
def test_prometheus_finds_what_was_scraped(prometheus: str, query: str) -> None:
    wait_until(lambda: series(prometheus, query), 20, query)


def test_prometheus_evaluates_every_rule_without_an_error(prometheus: str) -> None:
    def evaluated() -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{prometheus}/api/v1/rules", timeout=5) as reply:
            found = [rule for group in json.load(reply)["data"]["groups"] for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else []

    shown = wait_until(evaluated, 30, "all rules to be evaluated")

    assert {rule["name"]: rule["health"] for rule in shown} == {rule["alert"]: "ok" for rule in alerts()}


@pytest.mark.parametrize("name", ["kaito-controller", "gpu-provisioner"])
def test_promtool_finds_the_exposition_well_formed(product: Installation, name: str) -> None:
    text = scrape(product, name)

    complaints = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )

    ours = [line for line in complaints.stderr.splitlines() if line and not line.startswith(FOREIGN_NAMES)]
    assert not ours
    assert complaints.returncode in (0, 3)


FOREIGN_NAMES = ("python_gc_", "workqueue_", "controller_runtime_", "leader_election_", "rest_client_", "karpenter_")
"""Names that others chose and that are kept so that existing dashboards fit; promtool finds some of them unusual."""


def test_every_metric_of_alerts_and_dashboard_is_exposed(product: Installation) -> None:
    both = scrape(product, "kaito-controller") + scrape(product, "gpu-provisioner")
    families = dict(re.findall(r"^# TYPE (\S+) (\S+)$", both, re.M))
    exposed = set(families) | {
        f"{n}_{s}" for n, k in families.items() if k == "histogram" for s in ("bucket", "sum", "count")
    }

    named = set().union(*(metrics_in(expression) for expression in expressions()))

    assert len(named) > 15
    assert named - exposed - FROM_PROMETHEUS == set()


def metrics_in(expression: str) -> set[str]:
    """The metric names of a PromQL expression: words with an underscore outside of braces and label lists."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|ignoring|on|without)\s*\([^)]*\)", " ", bare)
    functions = {"histogram_quantile", "group_left", "label_replace", "sum_over_time", "max_over_time"}
    return {word for word in re.findall(r"[a-z_:][a-zA-Z0-9_:]*", bare) if "_" in word} - functions


def test_promtool_accepts_the_rules(rule_folder: Path) -> None:
    assert f"SUCCESS: {len(alerts())} rules found" in promtool("check", "rules", "rules.yaml", cwd=rule_folder)


def test_each_alert_fires_on_what_it_is_for_and_not_before(rule_folder: Path) -> None:
    cases = yaml.safe_load((HERE / "alerts.yaml").read_text())
    written = {rule["alert"]: rule for rule in alerts()}
    covered = set()
    for test in cases["tests"]:
        for case in test["alert_rule_test"]:
            covered |= {case["alertname"]} if case["exp_alerts"] else set()
            for expected in case["exp_alerts"]:
                expected["exp_annotations"] = annotations(written[case["alertname"]], expected["exp_labels"], test)
    (rule_folder / "alerts.yaml").write_text(yaml.safe_dump(cases))

    assert covered == set(written), "every alert needs a case in which it fires"
    promtool("test", "rules", "alerts.yaml", cwd=rule_folder)


def annotations(rule: dict[str, Any], labels: dict[str, str], test: dict[str, Any]) -> dict[str, str]:
    """What promtool expects of an alert: its texts with labels filled in, and the value where a text shows it."""
    first = re.match(r"\d+", test["input_series"][0]["values"])
    value = first[0] if first else ""
    filled = {}
    for name, text in rule["annotations"].items():
        for label, content in labels.items():
            text = text.replace(f"{{{{ $labels.{label} }}}}", content)
        filled[name] = text.replace("{{ $value }}", value)
    return filled


def test_every_alert_tells_what_it_means_and_what_to_do() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert {"summary", "description", "runbook"} <= rule["annotations"].keys(), rule["alert"]
