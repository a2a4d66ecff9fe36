"""What users see at `kubectl apply`, on localcluster and on any real API server."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from controller_runtime.resources import Object
from hack.generate.crds import workspace_crd
from kaito_controller.api.labels import WORKSPACES
from kaito_controller.api.sentences import RETIRED_IS_DEFAULT
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.model import retirement_text
from test.e2e.admission.conftest import CONFIG, NAMESPACE, Cluster
from test.support.processes import wait_until
from test.support.workspaces import Variant, changed, good, good_workspaces, variants

pytestmark = pytest.mark.e2e

SAMPLES = sorted((CONFIG / "samples").glob("*.yaml"))
FILLED = {
    "ACR_REPO_HERE": "myregistry",
    "IMAGE_NAME_HERE": "tuned",
    "ADAPTER_HERE": "adapter",
    "ACR_REGISTRY_SECRET_HERE": "push",
}
CREATES = [variant for variant in variants() if not variant.is_update]
UPDATES = [variant for variant in variants() if variant.is_update]
MAX_REFUSAL = 1500
"""Our sentence has at most 1,000 characters; the server adds names and its own quotation of the value."""


def filled(text: str) -> str:
    for placeholder, value in FILLED.items():
        text = text.replace(placeholder, value)
    return text


def workspace_samples() -> list[Path]:
    return [path for path in SAMPLES if "kind: Workspace" in path.read_text("utf-8")]


@pytest.fixture
def stored(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Object]:
    """The good object of an update variant, created."""
    variant: Variant = request.getfixturevalue("variant")
    obj = cluster.client.create(WORKSPACES, variant.good, NAMESPACE)
    yield obj
    cluster.client.delete(WORKSPACES, obj["metadata"]["name"], NAMESPACE)


@pytest.mark.parametrize("path", workspace_samples(), ids=lambda path: path.stem)
def test_a_quickstart_with_its_placeholders_filled_is_accepted(path: Path, cluster: Cluster) -> None:
    done = cluster.kubectl.run(
        "apply", "--dry-run=server", f"--namespace={NAMESPACE}", "-f", "-", stdin=filled(path.read_text("utf-8"))
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "path", [p for p in workspace_samples() if "_HERE" in p.read_text("utf-8")], ids=lambda path: path.stem
)
def test_a_quickstart_with_unfilled_placeholders_is_refused_with_the_field_to_change(
    path: Path, cluster: Cluster
) -> None:
    done = cluster.kubectl.run("apply", f"--namespace={NAMESPACE}", "-f", str(path))

    assert done.returncode != 0
    assert re.search(r'(image|imagePushSecret): .*"[^"]*_HERE[^"]*" (is no image|cannot be the name)', done.stderr), (
        done.stderr
    )


@pytest.mark.parametrize("name", sorted(good_workspaces()))
def test_a_good_workspace_is_accepted(name: str, cluster: Cluster) -> None:
    assert cluster.refusal(good(name)) == ""


@pytest.mark.parametrize("variant", CREATES, ids=lambda variant: variant.name)
def test_a_bad_workspace_is_refused_with_the_right_sentence(variant: Variant, cluster: Cluster) -> None:
    message = cluster.refusal(variant.bad)

    assert variant.sentence in message
    assert len(message) <= MAX_REFUSAL


@pytest.mark.parametrize("variant", UPDATES, ids=lambda variant: variant.name)
def test_a_bad_update_is_refused_with_the_right_sentence(variant: Variant, stored: Object, cluster: Cluster) -> None:
    wanted = {**variant.bad, "metadata": stored["metadata"]}

    message = cluster.attempt(lambda: cluster.client.replace(WORKSPACES, wanted))

    assert variant.sentence in message


def test_kubectl_prints_the_same_sentences(cluster: Cluster) -> None:
    sample = [v for v in CREATES if not v.schema_only][::6]

    done = cluster.kubectl.run(
        "apply", f"--namespace={NAMESPACE}", "-f", "-", stdin=yaml.safe_dump_all([v.bad for v in sample])
    )

    assert done.returncode != 0
    assert "created" not in done.stdout
    for variant in sample:
        assert variant.sentence in done.stderr, variant.name


@pytest.mark.parametrize(
    ("base", "change"),
    [
        ("adapter", {"inference.adapters[0].strength": "0.25"}),
        ("adapter", {"inference.adapters": []}),
        ("template", {"inference.template.spec.containers[0].image": "r.io/b:2"}),
        ("inference", {"resource.preferredNodes": ["node-1"]}),
        (
            "tuning",
            {"tuning.config": "other", "tuning.input.urls": ["https://example.com/b"], "tuning.method": "QLoRA"},
        ),
        ("inference", {"metadata.annotations": {"a": "b"}}),
    ],
)
def test_a_change_that_the_api_allows_is_accepted(base: str, change: Object, cluster: Cluster) -> None:
    created = cluster.client.create(WORKSPACES, changed(good(base), {"metadata.name": "allowed-change"}), NAMESPACE)
    try:
        assert cluster.attempt(lambda: cluster.client.replace(WORKSPACES, changed(created, change))) == ""
    finally:
        cluster.client.delete(WORKSPACES, "allowed-change", NAMESPACE)


def test_an_object_older_than_the_rules_can_be_edited_finished_and_deleted(cluster: Cluster) -> None:
    """Status, finalizers and unrelated fields stay writable; only what changes is judged."""
    name = "older.than.rules"
    bad = changed(
        good("adapter"),
        {
            "metadata.name": name,
            "inference.preset.name": "gone",
            "inference.adapters[0].strength": "7",
            "resource.instanceType": "m5.large",
        },
    )
    bad["metadata"]["finalizers"] = ["example.com/hold"]
    _without_rules(cluster)
    cluster.client.create(WORKSPACES, bad, NAMESPACE)
    cluster.install()

    def write(change: Object, **options: str) -> str:
        current = cluster.client.get(WORKSPACES, name, NAMESPACE)
        return cluster.attempt(lambda: cluster.client.replace(WORKSPACES, changed(current, change), **options))  # type: ignore[arg-type]

    assert write({"metadata.annotations": {"note": "edited"}}) == ""
    assert write({"resource.preferredNodes": ["node-1"]}) == ""
    assert write({"status": {"workerNodes": ["node-1"]}}, subresource="status") == ""
    assert "is no strength" in write({"inference.adapters[0].strength": "8"})
    cluster.client.delete(WORKSPACES, name, NAMESPACE)
    assert write({"metadata.finalizers": []}) == ""
    assert "not found" in cluster.attempt(lambda: cluster.client.get(WORKSPACES, name, NAMESPACE))


def test_without_its_parameter_the_policy_steps_aside_and_the_schema_still_guards(cluster: Cluster) -> None:
    unknown = changed(good("inference"), {"inference.preset.name": "my-own"})
    cluster.kubectl("delete", "configmap", "kaito-catalogue", "--namespace=kaito-system")
    try:
        wait_until(lambda: cluster.refusal(unknown) == "", timeout_s=30, what="the policy to notice")
        assert "cannot name the Service" in cluster.refusal(changed(unknown, {"metadata.name": "a.b"}))
    finally:
        cluster.install()


def test_a_preset_that_a_user_added_to_the_catalogue_is_accepted(cluster: Cluster) -> None:
    added = changed(good("inference"), {"inference.preset.name": "my-own"})
    assert '"my-own" is no known preset' in cluster.refusal(added)

    patch = '{"data": {"preset.my-own.yaml": "family: mine"}}'
    cluster.kubectl(
        "patch", "configmap", "kaito-catalogue", "--namespace=kaito-system", "--type=merge", f"--patch={patch}"
    )
    try:
        wait_until(lambda: cluster.refusal(added) == "", timeout_s=30, what="the policy to notice")
    finally:
        undo = '{"data": {"preset.my-own.yaml": null}}'
        cluster.kubectl(
            "patch", "configmap", "kaito-catalogue", "--namespace=kaito-system", "--type=merge", f"--patch={undo}"
        )
        wait_until(lambda: cluster.refusal(added) != "", timeout_s=30, what="the policy to notice")


@pytest.mark.parametrize(
    ("typed", "meant", "tail"),
    [
        ("standard_nc6S_V3", "Standard_NC6s_v3", ""),
        ("Standard_NC12s_v3", "Standard_NC12s_v3", RETIRED_IS_DEFAULT),
        (None, "Standard_NC12s_v3", RETIRED_IS_DEFAULT),
    ],
)
def test_a_retired_instance_type_is_accepted_with_a_warning_that_names_its_successor(
    typed: str | None, meant: str, tail: str, cluster: Cluster
) -> None:
    policy = "kaito-workspace-instance-type-life"
    text = retirement_text(load_catalog().instance_types[meant])
    assert "the nearest current type is Standard_N" in text

    said = cluster.warnings(changed(good("inference"), {"resource.instanceType": typed}))

    assert said == [
        f"Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{policy}': resource.instanceType: {text}{tail}"
    ]


def test_a_model_that_the_default_type_does_not_hold_is_accepted_with_a_warning(cluster: Cluster) -> None:
    big = changed(good("inference"), {"inference.preset.name": "falcon-40b", "resource.instanceType": None})

    def said() -> list[str]:
        return [line for line in cluster.warnings(big) if "'kaito-workspace-default-type'" in line]

    wait_until(lambda: said() != [], timeout_s=30, what="the policy about the default type to take effect")
    assert "resource.instanceType: Standard_NC12s_v3 has 2 " in said()[0]
    assert "this type is the default" in said()[0]


def test_a_model_that_the_named_type_does_not_hold_is_refused_in_any_letter_case(cluster: Cluster) -> None:
    parts = {"inference.preset.name": "falcon-40b", "resource.instanceType": "Standard_NC6S_V3"}

    assert "resource.instanceType: Standard_NC6S_V3 has 1 " in cluster.refusal(changed(good("inference"), parts))


def test_a_current_instance_type_and_a_change_to_a_workspace_on_a_retired_one_get_no_warning(cluster: Cluster) -> None:
    current = changed(good("inference"), {"resource.instanceType": "Standard_NC24ads_A100_v4"})
    assert cluster.warnings(current) == []

    retired = cluster.client.create(WORKSPACES, changed(good("inference"), {"metadata.name": "on-retired"}), NAMESPACE)
    try:
        assert cluster.warnings(changed(retired, {"metadata.annotations": {"a": "b"}}), command="replace") == []
    finally:
        cluster.client.delete(WORKSPACES, "on-retired", NAMESPACE)


def test_explain_reads_well_and_the_columns_are_the_published_ones(cluster: Cluster) -> None:
    text = cluster.kubectl("explain", "workspace.tuning.output")
    assert "Where the finished adapter goes" in text
    assert re.search(r"image\s+<string>\s+Image to push, with a tag", text)
    assert "VM size of the nodes to create" in cluster.kubectl("explain", "workspaces.resource")

    cluster.client.create(WORKSPACES, changed(good("inference"), {"metadata.name": "columns"}), NAMESPACE)
    try:
        header, row = cluster.kubectl("get", "wk", "--namespace", NAMESPACE, "columns").splitlines()
        assert header.split() == ["NAME", "INSTANCE", "RESOURCEREADY", "INFERENCEREADY", "WORKSPACEREADY", "AGE"]
        assert row.split()[:2] == ["columns", "Standard_NC6s_v3"]
        wide = cluster.kubectl("get", "workspace", "--namespace", NAMESPACE, "columns", "-o", "wide").splitlines()[0]
        assert wide.split()[6:] == ["ORDERED", "JOBSTARTED", "REASON", "NODES", "PROGRESS"]
    finally:
        cluster.client.delete(WORKSPACES, "columns", NAMESPACE)


def test_files_are_accepted_without_a_warning(cluster: Cluster) -> None:
    assert cluster.install() == ""
    strict = cluster.kubectl.run(
        "apply", "--dry-run=server", "--validate=strict", "-f", str(CONFIG / "crd" / "kaito.sh_workspaces.yaml")
    )
    assert (strict.returncode, strict.stderr) == (0, "")


def _without_rules(cluster: Cluster) -> None:
    """The CRD as it was before it had rules, and a policy that only takes notes.

    The binding is not deleted: an API server (seen on 1.34 and 1.37) that loses its only binding and gets it again reads
    stale parameters until it restarts.
    """
    crd = copy.deepcopy(workspace_crd())
    _drop_rules(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    patch = '{"spec": {"validationActions": ["Audit"]}}'
    cluster.kubectl(
        "patch", "validatingadmissionpolicybinding", "kaito-workspace-catalogue", "--type=merge", f"--patch={patch}"
    )
    cluster.kubectl.apply(crd)
    probe = changed(good("inference"), {"metadata.name": "a.b", "inference.preset.name": "unknown"})
    wait_until(lambda: cluster.refusal(probe) == "", timeout_s=30, what="the rules to be gone")


def _drop_rules(node: Object) -> None:
    node.pop("x-kubernetes-validations", None)
    for child in node.get("properties", {}).values():
        _drop_rules(child)
    if isinstance(node.get("items"), dict):
        _drop_rules(node["items"])
