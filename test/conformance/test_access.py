"""Who may do what: reviews, ServiceAccount tokens, roles and bindings, impersonation, admission policies."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from test.conformance import widgets as types
from test.conformance.widgets import config_map, config_maps, widget, widgets
from test.support.raw_api import RawApi, Reply, eventually

RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture
def robot(api: RawApi, namespace: str) -> Iterator[RawApi]:
    """The API as a ServiceAccount `robot` without any rights."""
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    api.post(accounts, {"metadata": {"name": "robot"}}).expect(201)
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    token = api.post(f"{accounts}/robot/token", asked).expect(201)["status"]["token"]
    found = api.as_token(token)
    yield found
    found.close()


def grant(api: RawApi, namespace: str, *rules: dict[str, Any]) -> None:
    """Give `robot` a Role with rules."""
    api.post(f"{RBAC}/namespaces/{namespace}/roles", {"metadata": {"name": "r"}, "rules": list(rules)}).expect(201)
    subject = {"kind": "ServiceAccount", "name": "robot", "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    body = {"metadata": {"name": "r"}, "subjects": [subject], "roleRef": reference}
    api.post(f"{RBAC}/namespaces/{namespace}/rolebindings", body).expect(201)


def test_account_without_rights_is_forbidden(namespace: str, robot: RawApi) -> None:
    refused = robot.get(config_maps(namespace))
    assert (refused.code, refused.reason) == (403, "Forbidden")
    who, where = f'User "system:serviceaccount:{namespace}:robot"', f'in the namespace "{namespace}"'
    text = f'{who} cannot list resource "configmaps" in API group "" {where}'
    assert text in refused.body["message"]


def test_role_grants_its_verbs_and_no_other(api: RawApi, namespace: str, robot: RawApi) -> None:
    grant(api, namespace, {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]})
    eventually(lambda: robot.get(config_maps(namespace)).code, lambda code: code == 200)
    assert robot.post(config_maps(namespace), config_map()).code == 403
    assert robot.get(config_maps("default")).code == 403
    assert robot.get("/api/v1/configmaps").code == 403


def test_status_is_a_right_of_its_own(api: RawApi, namespace: str, robot: RawApi) -> None:
    api.post(widgets(namespace), widget()).expect(201)
    grant(api, namespace, {"apiGroups": [types.GROUP], "resources": ["widgets/status"], "verbs": ["patch"]})
    path = f"{widgets(namespace)}/w"
    eventually(lambda: robot.patch(f"{path}/status", {"status": {"phase": "A"}}).code, lambda code: code == 200)
    assert robot.patch(path, {"spec": {"size": 6}}).code == 403


def test_right_can_be_limited_to_names(api: RawApi, namespace: str, robot: RawApi) -> None:
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["c"]}
    api.post(config_maps(namespace), config_map("c")).expect(201)
    api.post(config_maps(namespace), config_map("d")).expect(201)
    grant(api, namespace, rule)
    eventually(lambda: robot.get(f"{config_maps(namespace)}/c").code, lambda code: code == 200)
    assert robot.get(f"{config_maps(namespace)}/d").code == 403


def test_every_account_may_discover(robot: RawApi) -> None:
    for path in ("/version", "/api", "/apis", "/apis/apps/v1", "/openapi/v3"):
        assert robot.get(path).code == 200


def test_wrong_token_is_unauthorized(api: RawApi) -> None:
    stranger = api.as_token("not-a-token")
    refused = stranger.get("/api/v1/namespaces")
    stranger.close()
    assert (refused.code, refused.reason) == (401, "Unauthorized")


def test_token_review_knows_a_token(api: RawApi, namespace: str, robot: RawApi) -> None:
    token = robot.headers["Authorization"].removeprefix("Bearer ")
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    status = api.post(path, body).expect(201)["status"]
    assert (status["authenticated"], status["user"]["username"]) == (True, f"system:serviceaccount:{namespace}:robot")
    assert f"system:serviceaccounts:{namespace}" in status["user"]["groups"]
    body["spec"]["token"] = "wrong"
    assert not api.post(path, body).expect(201)["status"].get("authenticated")


def test_access_reviews_agree_with_the_roles(api: RawApi, namespace: str, robot: RawApi) -> None:
    grant(api, namespace, {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]})
    group = "/apis/authorization.k8s.io/v1"

    def asks(verb: str) -> bool:
        spec = {"resourceAttributes": {"namespace": namespace, "verb": verb, "resource": "configmaps"}}
        own = robot.post(f"{group}/selfsubjectaccessreviews", {"spec": spec}).expect(201)["status"]["allowed"]
        spec["user"] = f"system:serviceaccount:{namespace}:robot"
        spec["groups"] = ["system:serviceaccounts"]
        about = api.post(f"{group}/subjectaccessreviews", {"spec": spec}).expect(201)["status"]["allowed"]
        assert own == about
        return bool(own)

    eventually(lambda: asks("get"), bool)
    assert not asks("delete")


def test_admin_can_act_as_somebody_else(api: RawApi, namespace: str) -> None:
    api.headers["Impersonate-User"] = "nobody@example.com"
    try:
        refused = api.get(config_maps(namespace))
    finally:
        del api.headers["Impersonate-User"]
    assert (refused.code, 'User "nobody@example.com"' in refused.body["message"]) == (403, True)


POLICIES = "/apis/admissionregistration.k8s.io/v1"


@contextmanager
def size_policy(
    api: RawApi, namespace: str, message: str = "'at most ' + string(variables.max)", **binding: Any
) -> Iterator[str]:
    """A policy for Widgets of this namespace, no larger than `data.max` of the ConfigMap `limits`; its binding denies, unless told else."""
    name = f"conformance-{secrets.token_hex(3)}"
    rule = {
        "apiGroups": [types.GROUP],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["widgets"],
    }
    spec = {
        "failurePolicy": "Fail",
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": {"resourceRules": [rule]},
        "variables": [{"name": "max", "expression": "int(params.data['max'])"}],
        "validations": [
            {"expression": "object.spec.size <= variables.max", "messageExpression": message, "message": "too large"}
        ],
    }
    scope = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    reference = {"name": "limits", "namespace": namespace, "parameterNotFoundAction": "Deny"}
    bound = {
        "policyName": name,
        "paramRef": reference,
        "validationActions": ["Deny"],
        "matchResources": scope,
        **binding,
    }
    api.post(f"{POLICIES}/validatingadmissionpolicies", {"metadata": {"name": name}, "spec": spec}).expect(201)
    api.post(f"{POLICIES}/validatingadmissionpolicybindings", {"metadata": {"name": name}, "spec": bound}).expect(201)
    yield name
    api.delete(f"{POLICIES}/validatingadmissionpolicybindings/{name}")
    api.delete(f"{POLICIES}/validatingadmissionpolicies/{name}")


@pytest.fixture(scope="module")
def parameters_stay_watched(server_api: RawApi, widget_types: None) -> Iterator[None]:
    """A policy for a namespace that nobody uses, all the time: an API server (seen on 1.34 and 1.37) that loses its last policy with
    ConfigMaps as parameters may find none for the next one until it restarts."""
    with size_policy(server_api, "nowhere"):
        yield


@pytest.fixture
def limits(api: RawApi, namespace: str, parameters_stay_watched: None) -> None:
    """What the policies are given."""
    api.post(config_maps(namespace), config_map("limits", max="50")).expect(201)


@pytest.fixture
def policy(api: RawApi, namespace: str, limits: None) -> Iterator[str]:
    """A policy that denies."""
    with size_policy(api, namespace) as name:
        yield name


@pytest.fixture
def warning_policy(api: RawApi, namespace: str, limits: None) -> Iterator[str]:
    """The same with another message, only warning."""
    message = """'over "' + string(variables.max) + '" it is slow'"""
    with size_policy(api, namespace, message, validationActions=["Warn"]) as name:
        yield name


def warned(api: RawApi, namespace: str) -> Reply:
    """The answer to a Widget that is too large, once the server knows the policy that warns."""
    return eventually(
        lambda: api.post(widgets(namespace), widget(size=60), dryRun="All"), lambda reply: "Warning" in reply.headers
    )


def test_policy_refuses_with_its_message(api: RawApi, namespace: str, policy: str) -> None:
    refused = eventually(
        lambda: api.post(widgets(namespace), widget(size=60), dryRun="All"), lambda reply: reply.code != 201
    )
    assert (refused.code, refused.reason) == (422, "Invalid")
    assert refused.body["message"].endswith(
        f"ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: at most 50"
    )
    api.post(widgets(namespace), widget(size=40)).expect(201)
    assert api.patch(f"{widgets(namespace)}/w", {"spec": {"size": 60}}).code == 422
    assert api.patch(f"{widgets(namespace)}/w/status", {"status": {"phase": "A"}}).code == 200


def test_policy_follows_its_parameters(api: RawApi, namespace: str, policy: str) -> None:
    eventually(lambda: api.post(widgets(namespace), widget(size=60), dryRun="All").code, lambda code: code == 422)
    api.patch(f"{config_maps(namespace)}/limits", {"data": {"max": "70"}}).expect(200)
    eventually(lambda: api.post(widgets(namespace), widget(size=60), dryRun="All").code, lambda code: code == 201)


def test_policy_that_warns_lets_the_object_in(api: RawApi, namespace: str, warning_policy: str) -> None:
    said = f"Validation failed for ValidatingAdmissionPolicy '{warning_policy}' with binding '{warning_policy}'"

    reply = warned(api, namespace)

    assert reply.code == 201
    assert reply.headers["Warning"] == f'299 - "{said}: over \\"50\\" it is slow"'
    assert "Warning" not in api.post(widgets(namespace), widget(size=40)).headers
    assert f"{warning_policy}" in api.patch(f"{widgets(namespace)}/w", {"spec": {"size": 70}}).headers["Warning"]


def test_refusal_carries_the_warnings_of_other_policies(
    api: RawApi, namespace: str, policy: str, warning_policy: str
) -> None:
    warned(api, namespace)

    refused = eventually(
        lambda: api.post(widgets(namespace), widget(size=60), dryRun="All"), lambda reply: reply.code != 201
    )

    assert refused.code == 422
    assert f"'{policy}' with binding '{policy}' denied request: at most 50" in refused.body["message"]
    assert f"'{warning_policy}' with binding" in refused.headers["Warning"]
