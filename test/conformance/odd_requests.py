"""Requests that no well-behaved client sends, drawn at random: types that do not fit, broken patches, odd options and encodings.

`draw` takes its choices from a `random.Random`, so that a seed names a case, and hypothesis can shrink one. What a server should answer
is not said here: `compare.py` asks a real one, and a unit test demands of localcluster no more than that it never fails.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from test.conformance import widgets
from test.support.raw_api import APPLY, JSON_PATCH, MERGE, STRATEGIC, RawApi, Reply

NAME = "odd"
JSON = "application/json"


@dataclass(frozen=True)
class Target:
    """A resource and a body that every server takes."""

    path: str
    body: dict[str, Any]


@dataclass(frozen=True)
class OddRequest:
    """One request; `body` is sent as it is when it is bytes. The object of that name exists unless the request is a POST."""

    target: Target
    method: str
    body: Any = None
    kind: str = JSON
    query: dict[str, str] = field(default_factory=dict)
    tail: str = ""

    def __str__(self) -> str:
        """The request in one line."""
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body)
        return f"{self.method} {self.target.path}{self.tail} {self.query} [{self.kind}] {body[:1500]!r}"

    def send(self, api: RawApi) -> Reply:
        """To a server, in front of which there is then nothing of the name any more."""
        self._prepare(api)
        return api.call(self.method, self.target.path + self.tail, self.body, kind=self.kind, **self.query)

    def _prepare(self, api: RawApi) -> None:
        named = f"{self.target.path}/{NAME}"
        api.patch(named, {"metadata": {"finalizers": None}})
        api.delete(named, gracePeriodSeconds=0)
        if self.method != "POST":
            api.post(self.target.path, self.target.body)


def targets(namespace: str) -> list[Target]:
    """What is aimed at: plain data, a built-in with a deep schema, custom types with and without one."""
    container = {"name": "c", "image": "i:1"}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
    pod = {"containers": [container], "automountServiceAccountToken": False, "nodeSelector": {"nowhere": "x"}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    made = [
        Target(widgets.config_maps(namespace), widgets.config_map(NAME, a="1")),
        Target(widgets.widgets(namespace), widgets.widget(NAME, parts=[{"name": "p"}], tags=["t"])),
        Target(f"/apis/{widgets.API_VERSION}/namespaces/{namespace}/plains", widgets.plain(NAME, spec={"x": 1})),
        Target(f"/api/v1/namespaces/{namespace}/pods", _typed("v1", "Pod", pod)),
        Target(f"/apis/apps/v1/namespaces/{namespace}/deployments", _typed("apps/v1", "Deployment", spec)),
        Target(
            f"/api/v1/namespaces/{namespace}/services",
            _typed("v1", "Service", {"ports": [{"port": 80}], "selector": {"a": "b"}}),
        ),
    ]
    for target in made:
        target.body["metadata"] |= {"labels": {"a": "b"}, "annotations": {"c": "d"}}
    return made


def _typed(api_version: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": NAME}, "spec": copy.deepcopy(spec)}


def draw(random: Random, among: list[Target]) -> OddRequest:
    """One request."""
    target = random.choice(among)
    return random.choice(_KINDS)(random, target)


ODD_VALUES: list[Any] = [
    None, 0, 5, -1, 1.5, 1e300, 2**63, 2**70, True, False, "", "x", "Not A Name", "a/b", "é", "\u0000", "x" * 300, [], [5], [None],
    ["x", "x"], [[]], [{}], {}, {"a": 5}, {"": ""}, {"a": None}, {"a": {"b": []}}, {"Not A Key!": "x"}, {"a": "b" * 64},
]  # fmt: skip
ODD_BODIES = [
    b"", b"null", b"5", b'"x"', b"[]", b"{}", b"{", b"\xff\xfe", b"NaN", b'{"a":1}{"b":2}', b'{"metadata":null}', b"\xef\xbb\xbf{}",
    b'{"metadata":{"name":"odd"},"metadata":{"name":"odd"}}', b'{"a":1e999}', b"a: [b", b"---", b"[" * 150 + b"]" * 150,
    b'{"metadata":{"name":"\\ud800"}}', b"k8s\x00", b"k8s\x00\x0a",
]  # fmt: skip
ODD_KINDS = ["", "text/plain", "application/json; charset=latin-1",
             "application/xml", "json", "application/yaml", "application/cbor",
             "application/vnd.kubernetes.protobuf",
             MERGE, JSON_PATCH, STRATEGIC, APPLY, "application/*", ";;", "application/json;x"]  # fmt: skip
METADATA_FIELDS = ["name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences", "uid", "resourceVersion",
                   "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "selfLink",
                   "unknown"]  # fmt: skip
QUERIES: dict[str, list[str]] = {
    "dryRun": ["All", "all", "", "x", "true"],
    "fieldManager": ["m", "", "x" * 129, "é", "a\nb"],
    "fieldValidation": ["Strict", "Warn", "Ignore", "x", ""],
    "force": ["true", "x", "", "1"],
    "limit": ["1", "0", "-1", "x", "1.5", "99999999999999999999", ""],
    "continue": ["x", "e30", ""],
    "resourceVersion": ["0", "-1", "x", "1.5", "", "99999999999999999999999"],
    "resourceVersionMatch": ["Exact", "NotOlderThan", "x", ""],
    "labelSelector": [
        "a=b",
        "a in (b",
        "=",
        "a==b,",
        "!a",
        "a notin (x,y)",
        "Not A Key=x",
        "a=b=c",
        "a>1",
        "a>x",
        "()",
        ",",
    ],
    "fieldSelector": [
        "metadata.name=odd",
        "spec.unknown=x",
        "=",
        "metadata.name",
        "metadata.name!=odd",
        ",",
        "metadata.name=a,b",
    ],
    "timeoutSeconds": ["1", "x", "-1", ""],
    "gracePeriodSeconds": ["0", "-1", "x", "1.5", ""],
    "propagationPolicy": ["Background", "Foreground", "Orphan", "x", ""],
    "orphanDependents": ["true", "x", ""],
    "pretty": ["true", "x"],
    "sendInitialEvents": ["true", "x", "false"],
    "allowWatchBookmarks": ["true", "x"],
    "unknown": ["x"],
}
_WRITE_QUERIES = ["dryRun", "fieldManager", "fieldValidation", "force", "pretty", "unknown"]
_READ_QUERIES = ["limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector", "fieldSelector", "timeoutSeconds",
                 "pretty", "sendInitialEvents", "allowWatchBookmarks", "unknown"]  # fmt: skip
_DELETE_QUERIES = ["dryRun", "gracePeriodSeconds", "propagationPolicy", "orphanDependents", "unknown"]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in pairs:
        yield (*path, key)
        yield from _places(child, (*path, key))


def _part(holder: Any, key: Any) -> Any:
    """A part of a value that an earlier change may have made another one; None when there is none."""
    try:
        return holder[key]
    except (TypeError, KeyError, IndexError):
        return None


def _odd_object(random: Random, body: dict[str, Any]) -> dict[str, Any]:
    """A body with one or two values that do not belong there."""
    changed: dict[str, Any] = copy.deepcopy(body)
    for _ in range(random.choice([1, 1, 2])):
        if random.random() < 0.5:
            where: tuple[Any, ...] = ("metadata", random.choice(METADATA_FIELDS))
        else:
            where = random.choice(list(_places(changed)))
        holder: Any = changed
        for key in where[:-1]:
            holder = _part(holder, key)
        if _part(holder, where[-1]) is not None or isinstance(holder, dict):
            holder[where[-1]] = copy.deepcopy(random.choice(ODD_VALUES))
    return changed


def _query(random: Random, names: list[str]) -> dict[str, str]:
    return {name: random.choice(QUERIES[name]) for name in random.sample(names, random.choice([0, 0, 1, 2]))}


def _create(random: Random, target: Target) -> OddRequest:
    return OddRequest(target, "POST", _odd_object(random, target.body), query=_query(random, _WRITE_QUERIES))


def _replace(random: Random, target: Target) -> OddRequest:
    body = _odd_object(random, target.body)
    tail = f"/{NAME}" + random.choice(["", "", "", "/status"])
    return OddRequest(target, "PUT", body, query=_query(random, _WRITE_QUERIES), tail=tail)


def _broken_body(random: Random, target: Target) -> OddRequest:
    method, tail = random.choice([("POST", ""), ("PUT", f"/{NAME}"), ("PATCH", f"/{NAME}"), ("DELETE", f"/{NAME}")])
    kind = (
        random.choice([JSON, *ODD_KINDS]) if method != "PATCH" else random.choice([MERGE, JSON_PATCH, STRATEGIC, APPLY])
    )
    query = {"fieldManager": "m"} if kind == APPLY else {}
    return OddRequest(target, method, random.choice(ODD_BODIES), kind, query, tail)


def _odd_content_type(random: Random, target: Target) -> OddRequest:
    method, tail = random.choice([("POST", ""), ("PUT", f"/{NAME}"), ("PATCH", f"/{NAME}"), ("DELETE", f"/{NAME}")])
    body = {} if method == "DELETE" else target.body
    return OddRequest(target, method, body, random.choice(ODD_KINDS), {}, tail)


def _merge(random: Random, target: Target) -> OddRequest:
    kind = random.choice([MERGE, STRATEGIC])
    patch = random.choice(
        [random.choice(ODD_VALUES), _odd_object(random, target.body), _odd_object(random, target.body)]
    )
    patch = copy.deepcopy(patch)
    if kind == STRATEGIC and isinstance(patch, dict) and random.random() < 0.4:
        directive = random.choice(
            ["$patch", "$retainKeys", "$setElementOrder/finalizers", "$deleteFromPrimitiveList/finalizers"]
        )
        random.choice([patch, patch.get("metadata")] if isinstance(patch.get("metadata"), dict) else [patch])[
            directive
        ] = copy.deepcopy(random.choice(["replace", "delete", "merge", "x", *ODD_VALUES]))
    tail = f"/{NAME}" + random.choice(["", "", "", "/status"])
    return OddRequest(target, "PATCH", patch, kind, _query(random, _WRITE_QUERIES), tail)


def _json_patch(random: Random, target: Target) -> OddRequest:
    paths = ["", "/", "/metadata", "/metadata/labels/a", "/metadata/labels/new", "/metadata/name", "/nowhere/deep", "metadata", "/data/-",
             "/metadata/finalizers/0", "/metadata/finalizers/-", "/metadata/labels/~2", "/spec", "/apiVersion", "/kind"]  # fmt: skip

    def operation() -> Any:
        if random.random() < 0.1:
            return random.choice(ODD_VALUES)
        found = {"op": random.choice(["add", "remove", "replace", "test", "move", "copy", "x", "", 5, None]),
                 "path": random.choice([*paths, 5, None]), "value": random.choice(ODD_VALUES), "from": random.choice(paths)}  # fmt: skip
        for key in random.sample(list(found), random.choice([0, 0, 1])):
            del found[key]
        return found

    body = [operation() for _ in range(random.choice([0, 1, 1, 1, 2]))]
    return OddRequest(target, "PATCH", body, JSON_PATCH, _query(random, _WRITE_QUERIES), f"/{NAME}")


def _apply(random: Random, target: Target) -> OddRequest:
    query = {"fieldManager": "m", **_query(random, _WRITE_QUERIES)}
    return OddRequest(target, "PATCH", _odd_object(random, target.body), APPLY, query, f"/{NAME}")


def _read(random: Random, target: Target) -> OddRequest:
    tail = random.choice(["", "", f"/{NAME}"])
    return OddRequest(target, "GET", query=_query(random, _READ_QUERIES), tail=tail)


def _watch(random: Random, target: Target) -> OddRequest:
    query = {**_query(random, _READ_QUERIES), "watch": "1", "timeoutSeconds": "1", "labelSelector": "none=x"}
    return OddRequest(target, "GET", query=query)


def _delete(random: Random, target: Target) -> OddRequest:
    options = {"gracePeriodSeconds": 0, "propagationPolicy": "Background", "preconditions": {"uid": "x"}, "dryRun": ["All"],
               "orphanDependents": True, "kind": "DeleteOptions", "apiVersion": "v1"}  # fmt: skip
    body: dict[str, Any] = {key: options[key] for key in random.sample(list(options), random.choice([0, 1, 2]))}
    if body and random.random() < 0.7:
        body[random.choice(list(body))] = random.choice(ODD_VALUES)
    return OddRequest(target, "DELETE", body or None, query=_query(random, _DELETE_QUERIES), tail=f"/{NAME}")


_KINDS = [_create, _create, _create, _replace, _replace, _broken_body, _odd_content_type, _merge, _merge, _merge, _json_patch, _json_patch,
          _apply, _apply, _read, _read, _delete, _watch]  # fmt: skip
