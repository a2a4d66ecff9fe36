"""Dry runs before a node is ordered: asked once, answered in the server's words, asked again ever more rarely."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from controller_runtime.cache.consistency import PATIENCE_S
from controller_runtime.errors import ApiError, BadRequest, Forbidden, ServiceUnavailable
from controller_runtime.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    PERSISTENT_VOLUME_CLAIMS,
    SERVICES,
    Object,
    Resource,
    controller_of,
    name_of,
)
from kaito_controller.api import reasons
from kaito_controller.workloads import build_objects
from kaito_controller.workspace.act.actions import Create, Delete
from kaito_controller.workspace.act.apply import Applier
from kaito_controller.workspace.act.rehearsal import FIRST_PAUSE_S, LONGEST_PAUSE_S, Rehearsals
from test.support.fake_clock import FakeClock
from test.support.memory_client import MemoryClient
from test.unit.kaito_controller.workloads.cases import CASES, UID, context, inference, workspace

WORKSPACE: Object = {"kind": "Workspace", "metadata": {"name": "demo", "namespace": "default", "uid": UID}}
QUOTA = 'pods "demo-dry-run" is forbidden: exceeded quota: no-pods, requested: pods=1, used: pods=0, limited: pods=0'


class Server(MemoryClient):
    """Refuses creations of one kind with an error, as long as there is one; counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, ApiError] = {}
        self.asked: list[tuple[str, bool]] = []

    def create(
        self, resource: Resource, obj: Mapping[str, Any], namespace: str | None = None, *, dry_run: bool = False
    ) -> Object:
        self.asked.append((resource.kind, dry_run))
        if resource.kind in self.errors:
            raise self.errors[resource.kind]
        return super().create(resource, obj, namespace, dry_run=dry_run)

    def has(self, resource: Resource, obj: Object) -> None:
        """It is there already."""
        super().create(resource, obj)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def rehearsals(server: Server, clock: FakeClock) -> Rehearsals:
    return Rehearsals(server, clock)


def objects(**sections: Any) -> list[Object]:
    return build_objects(context(workspace("demo", **(sections or {"inference": inference()}))))


def template(**pod: Any) -> dict[str, Any]:
    return {"inference": {"template": {"spec": {"containers": [{"name": "own", "image": "r.io/own:1"}], **pod}}}}


def test_all_objects_and_one_pod_are_tried_and_nothing_is_made(server: Server, rehearsals: Rehearsals) -> None:
    assert rehearsals.of(WORKSPACE, objects()) is None

    assert server.asked == [("Service", True), ("Deployment", True), ("Pod", True)]


def test_what_passed_is_not_asked_about_again_until_it_changes(
    server: Server, rehearsals: Rehearsals, clock: FakeClock
) -> None:
    rehearsals.of(WORKSPACE, objects())
    asked = len(server.asked)
    clock.advance(timedelta(days=1).total_seconds())

    assert rehearsals.of(WORKSPACE, objects()) is None
    assert len(server.asked) == asked
    rehearsals.of(WORKSPACE, objects(**template()))
    assert len(server.asked) == 2 * asked


def test_a_refusal_is_told_in_the_servers_words_and_says_when_it_is_tried_again(
    server: Server, rehearsals: Rehearsals
) -> None:
    server.errors["Pod"] = Forbidden(QUOTA, code=403, reason="Forbidden", call="POST /api/v1/namespaces/default/pods")

    verdict = rehearsals.of(WORKSPACE, objects())

    assert verdict is not None
    assert verdict.until is not None
    assert verdict.reason.name == "WorkloadRefused"
    assert verdict.message.startswith(QUOTA)
    assert "Nothing was ordered" in verdict.message


def test_a_refusal_is_asked_about_again_ever_more_rarely_and_ends_when_it_ends(
    server: Server, rehearsals: Rehearsals, clock: FakeClock
) -> None:
    server.errors["Pod"] = Forbidden(QUOTA, code=403, reason="Forbidden")
    pauses = []
    for _ in range(8):
        verdict = rehearsals.of(WORKSPACE, objects())
        assert verdict is not None
        assert verdict.until is not None
        asked = len(server.asked)
        assert rehearsals.of(WORKSPACE, objects()) == verdict
        assert len(server.asked) == asked
        pause = (verdict.until - clock.now().replace(microsecond=0)).total_seconds()
        pauses.append(pause)
        clock.advance(pause + 1)

    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S
    server.errors.clear()
    assert rehearsals.of(WORKSPACE, objects()) is None


def test_a_server_in_trouble_is_no_refusal(server: Server, rehearsals: Rehearsals) -> None:
    server.errors["Deployment"] = ServiceUnavailable("no", code=503)

    with pytest.raises(ServiceUnavailable):
        rehearsals.of(WORKSPACE, objects())
    server.errors.clear()
    assert rehearsals.of(WORKSPACE, objects()) is None


def test_a_webhook_that_takes_no_part_in_dry_runs_stops_nothing(server: Server, rehearsals: Rehearsals) -> None:
    told = 'admission webhook "a.example.com" does not support dry run'
    server.errors["Pod"] = BadRequest(told, code=400, reason="BadRequest")

    assert rehearsals.of(WORKSPACE, objects()) is None


def test_a_template_that_the_server_cannot_read_is_refused(server: Server, rehearsals: Rehearsals) -> None:
    server.errors["Deployment"] = BadRequest("json: cannot unmarshal string into Go struct field", code=400)

    verdict = rehearsals.of(WORKSPACE, objects(**template()))

    assert verdict is not None
    assert verdict.message.startswith("json: cannot unmarshal string")


def test_a_service_of_that_name_that_is_somebody_elses_is_found(server: Server, rehearsals: Rehearsals) -> None:
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "demo", "namespace": "default"}}
    server.has(SERVICES, theirs)

    verdict = rehearsals.of(WORKSPACE, objects())

    assert verdict is not None
    assert verdict.reason.name == "NameTaken"
    assert "Service demo exists and belongs to somebody else" in verdict.message


def of_a_predecessor(**metadata: Any) -> Object:
    service = objects()[0]
    service["metadata"]["ownerReferences"][0]["uid"] = "of-the-predecessor"
    service["metadata"] |= metadata
    return service


def test_the_service_of_a_predecessor_is_waited_for_and_asked_about_at_each_wake(
    server: Server, rehearsals: Rehearsals, clock: FakeClock
) -> None:
    server.has(SERVICES, of_a_predecessor())

    verdict = rehearsals.of(WORKSPACE, objects())
    clock.advance(FIRST_PAUSE_S / 2)

    assert verdict is not None
    assert verdict.reason.name == "NameBeingFreed"
    assert "Service demo" in verdict.message
    assert "earlier Workspace demo" in verdict.message
    assert (
        rehearsals.of(WORKSPACE, objects()) == verdict
    )  # word for word, or each look would write a status and wake the next
    server.delete(SERVICES, "demo", "default")
    assert rehearsals.of(WORKSPACE, objects()) is None


def test_a_name_that_is_not_freed_is_asked_about_ever_more_rarely(
    server: Server, rehearsals: Rehearsals, clock: FakeClock
) -> None:
    server.has(SERVICES, of_a_predecessor())
    pauses = []
    for _ in range(8):
        verdict = rehearsals.of(WORKSPACE, objects())
        assert verdict is not None
        assert verdict.until is not None
        pauses.append((verdict.until - clock.now().replace(microsecond=0)).total_seconds())
        clock.advance(pauses[-1] + 1)

    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S


@pytest.mark.parametrize("owners", [[], None], ids=["of somebody else", "of a predecessor"])
def test_a_service_that_is_being_deleted_is_waited_for(
    server: Server, rehearsals: Rehearsals, owners: list[Object] | None
) -> None:
    service = of_a_predecessor(**({} if owners is None else {"ownerReferences": owners}))
    service["metadata"] |= {
        "deletionTimestamp": "2026-01-02T03:04:05Z",
        "finalizers": ["service.kubernetes.io/load-balancer-cleanup"],
    }
    server.has(SERVICES, service)

    verdict = rehearsals.of(WORKSPACE, objects())

    assert verdict is not None
    assert verdict.reason.name == "NameBeingFreed"
    assert "being deleted, kept by finalizers service.kubernetes.io/load-balancer-cleanup" in verdict.message


def test_an_owner_of_another_name_or_kind_is_no_predecessor(server: Server, rehearsals: Rehearsals) -> None:
    for field, value in (("name", "other"), ("kind", "RAGEngine"), ("apiVersion", "kaito.example.com/v1")):
        service = of_a_predecessor()
        service["metadata"]["ownerReferences"][0][field] = value
        server.has(SERVICES, service)

        verdict = rehearsals.of(WORKSPACE, objects())

        assert verdict is not None
        assert verdict.reason.name == "NameTaken"
        rehearsals.forget(UID)
        server.delete(SERVICES, "demo", "default")


def test_our_own_service_that_is_there_already_is_fine(server: Server, rehearsals: Rehearsals) -> None:
    server.has(SERVICES, objects()[0])

    assert rehearsals.of(WORKSPACE, objects()) is None


def test_our_own_service_without_an_owner_is_fine_and_is_adopted(server: Server, rehearsals: Rehearsals) -> None:
    """A backup brings objects back without the owner, whose UID is another one now."""
    left = objects()[0]
    left["metadata"].pop("ownerReferences")
    server.has(SERVICES, left)

    assert rehearsals.of(WORKSPACE, objects()) is None
    outcome = Applier(server).apply(WORKSPACE, [Create(objects()[0])])

    assert outcome.rejection is None
    assert controller_of(server.get(SERVICES, "demo", "default")) is not None


def test_our_own_deployment_that_selects_other_pods_is_found_before_a_node_is_ordered(
    server: Server, rehearsals: Rehearsals
) -> None:
    left = next(obj for obj in objects() if obj["kind"] == "Deployment")
    left["metadata"].pop("ownerReferences")
    left["spec"]["selector"] = {"matchLabels": {"old": "one"}}
    server.has(DEPLOYMENTS, left)

    verdict = rehearsals.of(WORKSPACE, objects())

    assert verdict is not None
    assert verdict.reason is reasons.WORKLOAD_REFUSED
    assert verdict.message.startswith(
        "Deployment demo selects its pods by other labels, which cannot be changed. Delete the Deployment and it is made anew: "
        "kubectl delete deployment demo -n default. Nothing was ordered; it is tried again at "
    )


def tuning_config_map() -> Object:
    """That of the Workspace `demo`, as it is meant."""
    made = build_objects(CASES["tuning-phi-3-qlora"]())
    found = next(obj for obj in made if obj["kind"] == "ConfigMap")
    found["metadata"]["labels"]["kaito.sh/workspace"] = "demo"
    found["metadata"]["ownerReferences"][0] |= {"name": "demo", "uid": UID}
    return found


@pytest.mark.parametrize("lost", ["ownerReferences", "labels"])
def test_our_own_config_map_that_lost_its_owner_or_labels_is_made_anew(server: Server, lost: str) -> None:
    """It is immutable, and the shipped role lets the controller change no ConfigMap."""
    left = tuning_config_map()
    left["metadata"].pop(lost)
    server.has(CONFIG_MAPS, left)
    name, namespace = name_of(left), left["metadata"]["namespace"]
    before = server.get(CONFIG_MAPS, name, namespace)["metadata"]["uid"]

    outcome = Applier(server).apply(WORKSPACE, [Create(tuning_config_map())])

    assert outcome.rejection is None
    made = server.get(CONFIG_MAPS, name, namespace)["metadata"]
    assert made["uid"] != before
    assert made["labels"]["kaito.sh/workspace"] == "demo"
    assert made["ownerReferences"][0]["uid"] == UID


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"kaito.sh/workspace": "demo"}},
        {"labels": {"kaito.sh/workspace": "demo", "app.kubernetes.io/managed-by": "kaito-controller"}},
        {"annotations": {"kaito.sh/template-hash": "x"}},
    ],
)
def test_a_service_that_only_looks_like_ours_is_not_adopted(
    server: Server, rehearsals: Rehearsals, metadata: dict[str, Any]
) -> None:
    server.has(SERVICES, {"kind": "Service", "metadata": {"name": "demo", "namespace": "default", **metadata}})

    verdict = rehearsals.of(WORKSPACE, objects())

    assert verdict is not None
    assert verdict.reason.name == "NameTaken"


@pytest.mark.parametrize(
    ("pod", "kind"),
    [
        ({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "models"}}]}, "PersistentVolumeClaim"),
        ({"volumes": [{"name": "v", "configMap": {"name": "models"}}]}, "ConfigMap"),
        ({"volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "models"}}]}}]}, "ConfigMap"),
        (
            {"initContainers": [{"name": "i", "image": "r.io/i:1", "envFrom": [{"configMapRef": {"name": "models"}}]}]},
            "ConfigMap",
        ),
    ],
)
def test_what_the_pod_mounts_and_is_not_there_is_named(
    server: Server, rehearsals: Rehearsals, clock: FakeClock, pod: dict[str, Any], kind: str
) -> None:
    verdict = rehearsals.of(WORKSPACE, objects(**template(**pod)))

    assert verdict is not None
    assert verdict.reason.name == "ContainerConfigInvalid"
    assert f"{kind} models, which the pod needs, does not exist in namespace default" in verdict.message
    resource = PERSISTENT_VOLUME_CLAIMS if kind == "PersistentVolumeClaim" else CONFIG_MAPS
    server.has(resource, {"kind": kind, "metadata": {"name": "models", "namespace": "default"}})
    clock.advance(FIRST_PAUSE_S + 1)
    assert rehearsals.of(WORKSPACE, objects(**template(**pod))) is None


def test_the_configuration_that_is_made_with_the_job_is_not_looked_for(rehearsals: Rehearsals) -> None:
    made = build_objects(CASES["tuning-phi-3-qlora"]())

    assert any(obj["kind"] == "ConfigMap" for obj in made)
    assert rehearsals.of({"metadata": {**WORKSPACE["metadata"], "name": name_of(made[0])}}, made) is None


class LateServer(Server):
    """Accepts deletions and goes on showing the object, as one with a finalizer."""

    def delete(self, resource: Resource, name: str, namespace: str | None = None, **_: Any) -> None:
        self.asked.append((f"delete {name}", False))


def test_a_deletion_that_was_accepted_is_not_asked_for_again_while_the_caches_do_not_show_it(clock: FakeClock) -> None:
    server = LateServer()
    server.has(SERVICES, objects()[0])
    deletion = Delete.of(server.get(SERVICES, "demo", "default"))
    applier = Applier(server, clock)

    for _ in range(3):
        applier.apply(WORKSPACE, [deletion])
    assert server.asked == [("delete demo", False)]

    clock.advance(PATIENCE_S)  # the server was set back in time, say
    applier.apply(WORKSPACE, [deletion])
    assert len(server.asked) == 2
