"""`plan NAME`, `top`, `gc` and `tune`: what each reads or builds, and what it says of what it cannot know."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from controller_runtime.errors import Forbidden
from controller_runtime.resources import Object
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.offer import InstanceOffer
from kaito_controller.cli.__main__ import main
from kaito_controller.cli.asked import Asked, Narrowed, asked_by
from kaito_controller.cli.choices import all_choices
from kaito_controller.cli.circumstances import Circumstances, quota_text, times_text
from kaito_controller.cli.cluster import Cluster
from kaito_controller.cli.cluster_plan import catalogue_of, circumstances_of
from kaito_controller.cli.document import plan_document
from kaito_controller.cli.gc import leftovers
from kaito_controller.cli.phase_durations import expected
from kaito_controller.cli.plan_page import plan_page
from kaito_controller.cli.top import Load, measure
from kaito_controller.cli.top_page import gc_page, top_page
from test.support.fake_clock import FakeClock
from test.unit.kaito_controller.cli.shelf import Shelf
from test.unit.kaito_controller.cli.test_doctor import Objects, Surgery, made
from test.unit.kaito_controller.cli.test_explain import HISTOGRAM


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


OFFER = {
    "checkedAt": "2026-11-29T04:00:00Z",
    "region": "eastus",
    "families": {"standardNCSv3Family": {"limit": 6, "used": 4}, "StandardNCADSA100v4Family": {"limit": 96, "used": 0}},
    "skus": {
        "Standard_NC6s_v3": {"family": "standardNCSv3Family", "cores": 6, "restricted": False, "reason": ""},
        "Standard_NC24ads_A100_v4": {"family": "StandardNCADSA100v4Family", "cores": 24, "restricted": False},
        "Standard_NC4as_T4_v3": {
            "family": "x",
            "cores": 4,
            "restricted": True,
            "reason": "NotAvailableForSubscription",
        },
    },
}


def offer_map(text: str) -> Object:
    return made("ConfigMap", "kaito-instance-offer", "kaito-system", data={"offer.json": text})


def planned(text: str = json.dumps(OFFER), metrics: str = "") -> tuple[dict[str, Any], str]:
    shelf = Shelf("serves", answers={"proxy/metrics": metrics.encode()})
    shelf.record["pods"].append(offer_map(text))
    catalog = load_catalog()
    asked, known = asked_by(shelf.record["workspace"], catalog), circumstances_of(shelf.cluster)
    narrowed = Narrowed(most_usd=4.0)
    choices = all_choices(asked, narrowed, catalog)
    return plan_document(asked, narrowed, choices, known), plan_page(asked, narrowed, choices, known, everything=False)


def test_plan_of_a_workspace_says_what_the_cloud_would_still_sell() -> None:
    document, page = planned()

    quota = {choice["name"]: choice["quota"] for choice in document["instanceTypes"]}
    assert quota["Standard_NC6s_v3"] == "short by 4 cores"
    assert quota["Standard_NC24ads_A100_v4"] == "enough"
    assert quota["Standard_NC4as_T4_v3"] == "not sold"
    assert quota["Standard_NV36ads_A10_v5"] == "unknown"
    assert {line.split()[-1] for line in page.splitlines() if " 1x1 " in line} == {"-4", "ok", "none", "?"}
    assert "4 short (as of 2026-11-29T04:00:00Z)" in " ".join(page.split())
    assert max(map(len, page.splitlines())) <= 80


@pytest.mark.parametrize("preset", ["deepseek-r1-distill-qwen-7b", "gemma-2-9b-it", "deepseek-v3-0324", "phi-2"])
@pytest.mark.parametrize(("cloud", "type_name"), [("azure", "Standard_NC24ads_A100_v4"), ("aws", "p4d.24xlarge")])
@pytest.mark.parametrize("nodes", [1, 20])
def test_the_widest_table_fits_eighty_columns_with_its_quota(
    preset: str, cloud: Literal["azure", "aws"], type_name: str, nodes: int
) -> None:
    catalog = load_catalog()
    asked = Asked("x", catalog.presets[preset], "", type_name, catalog.instance_types[type_name], nodes)
    narrowed, known = Narrowed(cloud), Circumstances(offer=InstanceOffer(region="eastus"))

    page = plan_page(asked, narrowed, all_choices(asked, narrowed, catalog), known, everything=True)

    table = page.partition("\n\n")[2].partition("asked for")[0].splitlines()
    assert table[0].endswith(" QUOTA")
    assert max(map(len, table)) <= 80
    assert "\u2026" not in page


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"skus": 3}'])
def test_an_offer_that_cannot_be_read_is_unknown_and_no_error(text: str) -> None:
    document, page = planned(text)

    assert {choice["quota"] for choice in document["instanceTypes"]} == {"unknown"}
    assert " -4 " not in page


def test_the_cluster_s_own_times_replace_the_published_ones_where_there_are_any() -> None:
    document, page = planned(metrics=HISTOGRAM)

    assert document["expectedSeconds"]["node_ready"] == {"seconds": 120, "runs": 8}
    assert document["expectedSeconds"]["serving"]["runs"] == 0
    assert "; node: medians of 8 runs in this cluster; image and model: published for a 27B" in " ".join(page.split())


def test_without_a_cluster_quota_is_unknown_and_times_are_published_ones() -> None:
    known = Circumstances()

    assert quota_text(known) == "Quota: unknown without a cluster."
    assert times_text(known, "").startswith("Expected time to ready: 14m23s (node 6m50s, image 1m41s, model 5m52s; ")
    assert times_text(Circumstances(times=expected()), "qlora").startswith("Expected time until training: 8m31s (node")


def said(*arguments: str) -> tuple[int, str, str]:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(arguments)
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("arguments", [[], ["phi", "-f", "x.yaml"]])
def test_plan_takes_a_name_or_a_file(arguments: list[str]) -> None:
    assert said("plan", *arguments)[::2] == (
        2, "kubectl-kaito: give the NAME of a Workspace, or a file with -f\n",
    )  # fmt: skip


ADDED = "{cloud: azure, gpus: 2, gpuMemory: 48Gi, gpuModel: NVIDIA L40S}"


def test_the_controller_s_image_and_added_models_of_the_cluster_are_planned_with() -> None:
    shelf = Shelf("serves")
    added = {"sku.Standard_NX8_v9.yaml": ADDED, "preset.broken.yaml": "family: 3", "anything.else": "x"}
    shelf.record["pods"] += [
        made("ConfigMap", "kaito-catalogue", "kaito-system", data=added),
        made("Deployment", "kaito-controller", "kaito-system", spec={"template": {"spec": {"containers": [
            {"name": "kaito-controller", "args": ["--leader-elect", "--model-runtime-image=registry.example/m:1"]}]}}}),
    ]  # fmt: skip

    catalog, remarks = catalogue_of(shelf.cluster, load_catalog())

    assert catalog.instance_type("Standard_NX8_v9") is not None
    assert catalog.presets["phi-3-mini-4k-instruct"].runtime_image == "registry.example/m:1"
    assert [remark.partition(":")[0] for remark in remarks] == ["ConfigMap kaito-catalogue"]
    assert "preset.broken.yaml" in remarks[0]


def test_a_catalogue_that_may_not_be_read_is_a_remark_of_the_plan() -> None:
    cluster = Shelf("serves", errors={"configmaps": Forbidden("no", code=403)}).cluster

    assert catalogue_of(cluster, load_catalog()) == (load_catalog(), ())
    assert circumstances_of(cluster).offer is None
    assert cluster.gaps == [
        "configmaps cannot be read: your rights do not allow it (ask for the role kaito-plugin-user)"
    ]


TUNING = "config/samples/tuning-phi-3-qlora.yaml"


def test_tokens_and_epochs_give_hours_and_price_of_a_run() -> None:
    document = json.loads(said("plan", "-f", TUNING, "--tokens", "1000000", "--epochs", "3", "-o", "json")[1])
    again = json.loads(said("plan", "-f", TUNING, "--tokens", "3000000", "-o", "json")[1])

    assert document == again
    assert document["tokens"] == 3_000_000
    fitting = [c for c in document["instanceTypes"] if c["fit"] != "does not fit" and c["usdPerHour"]]
    for choice in fitting:
        hours, usd = choice["trainingHours"], choice["trainingUsd"]
        assert 0 < hours["least"] < hours["most"]
        assert usd["most"] == pytest.approx(hours["most"] * choice["usdPerHour"], rel=0.01)
        assert choice["memoryBytes"]["least"] <= choice["memoryBytes"]["most"]
    assert any("as published for qlora on one A100" in note for note in document["notes"])


def test_without_the_size_of_the_data_hours_are_unknown_and_said_to_be() -> None:
    document = json.loads(said("plan", "-f", TUNING, "-o", "json")[1])

    assert {choice["trainingHours"] for choice in document["instanceTypes"]} == {None}
    assert any(note.startswith("Hours and price of the run: unknown") for note in document["notes"])


@pytest.mark.parametrize(
    ("file", "options", "told"),
    [
        ("inference-phi-3-mini", ("--tokens", "5"), "--tokens 5: only a tuning run has an end"),
        ("inference-phi-3-mini", ("--hours", "5"), "--hours 5: only a tuning run has an end"),
        ("tuning-phi-3-qlora", ("--epochs", "3"), "--epochs 3: give --tokens too"),
        ("tuning-phi-3-qlora", ("--tokens", "9", "--epochs", "inf"), "--epochs inf: give --tokens too"),
        ("tuning-phi-3-qlora", ("--tokens", "5", "--hours", "3"), "give either hours, or tokens and epochs"),
        ("tuning-phi-3-qlora", ("--hours", "inf"), "give either hours"),
    ],
)
def test_a_length_of_a_run_that_makes_no_sense_is_refused(file: str, options: tuple[str, ...], told: str) -> None:
    code, text, error = said("plan", "-f", f"config/samples/{file}.yaml", *options)

    assert (code, text) == (2, "")
    assert told in error


def test_the_hours_of_a_run_give_its_price_and_are_refused_for_a_service() -> None:
    tuned = said("plan", "-f", "config/samples/tuning-phi-3-qlora.yaml", "--hours", "6", "-o", "json")
    served = said("plan", "-f", "config/samples/inference-phi-3-mini.yaml", "--hours", "6")

    document = json.loads(tuned[1])
    (mine,) = [choice for choice in document["instanceTypes"] if choice["asked"]]
    assert f"A run of 6 hours costs about {mine['usdPerHour'] * 6:.2f} USD" in " ".join(document["notes"])
    assert (served[0], served[1]) == (2, "")


class Ticking(FakeClock):
    """Two seconds pass between two readings."""

    def wait_event(self, event: threading.Event, timeout_s: float | None) -> bool:
        self.advance(timeout_s or 0.0)
        return event.is_set()


class Busy(Shelf):
    """Generates 100 tokens between two readings."""

    tokens = 0

    def read(self, path: str, query: Any = None) -> bytes:
        self.tokens += 100
        return (
            f'vllm:generation_tokens_total{{model="a"}} {self.tokens}\nvllm:num_requests_running{{model="a"}} 3.0\n'
            "vllm:num_requests_waiting 1\nvllm:kv_cache_usage_perc 0.25\n"
        ).encode()


def test_top_shows_the_rate_between_two_readings() -> None:
    (load,) = measure(Busy("serves").cluster, "phi", Ticking(), 2.0)

    assert (load.tokens_per_s, load.prompt_tokens_per_s, load.running, load.waiting, load.cache_share) == (
        50.0,
        None,
        3,
        1,
        0.25,
    )
    page = top_page([load], "team", [])
    assert page.splitlines()[1].split()[1:] == ["50", "-", "3", "1", "25%"]


RECORDED = Path(__file__).with_name("metrics") / "transformers-engine.txt"
"""`/metrics` of the project's model server with its Transformers engine, recorded with `test/model/record_metrics.py`."""


def test_top_reads_what_a_real_engine_says() -> None:
    text = RECORDED.read_text("utf-8")
    later = text.replace(
        'vllm:generation_tokens_total{model_name="small"} 24.0', 'vllm:generation_tokens_total{model_name="small"} 64.0'
    )
    readings = iter((text, later))

    class Engine(Shelf):
        def read(self, path: str, query: Any = None) -> bytes:
            assert path.endswith(":5000/proxy/metrics")
            return next(readings).encode()

    (load,) = measure(Engine("serves").cluster, "phi", Ticking(), 2.0)

    assert later != text
    assert (load.tokens_per_s, load.prompt_tokens_per_s) == (20.0, 0.0)
    assert (load.running, load.waiting) == (0, 0)
    assert load.cache_share == 0.015625


def test_a_server_that_does_not_tell_has_dashes_and_nobody_waits_for_it() -> None:
    clock = FakeClock()

    (load,) = measure(Shelf("serves").cluster, "phi", clock, 2.0)

    assert load == Load("phi", load.pod, None, None, None, None, None)
    assert "-: the model server does not tell." in top_page([load], "team", [])


def test_where_nothing_serves_top_says_so() -> None:
    assert measure(Shelf("container-crashes").cluster, "phi", FakeClock(), 2.0) == []
    assert top_page([], "team", []) == "No pod of a Workspace in namespace team serves.\n"


def owned(kind: str, name: str, workspace: str, namespace: str = "", **parts: Any) -> Object:
    labels = {"kaito.sh/workspace": workspace, "kaito.sh/workspacenamespace": "team"}
    return made(
        kind, name, namespace, metadata={"labels": labels, "uid": f"uid-{name}", **parts.pop("metadata", {})}, **parts
    )


def node(name: str, machine: str) -> Object:
    owner = {"kind": "Machine", "name": machine, "uid": f"uid-{machine}"}
    return made("Node", name, metadata={"ownerReferences": [owner]})


TIDY: Objects = [
    made("Workspace", "phi", "team"),
    owned("Machine", "ws1", "phi"),
    node("node-1", "ws1"),
    owned("Deployment", "phi", "phi", "team"),
]


def test_where_everything_has_its_owner_nothing_is_left_over() -> None:
    assert leftovers(Cluster(Surgery(TIDY), "team")) == []


def test_each_leftover_is_named_with_who_removes_it_and_why() -> None:
    failing = [
        {"type": "MachineLaunched", "status": "True"},
        {"type": "MachineInitialized", "status": "False", "reason": "PoolGone"},
    ]
    objects = [
        *TIDY,
        owned("Machine", "ws2", "gone"),
        owned("Machine", "ws3", "phi", status={"conditions": failing}),
        node("node-9", "ws9"),
        owned("Job", "old", "gone", "team"),
    ]

    found = leftovers(Cluster(Surgery(objects), "team"))

    assert [(x.kind, x.name, x.by.split(":")[0]) for x in found] == [
        ("Machine", "ws2", "nobody"),
        ("Machine", "ws3", "gpu-provisioner"),
        ("Node", "node-9", "gpu-provisioner"),
        ("Job", "team/old", "nobody"),
    ]
    page = gc_page(found, ["Pools are unseen."])
    assert "4 objects left over. Nothing was removed." in page
    assert max(map(len, page.splitlines())) <= 80


@pytest.mark.parametrize("plural", ["workspaces", "machines"])
def test_what_cannot_be_compared_with_its_owner_is_no_leftover(plural: str) -> None:
    cluster = Cluster(Surgery([*TIDY, node("node-9", "ws9")], {plural: Forbidden("no", code=403)}), "team")

    assert leftovers(cluster) == []
    assert cluster.gaps


TUNE = (
    "tune", "mine", "--model", "phi-3-mini-128k-instruct", "--instance-type", "Standard_NC24ads_A100_v4",
    "--output", "registry.example.com/mine:1", "--push-secret", "push",
)  # fmt: skip


def test_tune_writes_a_workspace_that_admission_takes() -> None:
    code, text, _ = said(*TUNE, "--url", "https://example.com/data.parquet", "--keep-in", "results", "-n", "team")

    assert code == 0
    workspace = yaml.safe_load(text)
    assert (workspace["kind"], workspace["metadata"]) == ("Workspace", {"name": "mine", "namespace": "team"})
    assert workspace["tuning"]["method"] == "qlora"
    assert workspace["tuning"]["output"]["volumeSource"]["persistentVolumeClaim"]["claimName"] == "results"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "give exactly one of --url, --data-image and --data-claim"),
        (("--url", "https://x.example/a", "--data-image", "x/y:1"), "give exactly one of"),
        (("--url", "ftp://example.com/a"), "tuning.input.urls"),
        (("--data-image", "x.example/y:1", "--model", "gpt-17"), "tuning.preset.name"),
        (("--data-claim", "data", "--instance-type", "Standard_D4s_v5"), "resource.instanceType"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_sent(arguments: tuple[str, ...], told: str) -> None:
    code, text, error = said(*TUNE, *arguments)

    assert (code, text) == (2, "")
    assert told in error
    assert error.count("\n") == 1
