"""The admission policy with more models and instance types than are shipped, on the real API server: what it costs, and how large it gets.

The server ends the evaluation of a policy that has used up its cost budget, and refuses the object with words that say so. An object
has at most 1 MiB, and 256 KiB when `kubectl apply` keeps a copy of it as an annotation. Figures are printed (`-s`), and kept
in `docs/figures.md`.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.resources import Object
from hack.generate.catalogue_parameter import catalogue_data
from kaito_controller.api.types import Workspace
from kaito_controller.api.validation import validate_create
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.model import Catalog
from test.e2e.admission.conftest import NAMESPACE, Cluster
from test.support.kubectl import Kubectl
from test.support.processes import wait_until
from test.support.workspaces import changed, good

pytestmark = pytest.mark.envtest

MODELS, TYPES = 60, 120
KEPT_COPY = 256 * 1024
"""Bytes that all annotations of an object may have."""
LARGEST_OBJECT = 1024 * 1024
ROUNDS = 40
ROOMY = "Standard_ND96isr_H200_v5"
SLOWEST_S = 1.0
"""Of one creation, on a busy machine; without the policy it is a few milliseconds."""


def enlarged(models: int, types: int) -> Catalog:
    """The shipped catalogue with `models` more models and at least `types` instance types; each new type has a card of its own."""
    shipped = load_catalog()
    shaped = [p for p in shipped.presets.values() if p.is_sized_by_shape]
    presets = dict(shipped.presets)
    for number in range(models):
        like = shaped[number % len(shaped)]
        weights = replace(like.weights, repository=f"added/model-{number}")
        presets[f"added-{number}"] = replace(like, name=f"added-{number}", weights=weights)
    current = [t for t in shipped.instance_types.values() if t.card and t.accelerator == "nvidia"]
    known = dict(shipped.instance_types)
    for number in range(types - len(known)):
        like_type = current[number % len(current)]
        assert like_type.card is not None
        card = replace(like_type.card, name=f"Added {number} 80Gi")
        known[f"Standard_Added{number}"] = replace(like_type, name=f"Standard_Added{number}", card=card)
    return Catalog(MappingProxyType(presets), MappingProxyType(known))


@pytest.fixture(scope="module")
def cluster(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    running = Cluster(
        Client.from_kubeconfig(str(kubeconfig), user_agent="large"),
        Kubectl(kubeconfig, tmp_path_factory.mktemp("home")),
    )
    for namespace in ("kaito-system", NAMESPACE):
        running.kubectl.run("create", "namespace", namespace)
    running.install()
    yield running
    running.install()
    running.kubectl.run("delete", "namespace", NAMESPACE, "--wait=false")


def put_in_force(cluster: Cluster, catalog: Catalog) -> None:
    """Apply `catalog` and wait until the policy judges by it: a model that is not shipped is refused or not."""
    applied = cluster.kubectl.run(
        "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump(parameter(catalog))
    )
    assert applied.returncode == 0, applied.stderr
    known = "added-0" in catalog.presets
    added = asked("added-0", ROOMY)
    wait_until(lambda: (cluster.refusal(added) == "") == known, timeout_s=30, what="the catalogue to be read")


def parameter(catalog: Catalog) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kaito-catalogue", "namespace": "kaito-system"},
        "data": catalogue_data(catalog),
    }


def asked(model: str, instance_type: str) -> Object:
    return changed(good("inference"), {"inference.preset.name": model, "resource.instanceType": instance_type})


def seconds(cluster: Cluster, obj: Object) -> list[float]:
    found = []
    for _ in range(ROUNDS):
        before = time.perf_counter()
        cluster.refusal(obj)
        found.append(time.perf_counter() - before)
    return found


def test_sixty_models_and_120_types_more_than_are_needed_are_within_the_limits(cluster: Cluster) -> None:
    catalog = enlarged(MODELS, TYPES)
    small, large = (len(json.dumps(parameter(c), separators=(",", ":"))) for c in (load_catalog(), catalog))
    fits, misfit = asked("added-0", ROOMY), asked("llama-3.3-70b-instruct", "Standard_NC4as_T4_v3")
    put_in_force(cluster, load_catalog())
    before = {name: seconds(cluster, obj) for name, obj in (("fits", asked("qwen3-8b", ROOMY)), ("misfit", misfit))}

    put_in_force(cluster, catalog)
    after = {name: seconds(cluster, obj) for name, obj in (("fits", fits), ("misfit", misfit))}

    assert len(catalog.instance_types) >= TYPES
    assert "too much for each GPU" in cluster.refusal(misfit)
    assert "budget" not in cluster.refusal(misfit)
    assert small < KEPT_COPY, "kubectl apply keeps a copy of the shipped catalogue"
    assert large < LARGEST_OBJECT
    assert statistics.median(after["misfit"]) < SLOWEST_S
    shown: dict[str, Any] = {n: f"{1000 * statistics.median(v):.1f} ms" for n, v in before.items()}
    print(
        f"\nshipped: {len(load_catalog().presets)} models, {len(load_catalog().instance_types)} types, {small} bytes, {shown}"
    )
    shown = {n: f"{1000 * statistics.median(v):.1f} ms" for n, v in after.items()}
    print(f"large: {len(catalog.presets)} models, {len(catalog.instance_types)} types, {large} bytes, {shown}")


def test_the_server_and_python_agree_about_the_larger_catalogue(cluster: Cluster) -> None:
    catalog = enlarged(MODELS, TYPES)
    models = [*(f"added-{n}" for n in range(0, MODELS, 7)), "qwen3-8b", "gpt-oss-120b", "deepseek-v3-0324"]
    types = [f"Standard_Added{n}" for n in range(0, TYPES - len(load_catalog().instance_types), 5)]
    types += ["Standard_NC4as_T4_v3", "Standard_NC80adis_H100_v5", ROOMY]
    put_in_force(cluster, catalog)

    for model in models:
        for instance_type in types:
            obj = asked(model, instance_type)
            refused = [
                v for v in validate_create(Workspace.from_object(obj), catalog) if v.field == "resource.instanceType"
            ]
            assert bool(cluster.refusal(obj)) == bool(refused), (model, instance_type, refused)
