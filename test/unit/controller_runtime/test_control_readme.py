"""The tables of the package's README that describe the control side, against the code."""

import re
from pathlib import Path

import pytest

import controller_runtime
from controller_runtime.client.exchange import Exchange
from controller_runtime.controller.controller import Controller, Request, Result
from controller_runtime.metrics.registry import CertificateMetrics, ControllerMetrics, RestClientMetrics, new_registry

README = (Path(controller_runtime.__file__).parent / "README.md").read_text()


class Nothing:
    def reconcile(self, request):
        return Result()


def table_after(heading, column):
    """Rows of the first table with `column` in its head, after a heading."""
    text = README[README.index(heading) :]
    rows = text[text.index(f"| {column} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def test_the_table_of_settings_is_marked_for_the_generator():
    assert README.count("<!-- rows: machinery-settings -->") == 1


def test_the_table_of_metrics_is_what_a_scrape_shows():
    registry = new_registry(process=False)
    metrics = ControllerMetrics(registry)
    metrics.leader.labels("x").set(0)
    metrics.leader_slowpath.labels("x").inc()
    RestClientMetrics(registry)(Exchange("GET", "h", code="200", response_bytes=2, duration_s=0.1, retry_of="401"))
    CertificateMetrics(registry)
    controller = Controller("c", Nothing(), metrics=metrics)
    controller.enqueue(Request("", "a"))
    shown = {}
    for family in registry.collect():
        for sample in family.samples:
            name = re.sub(r"_(bucket|sum|count)$", "", sample.name)
            shown.setdefault(name, set()).update(set(sample.labels) - {"le"})

    documented = {
        row[0].strip("`"): set(row[1].split(", ")) - {"–"} for row in table_after("### Probes and metrics", "metric")
    }

    assert documented == shown


@pytest.mark.parametrize("row", table_after("### Where to look", "module"), ids=lambda row: row[0][:20])
def test_every_module_that_the_readme_names_exists(row):
    folder = Path(controller_runtime.__file__).parent

    assert all((folder / f"{name}.py").is_file() for name in re.findall(r"`([\w/]+)`", row[0]))
