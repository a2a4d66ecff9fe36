"""What a server says to a dry run of a pod, and of a Deployment of it: the same as to the real thing, and nothing is made."""

from __future__ import annotations

from typing import Any

import pytest

from test.support.raw_api import RawApi

Spec = dict[str, Any]


def pod(container: Spec | None = None, **fields: Any) -> Spec:
    return {"containers": [{"name": "a", "image": "registry.example.com/a:1", **(container or {})}], **fields}


SPECS: dict[str, tuple[int, Spec]] = {
    "good": (201, pod()),
    "image null": (422, pod({"image": None})),
    "args as text": (400, pod({"args": ""})),
    "port with a fraction": (400, pod({"ports": [{"containerPort": 1.5}]})),
    "port as text": (400, pod({"ports": [{"containerPort": "80"}]})),
    "port 0": (422, pod({"ports": [{"containerPort": 0}]})),
    "capabilities as text": (400, pod({"securityContext": {"capabilities": {"add": "ALL"}}})),
    "number in the environment": (400, pod({"env": [{"name": "A", "value": 5}]})),
    "two containers of one name": (422, {"containers": [*pod()["containers"], *pod()["containers"]]}),
    "no containers": (422, {"containers": []}),
    "unknown volume": (422, pod({"volumeMounts": [{"name": "v", "mountPath": "/a"}]})),
    "two kinds of volume": (422, pod(volumes=[{"name": "v", "emptyDir": {}, "configMap": {"name": "c"}}])),
    "no quantity": (400, pod({"resources": {"limits": {"cpu": "x"}}})),
    "request above limit": (422, pod({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}})),
    "pull policy": (422, pod({"imagePullPolicy": "Sometimes"})),
    "toleration": (422, pod(tolerations=[{"key": "a", "operator": "Like"}])),
    "probe without a handler": (422, pod({"livenessProbe": {}})),
}


@pytest.fixture
def account(api: RawApi, namespace: str) -> str:
    """A namespace whose pods have a service account, whether or not a controller makes it."""
    api.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}})
    return namespace


@pytest.mark.parametrize("name", SPECS)
def test_dry_run_answers_as_the_real_thing_would_and_makes_nothing(api: RawApi, account: str, name: str) -> None:
    code, spec = SPECS[name]
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
    deployment = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    pods, deployments = f"/api/v1/namespaces/{account}/pods", f"/apis/apps/v1/namespaces/{account}/deployments"

    assert api.post(pods, {"metadata": {"name": "p"}, "spec": spec}, dryRun="All").code == code
    assert api.post(deployments, deployment, dryRun="All").code == code
    assert api.get(f"{pods}/p").code == 404
    assert api.get(f"{deployments}/d").code == 404
