"""Workspaces by the thousand: good ones, ones at a boundary, ones broken at one node of the schema, and absurd ones.

Everything comes from one seed. Paths and types come from the generated CRD, so that a new field is tried without a change here.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

from kaito_controller.catalog.loader import load_catalog
from test.support.workspaces import Object, good_workspaces

TEXTS = [
    *(
        "",
        "a",
        "A",
        "0",
        "-a",
        "a-",
        "a.b",
        "a..b",
        "a_b",
        "a b",
        "a\nb",
        "a\tb",
        "\x00",
        "\x7f",
        "é",
        "日本語",
        "\u202eabc",
        "a/b",
    ),
    *(
        "a" * 52,
        "a" * 53,
        "a" * 63,
        "a" * 64,
        "a" * 253,
        "a" * 254,
        "a" * 513,
        "a" * 2049,
        "x" * 317,
        f"{'p' * 253}/{'n' * 63}",
    ),
    *("kaito.sh/workspace", "example.com/pool", "second", "phi-3-adapter", "public", "private", "In", "NotIn", "True"),
    *(
        "r.io/a:1",
        "r.io/a",
        "r.io/A:1",
        "R.io/a:1",
        "a:1",
        "r.io:5000/a/b__c:v1",
        f"r.io/a@sha256:{'0' * 64}",
        "r.io/a:1@sha256:00",
    ),
    *(
        "r.io//a:1",
        "r.io/a:1;id",
        "r.io/a:$(id)",
        "ACR_REPO_HERE.azurecr.io/ADAPTER_HERE:0.0.1",
        "localhost:5000/a:latest",
    ),
    *(
        "https://a.b/c",
        "http://a",
        "https://a b",
        "file:///x",
        "http://169.254.169.254/x",
        "http://u@169.254.169.254:80",
        "HTTPS://a.b",
        "http://0x7f.1/x",
        "http://2852039166",
        "http://[::1]/x",
        "http://[2606:4700::1111]/x",
        "http://LOCALHOST./x",
        "http://a\\@169.254.169.254/x",
        "http://10.0.0.1:99999/x",
    ),
    *("0.5", ".5", "1.", "1.0", "01", "1.01", "-0.1", "1e-1", "nan", "2", "0", "00.0", "+1"),
    *("lora", "QLoRA", "LORA", "dora", "qlora ", "lora\n"),
]
NUMBERS: list[Any] = [0, 1, 2, 3, 4, 5, 8, 9, 100, 101, -1, 2**31, 10**9]
WRONG: list[Any] = [None, True, 1, "text", [], {}, [1], {"a": 1}, 1.5]


def generate(seed: int, number: int) -> Iterator[Object]:
    """`number` Workspaces."""
    rng = random.Random(seed)
    for _ in range(number):
        obj = _plausible(rng)
        for _ in range(rng.choice([0, 0, 1, 1, 1, 2, 3])):
            obj = broken_somewhere(rng, obj)
        yield obj


def _plausible(rng: random.Random) -> Object:
    """A good Workspace with another preset, type and count: often one that does not fit."""
    obj = copy.deepcopy(rng.choice(list(good_workspaces().values())))
    catalog = load_catalog()
    if rng.random() < 0.7:
        obj["resource"]["instanceType"] = rng.choice(
            [*catalog.instance_types, "Standard_N1", "Standard_D2", "m5.large", "standard_nc6s_V3"]
        )
    if rng.random() < 0.3:
        known = [*catalog.instance_types, "Standard_N1", "Standard_D2", "m5.large", "standard_nc6s_V3"]
        listed = rng.sample(known, rng.choice([1, 2, 3]))
        obj["resource"] |= {"instanceTypes": listed, "instanceType": rng.choice([listed[0], "Standard_NC12s_v3"])}
    if rng.random() < 0.5:
        obj["resource"]["count"] = rng.choice([1, 1, 2, 3, 4, 8, 9])
    if rng.random() < 0.3:
        obj["metadata"]["name"] = rng.choice(["7b", "a.b", "A", "a-", "second", "a" * 52, "a" * 53, "a" * 63, "a" * 64])
    part = obj.get("inference") or obj.get("tuning")
    if "preset" in part and rng.random() < 0.7:
        name = rng.choice([*catalog.presets, "unknown"])
        part["preset"]["name"] = name
        if name.startswith("llama") and rng.random() < 0.8:
            part["preset"] |= {"accessMode": "private", "presetOptions": {"image": "r.io/a:1"}}
    return obj


def broken_somewhere(rng: random.Random, obj: Object) -> Object:
    """A copy with one value replaced, removed or added."""
    result = copy.deepcopy(obj)
    places = [p for p in _places(result) if p[0][0] not in ("apiVersion", "kind", "status") and p[0] != ("metadata",)]
    path, value = rng.choice(places)
    parent: Any = result
    for part in path[:-1]:
        parent = parent[part]
    choice = rng.random()
    if choice < 0.15 and path[0] != "metadata":
        del parent[path[-1]]
    elif choice < 0.25 and path[0] != "metadata":
        parent[path[-1]] = copy.deepcopy(rng.choice(WRONG))
    elif isinstance(value, str):
        parent[path[-1]] = rng.choice(TEXTS)
    elif isinstance(value, int):
        parent[path[-1]] = rng.choice(NUMBERS)
    elif isinstance(value, list):
        parent[path[-1]] = (copy.deepcopy(value) * rng.choice([0, 2, 12]))[:120]
    elif isinstance(value, dict):
        _add_to(rng, value, path)
    return result


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if path:
        yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield from _places(child, (*path, key))


def _add_to(rng: random.Random, value: Object, path: tuple[Any, ...]) -> None:
    """One more field: a known one of this place, or one that nobody knows."""
    known: dict[str, list[Any]] = {
        "resource": [("preferredNodes", ["n1"]), ("preferredNodes", ["N1"])],
        "labelSelector": [
            ("matchExpressions", [{"key": "apps", "operator": "In", "values": ["x"]}]),
            ("matchLabels", {"b": "c"}),
        ],
        "matchLabels": [(rng.choice(TEXTS), "x"), ("kaito.sh/workspace", "x"), ("ok", rng.choice(TEXTS))],
        "inference": [
            ("adapters", [{"source": {"name": rng.choice(TEXTS), "image": "r.io/a:1"}}]),
            ("template", {"spec": {"containers": [{"name": "a"}], "hostPID": rng.random() < 0.5}}),
            ("preset", {"name": "falcon-7b"}),
            ("preset", {"name": "qwen3-8b"}),
            ("config", rng.choice(["mine", *TEXTS])),
        ],
        "preset": [
            (
                "presetOptions",
                {"weights": {rng.choice(["claimName", "path", "artifact", "tokenSecret"]): rng.choice(TEXTS)}},
            ),
            ("accessMode", "private"),
            ("presetOptions", {"image": rng.choice(TEXTS)}),
        ],
        "input": [
            ("image", "r.io/a:1"),
            ("urls", ["https://a"]),
            ("volumeSource", {"csi": {"driver": "x"}}),
            ("volumeSource", {}),
        ],
        "output": [("volumeSource", {"emptyDir": {}})],
        "tuning": [("config", rng.choice(TEXTS)), ("method", rng.choice(TEXTS))],
        "spec": [
            ("volumes", [{"name": "v", "hostPath": {"path": "/"}}]),
            ("hostIPC", True),
            ("initContainers", [{"name": "I"}]),
        ],
    }
    name, item = rng.choice(known.get(str(path[-1]), [("surprise", {"deep": [1, {"x": None}]})]))
    value[name] = item
