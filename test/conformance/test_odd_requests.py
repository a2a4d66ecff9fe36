"""What `compare.py` has found: odd requests on which localcluster once failed or differed. Codes and reasons are a real server's."""

from __future__ import annotations

import os
from typing import Any

import pytest

from test.conformance.odd_requests import JSON, NAME, ODD_VALUES, OddRequest, targets
from test.support.raw_api import APPLY, JSON_PATCH, MERGE, STRATEGIC, RawApi

CONFIG_MAP, WIDGET, PLAIN, POD, DEPLOYMENT, SERVICE = range(6)
BAD, INVALID, MEDIA = (400, "BadRequest"), (422, "Invalid"), (415, "UnsupportedMediaType")
Case = tuple[int, str, Any, str, dict[str, str], tuple[int, str]]


def meta(**fields: Any) -> dict[str, Any]:
    """A body with nothing but metadata."""
    return {"metadata": {"name": NAME, **fields}}


CREATED: list[Case] = [
    (CONFIG_MAP, "POST", meta(**{field: value}), JSON, {}, BAD)
    for field, value in [
        ("annotations", 5), ("annotations", {"a": 5}), ("annotations", []), ("labels", "x"), ("labels", {"a": {}}), ("finalizers", 5),
        ("finalizers", {}),
        ("ownerReferences", [5]), ("ownerReferences", {}), ("uid", 5), ("name", 5), ("name", {}),
        ("generateName", [None]),
        ("resourceVersion", 1.5), ("creationTimestamp", "x"), ("creationTimestamp", 5), ("generation", 1.5), ("generation", "x"),
        ("managedFields", "x"), ("managedFields", [5]),
    ]
]  # fmt: skip
BODIES: list[Case] = [
    (CONFIG_MAP, "POST", b"null", JSON, {}, INVALID),
    (CONFIG_MAP, "POST", b"[]", JSON, {}, BAD),
    (CONFIG_MAP, "POST", b'"x"', JSON, {}, BAD),
    (CONFIG_MAP, "POST", b'{"a":1}{"b":2}', JSON, {}, BAD),
    (WIDGET, "POST", {"apiVersion": {"a": 5}, "kind": "Widget"}, JSON, {}, BAD),
    (PLAIN, "PUT", {"apiVersion": "v1", "kind": {"a": None}}, JSON, {}, BAD),
    (CONFIG_MAP, "PUT", b"{}", JSON, {}, BAD),
    (POD, "PUT/status", {**meta(), "spec": {"containers": [{"name": "c", "image": False}]}}, JSON, {}, BAD),
]
MEDIA_TYPES: list[Case] = [
    (DEPLOYMENT, method, {}, kind, {}, MEDIA)
    for method in ("POST", "PUT", "DELETE")
    for kind in ("text/plain", "json", ";;", "application/json;x", "application/cbor", MERGE, JSON_PATCH, APPLY)
] + [
    (CONFIG_MAP, "PATCH", {}, JSON, {}, MEDIA),
    (WIDGET, "PATCH", {}, STRATEGIC, {}, MEDIA),
    (CONFIG_MAP, "POST", b"", MERGE, {}, MEDIA),
]
OPTIONS: list[Case] = [
    (CONFIG_MAP, method, meta(), kind, {name: value}, INVALID)
    for method, kind in (("POST", JSON), ("PUT", JSON), ("PATCH", MERGE))
    for name, value in (
        ("dryRun", "x"), ("dryRun", ""), ("fieldManager", "x" * 129), ("fieldManager", "a\nb"), ("fieldValidation", "x"),
    )
] + [
    (SERVICE, "PATCH/status", {}, STRATEGIC, {"force": ""}, INVALID),
    (CONFIG_MAP, "GET*", None, JSON, {"limit": "x"}, BAD),
    (CONFIG_MAP, "GET*", None, JSON, {"timeoutSeconds": "1.5"}, BAD),
    (CONFIG_MAP, "GET*", None, JSON, {"resourceVersion": "99999999999999999999999"}, BAD),
    (CONFIG_MAP, "GET*", None, JSON, {"sendInitialEvents": "true"}, INVALID),
    (CONFIG_MAP, "GET*", None, JSON, {"watch": "1", "timeoutSeconds": "1", "limit": ""}, BAD),
    (CONFIG_MAP, "GET*", None, JSON, {"watch": "1", "timeoutSeconds": "1", "continue": "x"}, INVALID),
    (CONFIG_MAP, "GET*", None, JSON, {"limit": "-1"}, (200, "")),
]  # fmt: skip
UNDECODABLE: list[Case] = [
    (CONFIG_MAP, "DELETE", {"gracePeriodSeconds": 2**70}, JSON, {}, BAD),
    (CONFIG_MAP, "DELETE", {"preconditions": "x"}, JSON, {}, BAD),
    (CONFIG_MAP, "DELETE", {"dryRun": -1}, JSON, {}, BAD),
    (CONFIG_MAP, "DELETE", {"apiVersion": [[]]}, JSON, {}, BAD),
]
"""Kubernetes 1.34 answers these with 500 and no reason; 1.37 and localcluster as written."""
DELETIONS: list[Case] = [
    (CONFIG_MAP, "DELETE", None, JSON, {"gracePeriodSeconds": "1.5"}, BAD),
    (CONFIG_MAP, "DELETE", {"propagationPolicy": "x", "preconditions": {"uid": "x"}}, JSON, {}, INVALID),
    (CONFIG_MAP, "DELETE", {"orphanDependents": True, "propagationPolicy": "Background"}, JSON, {}, INVALID),
    (CONFIG_MAP, "DELETE", {"kind": "DeleteOptions"}, JSON, {"dryRun": "x"}, (200, "")),
]
PATCHES: list[Case] = [
    (CONFIG_MAP, "PATCH", True, MERGE, {}, BAD),
    (CONFIG_MAP, "PATCH", [None], STRATEGIC, {}, BAD),
    (CONFIG_MAP, "PATCH", {}, JSON_PATCH, {}, BAD),
    (CONFIG_MAP, "PATCH", [5], JSON_PATCH, {}, BAD),
    (WIDGET, "PATCH", [{"op": 5, "path": "/spec", "value": 1}], JSON_PATCH, {}, BAD),
    (CONFIG_MAP, "PATCH", [{"path": "/data", "value": 1}], JSON_PATCH, {}, INVALID),
    (CONFIG_MAP, "PATCH", [{"op": "remove", "path": None}], JSON_PATCH, {}, INVALID),
    (CONFIG_MAP, "PATCH", {"metadata": {"annotations": 5}}, MERGE, {}, INVALID),
    (WIDGET, "PATCH", {"metadata": {"labels": {"a": 5}}}, MERGE, {}, INVALID),
    (DEPLOYMENT, "PATCH", {"spec": {"": 5, "replicas": "x"}}, STRATEGIC, {}, INVALID),
    (POD, "PATCH", {"kind": "a/b"}, MERGE, {}, INVALID),
    (DEPLOYMENT, "PATCH", {"apiVersion": 1.5}, MERGE, {}, INVALID),
    (WIDGET, "PATCH", {"metadata": {"managedFields": []}}, APPLY, {"fieldManager": "m"}, BAD),
]


@pytest.mark.parametrize(
    "case",
    [*CREATED, *BODIES, *MEDIA_TYPES, *OPTIONS, *UNDECODABLE, *DELETIONS, *PATCHES],
    ids=lambda case: f"{case[1]} {case[2]}"[:60],
)
def test_odd_request_is_answered_as_by_a_real_server(api: RawApi, namespace: str, case: Case) -> None:
    which, verb, body, kind, query, expected = case
    if case in UNDECODABLE and os.environ.get("ENVTEST_MINOR") == "1.34":
        expected = (500, "")
    target = targets(namespace)[which]
    if kind == APPLY and isinstance(body, dict):
        body = {"apiVersion": target.body["apiVersion"], "kind": target.body["kind"], **body}
    method, _, part = verb.rstrip("*").partition("/")
    tail = "" if method == "POST" or verb.endswith("*") else f"/{NAME}" + (f"/{part}" if part else "")
    reply = OddRequest(target, method, body, kind, query, tail).send(api)
    assert (reply.code, reply.reason if reply.code >= 400 else "") == expected, reply.body


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: repr(value)[:20])
def test_annotations_of_any_value_are_taken_or_refused(api: RawApi, namespace: str, value: Any) -> None:
    reply = OddRequest(
        targets(namespace)[PLAIN], "PATCH", {"metadata": {"annotations": value}}, MERGE, tail=f"/{NAME}"
    ).send(api)
    assert reply.code in (200, 422)
