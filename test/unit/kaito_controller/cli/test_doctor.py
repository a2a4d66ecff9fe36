"""`kubectl kaito doctor`: what is well, what is not with its cure, what may not be looked at, and what leaves the house in a bundle."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import click
import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from controller_runtime.client.api import ObjectList
from controller_runtime.clock import rfc3339
from controller_runtime.errors import ApiError, ConnectionFailed, Forbidden, NotFound
from controller_runtime.resources import Object, Resource, name_of, namespace_of
from controller_runtime.version import VERSION
from kaito_controller.cli.cluster import Cluster
from kaito_controller.cli.doctor.bundle import bundle
from kaito_controller.cli.doctor.command import CHECKS, answer
from kaito_controller.cli.doctor.finding import Finding, Level, examine
from kaito_controller.cli.doctor.node_api import CHECK as NODE_API
from kaito_controller.cli.doctor.redaction import GONE, redacted, redacted_text
from kaito_controller.workspace.metrics import WorkspaceMetrics
from kaito_controller.workspace.observe import node_orders
from test.support.fake_clock import START, FakeClock
from test.support.memory_client import MemoryClient
from test.unit.kaito_controller.cli.shelf import Shelf

NOW = rfc3339(START)
Objects = list[Object]


def crd(name: str, *versions: str) -> Object:
    status = {"conditions": [{"type": "Established", "status": "True"}]}
    served = [{"name": version, "served": True} for version in versions]
    return made("CustomResourceDefinition", name, spec={"versions": served}, status=status)


def made(kind: str, name: str, namespace: str = "", **parts: Any) -> Object:
    meta = {"name": name, **({"namespace": namespace} if namespace else {}), **parts.pop("metadata", {})}
    return {"kind": kind, "metadata": meta, **parts}


def lease(name: str, namespace: str = "kaito-system", renewed: str = NOW) -> Object:
    return made("Lease", name, namespace, spec={"holderIdentity": "pod-1", "renewTime": renewed})


def deployment(name: str, image: str, ready: int = 1) -> Object:
    pod = {"spec": {"containers": [{"name": name, "image": image}]}}
    return made(
        "Deployment", name, "kaito-system", spec={"replicas": 1, "template": pod}, status={"readyReplicas": ready}
    )


def gpu_node(gpus: str) -> Object:
    labels = {"node.kubernetes.io/instance-type": "Standard_NC24ads_A100_v4"}
    return made(
        "Node", "gpu-1", metadata={"labels": labels}, status={"allocatable": {"nvidia.com/gpu": gpus} if gpus else {}}
    )


def machine(reason: str = "", message: str = "") -> Object:
    launched = {
        "type": "MachineLaunched",
        "status": "False" if reason else "True",
        "reason": reason,
        "message": message,
    }
    return made("Machine", "ws1", status={"conditions": [launched]})


OFFER = json.dumps({"checkedAt": NOW, "region": "eastus", "families": {"a": {"limit": 6, "used": 6}}})
HEALTHY: Objects = [
    crd("workspaces.kaito.sh", "v1alpha1"),
    crd("machines.karpenter.sh", "v1alpha5"),
    made("ValidatingAdmissionPolicy", "kaito-workspace-catalogue"),
    made("ValidatingAdmissionPolicyBinding", "kaito-workspace-catalogue"),
    made("ConfigMap", "kaito-catalogue", "kaito-system"),
    made("ConfigMap", "kaito-instance-offer", "kaito-system", data={"offer.json": OFFER}),
    lease("kaito-controller"),
    lease("gpu-provisioner"),
    lease("gpu-1", "kube-node-lease"),
    deployment("kaito-controller", f"example.com/kaito:{VERSION}"),
    machine(),
    gpu_node("1"),
    made("StorageClass", "fast", metadata={"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}),
]


def chosen(api: str, why: str) -> str:
    """As the controller's own collector writes it."""
    registry = CollectorRegistry()
    WorkspaceMetrics(registry, list, lambda: (api, why))
    return generate_latest(registry).decode()


CHOSEN = chosen("machine", "only-one-installed")


class Surgery(MemoryClient):
    """A cluster of the given objects, which refuses some types and rights."""

    def __init__(self, objects: Objects, errors: Mapping[str, ApiError] | None = None, refused: str = "") -> None:
        super().__init__()
        self.objects, self.errors, self.refused = objects, errors or {}, refused
        self.metrics = CHOSEN

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        found = [o for o in self._of(resource, namespace) if name_of(o) == name]
        if not found:
            raise NotFound("no", code=404, details={"name": name})
        return found[0]

    def list(self, resource: Resource, namespace: str | None = None, **_: Any) -> ObjectList:
        return ObjectList(self._of(resource, namespace), "1")

    def read(self, path: str, query: Any = None) -> bytes:
        if path.endswith("/proxy/metrics") and self.metrics:
            return self.metrics.encode()
        raise self.errors.get("version") or NotFound("no", code=404)

    def post(self, path: str, body: Mapping[str, Any]) -> Object:
        if "subjectaccessreviews" in self.errors:
            raise self.errors["subjectaccessreviews"]
        return {"status": {"allowed": body["spec"]["resourceAttributes"]["resource"] != self.refused}}

    def _of(self, resource: Resource, namespace: str | None) -> Objects:
        if resource.plural in self.errors:
            raise self.errors[resource.plural]
        return [o for o in self.objects if o["kind"] == resource.kind and namespace in (None, namespace_of(o))]


def found(objects: Objects, errors: Mapping[str, ApiError] | None = None, refused: str = "") -> tuple[Finding, ...]:
    return examine(Cluster(Surgery(objects, errors, refused), "team"), START, CHECKS)


def changed(*instead: Object) -> Objects:
    names = {(o["kind"], name_of(o)) for o in instead}
    return [*(o for o in HEALTHY if (o["kind"], name_of(o)) not in names), *instead]


def without(kind: str, name: str) -> Objects:
    return [o for o in HEALTHY if (o["kind"], name_of(o)) != (kind, name)]


def test_a_healthy_installation_has_nothing_but_good_findings() -> None:
    findings = found(HEALTHY)

    assert {finding.level for finding in findings} == {Level.OK}
    assert {finding.check for finding in findings} == {name for name, _ in CHECKS}
    assert answer(findings, "json")[0] == 0


LATER = rfc3339(START + timedelta(seconds=90))
EARLIER = rfc3339(START - timedelta(seconds=300))
PULL = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "401 Unauthorized"}}, "image": "example.com/m:1"}
CASES: dict[str, tuple[Objects, Level, str, str]] = {
    "no-crd": (without("CustomResourceDefinition", "workspaces.kaito.sh"), Level.BAD, "crd", "workspaces.kaito.sh is not"),
    "newer-kaito": (changed(crd("workspaces.kaito.sh", "v1alpha1", "v1beta1")), Level.BAD, "crd", "of a newer KAITO"),
    "older-crd": (changed(crd("machines.karpenter.sh", "v1alpha1")), Level.BAD, "crd", "not v1alpha5"),
    "no-machines": (
        without("CustomResourceDefinition", "machines.karpenter.sh"), Level.WARNING, "crd", "only existing nodes are used",
    ),
    "no-policy": (
        without("ValidatingAdmissionPolicyBinding", "kaito-workspace-catalogue"), Level.WARNING, "admission",
        "ValidatingAdmissionPolicyBinding kaito-workspace-catalogue missing",
    ),
    "never-led": (without("Lease", "gpu-provisioner"), Level.BAD, "operators", "gpu-provisioner has never led"),
    "leads-no-more": (
        changed(lease("kaito-controller", renewed=EARLIER)), Level.BAD, "operators", "its Lease was renewed 5m ago",
    ),
    "not-ready": (
        changed(deployment("kaito-controller", f"x:{VERSION}", 0)), Level.BAD, "operators", "0 of 1 replicas are ready",
    ),
    "other-version": (
        changed(deployment("kaito-controller", "example.com/kaito:9.9.9")), Level.WARNING, "operators", "9.9.9",
    ),
    "quota": (
        changed(machine("QuotaExceeded", "24 needed, 0 left")), Level.BAD, "cloud", "QuotaExceeded: 24 needed, 0 left",
    ),
    "identity": (changed(machine("CloudAccessDenied", "403")), Level.BAD, "cloud", "CloudAccessDenied: 403"),
    "no-gpu-shown": (changed(gpu_node("")), Level.BAD, "gpus", "gpu-1 show no nvidia.com/gpu"),
    "no-storage": (without("StorageClass", "fast"), Level.WARNING, "storage", "no default StorageClass"),
    "image": (
        [*HEALTHY, made("Pod", "p", "team", status={"containerStatuses": [PULL]})], Level.BAD, "images",
        "example.com/m:1 cannot be pulled: 401 Unauthorized",
    ),
    "kaito": (
        [*HEALTHY, made("Deployment", "kaito-workspace", "kaito-workspace"), crd("ragengines.kaito.sh", "v1alpha1")],
        Level.WARNING, "leftovers", "CRD ragengines.kaito.sh, Deployment kaito-workspace/kaito-workspace",
    ),
    "skew": (changed(lease("gpu-1", "kube-node-lease", LATER)), Level.WARNING, "clocks", "gpu-1 is 1m30s ahead"),
    "unready": ([*HEALTHY, made("Workspace", "phi", "team")], Level.WARNING, "workspaces", "team/phi is not ready"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES))
def test_what_is_wrong_is_found_with_its_cure_and_nothing_else_is_blamed(name: str) -> None:
    objects, level, check, told = CASES[name]

    findings = found(objects)

    (bad,) = [finding for finding in findings if finding.level in (Level.WARNING, Level.BAD)]
    assert (bad.level, bad.check) == (level, check)
    assert told in bad.told
    assert bad.cure
    assert answer(findings, "json")[0] == (1 if level is Level.BAD else 0)


@pytest.mark.parametrize("why", node_orders.REASONS)
@pytest.mark.parametrize(("api", "shown"), [("machine", "Machines"), ("nodeclaim", "NodeClaims")])
def test_the_node_api_is_said_with_why_it_was_chosen(api: str, shown: str, why: str) -> None:
    surgery = Surgery(HEALTHY)
    surgery.metrics = chosen(api, why)

    (finding,) = [f for f in examine(Cluster(surgery, "team"), START, CHECKS) if f.check == NODE_API]

    assert finding.level is Level.OK
    assert f"ordered by {shown} (karpenter.sh/" in finding.told
    assert " " in finding.told.rpartition(": ")[2], "a sentence and not the bare word"


@pytest.mark.parametrize(("metrics", "level"), [("", Level.UNKNOWN), (chosen("", ""), Level.WARNING)])
def test_no_choice_and_no_metrics_are_told_apart(metrics: str, level: Level) -> None:
    surgery = Surgery(HEALTHY)
    surgery.metrics = metrics

    (finding,) = [f for f in examine(Cluster(surgery, "team"), START, CHECKS) if f.check == NODE_API]

    assert (finding.level, bool(finding.cure)) == (level, True)


def test_an_operator_without_a_right_is_named() -> None:
    (bad,) = [finding for finding in found(HEALTHY, refused="deployments") if finding.level is Level.BAD]

    assert bad.told == "kaito-controller may not create deployments."


REFUSABLE = (
    "customresourcedefinitions", "leases", "daemonsets", "nodes", "storageclasses", "pods", "machines", "subjectaccessreviews",
)  # fmt: skip


@pytest.mark.parametrize("plural", REFUSABLE)
def test_what_may_not_be_looked_at_is_unknown_and_neither_good_nor_bad(plural: str) -> None:
    findings = found(HEALTHY, {plural: Forbidden("no", code=403)})

    assert {f.level for f in findings} <= {Level.OK, Level.UNKNOWN}
    told = [f for f in findings if f.level is Level.UNKNOWN and plural in f.told]
    assert told
    assert "kaito-plugin-user" in told[0].cure


def test_a_user_without_any_right_gets_a_page_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    class Nobody(Surgery):
        def _of(self, resource: Resource, namespace: str | None) -> Objects:
            raise Forbidden("no", code=403)

    nobody = Nobody([], {"subjectaccessreviews": Forbidden("no", code=403)})
    nobody.metrics = ""
    findings = examine(Cluster(nobody, "team"), START, CHECKS)
    code, page = answer(findings, "table")

    assert code == 0
    assert {f.level for f in findings} == {Level.UNKNOWN}
    assert {f.check for f in findings} == {name for name, _ in CHECKS}
    assert max(map(len, page.splitlines())) <= 80


def test_a_cluster_that_does_not_answer_is_one_sentence() -> None:
    with pytest.raises(click.UsageError, match="the cluster cannot be read: connection refused"):
        Cluster(Surgery([], {"version": ConnectionFailed("connection refused")}), "team").reach()


def test_json_and_yaml_say_the_same() -> None:
    findings = found(CASES["quota"][0])

    document = json.loads(answer(findings, "json")[1])

    assert document == yaml.safe_load(answer(findings, "yaml")[1])
    assert {entry["level"] for entry in document["findings"]} == {"ok", "bad"}


SECRETS = [
    "https://user:hunter2@example.com/x",
    "https://example.com/data?sig=hunter2&se=1",
    "Authorization: Bearer hunter2hunter2",
    "token=hunter2",
    "password: hunter2",
    "hf_hunter2hunter2",
]


@pytest.mark.parametrize("text", SECRETS)
def test_what_looks_like_a_secret_leaves_a_text(text: str) -> None:
    assert "hunter2" not in redacted_text(f"before {text} after")
    assert redacted_text(f"before {text} after").startswith("before ")


@pytest.mark.parametrize(
    "value",
    [
        {"name": "HF_TOKEN", "value": "hunter2"},
        {"data": {".dockerconfigjson": "hunter2"}},
        {"env": [{"name": "AZURE_CLIENT_SECRET", "value": "hunter2"}]},
        {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "hunter2"}},
        {"args": ["--api-key=hunter2"]},
    ],
)
def test_what_is_named_like_a_secret_leaves_an_object(value: Object) -> None:
    assert "hunter2" not in json.dumps(redacted(value))


def test_names_of_secrets_and_plain_values_stay() -> None:
    plain = {"imagePullSecrets": [{"name": "mine"}], "image": "example.com/m:1", "count": 2, "secretName": "push"}

    assert redacted(plain) == plain
    assert redacted({"token": "hunter2"}) == {"token": GONE}


def test_a_bundle_holds_findings_and_records_that_explain_can_read_and_no_secret() -> None:
    shelf = Shelf("container-crashes")
    shelf.record["pods"][0]["spec"]["containers"][0]["env"] = [{"name": "HF_TOKEN", "value": "hunter2"}]

    packed = bundle(shelf.cluster, found(HEALTHY), FakeClock())

    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        files = {entry.name: archive.extractfile(entry).read().decode() for entry in archive}  # type: ignore[union-attr]
    assert "hunter2" not in "".join(files.values())
    assert len(json.loads(files["kaito-report/doctor.json"])["findings"]) == len(found(HEALTHY))
    record = json.loads(files["kaito-report/workspaces/team-1/phi.json"])
    assert record["workspace"]["metadata"]["name"] == "phi"
    assert record["pods"][0]["spec"]["containers"][0]["env"] == [{"name": "HF_TOKEN", "value": GONE}]
