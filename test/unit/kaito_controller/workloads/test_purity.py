"""Builders are functions: same input, same bytes; no state between Workspaces; users' strings stay strings."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kaito_controller.api.types import Workspace
from kaito_controller.workloads import (
    TemplateRefusedError,
    WorkloadContext,
    build_objects,
    build_service,
    build_workload,
)
from kaito_controller.workloads.containers import literal
from kaito_controller.workloads.tuning_data import GUARDED
from test.unit.kaito_controller.workloads.cases import (
    CASES,
    QLORA,
    all_containers,
    context,
    inference,
    pod_spec,
    private,
    strings,
    tuning,
    validate,
    workspace,
)

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
MAX_STATEFUL_NAME = 52
"""The StatefulSet controller labels pods with `<name>-<10 characters>`, and a label ends at 63."""

any_text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=60)
nasty = st.sampled_from(
    ["$(POD_INDEX)", "$$(HOME)", "`id`", "$(rm -rf /)", "; reboot", "--config=/etc/x", "-o/etc/passwd", "'\"\n"]
)
label = st.from_regex(DNS_LABEL, fullmatch=True).filter(lambda text: len(text) <= 63)
stateful_name = label.map(lambda text: ("w" + text)[:MAX_STATEFUL_NAME].rstrip("-"))


def as_bytes(objects: tuple[dict[str, Any], ...]) -> str:
    return json.dumps(objects, sort_keys=False)


def expand(text: str, variables: dict[str, str]) -> str:
    """What the kubelet makes of an argument: `$$` is one `$`, `$(NAME)` the variable when it is defined."""
    return re.sub(
        r"\$(\$|\(([^)]*)\))",
        lambda found: "$" if found[1] == "$" else variables.get(found[2], found[0]),
        text,
    )


@given(st.one_of(any_text, nasty, st.lists(st.sampled_from(["$", "(", ")", "A"])).map("".join)))
def test_a_literal_reaches_the_process_as_it_was_written(text: str) -> None:
    assert expand(literal(text), {"POD_INDEX": "1", "HOME": "/home/user", "A": "expanded", "": "empty"}) == text


@pytest.mark.parametrize("name", sorted(CASES))
def test_building_twice_gives_the_same_bytes_and_leaves_the_input_alone(name: str) -> None:
    ctx = CASES[name]()
    before = deepcopy(ctx.workspace.to_object())
    assert as_bytes(build_objects(ctx)) == as_bytes(build_objects(ctx))
    assert ctx.workspace.to_object() == before


@given(st.data())
def test_building_for_other_workspaces_in_between_changes_nothing(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(CASES)), min_size=2, max_size=6))
    first = CASES[names[0]]()
    expected = as_bytes(build_objects(first))
    for other in names[1:]:
        build_objects(CASES[other]())
    assert as_bytes(build_objects(first)) == expected


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_edited_result_does_not_leak_into_the_next_one(name: str) -> None:
    ctx = CASES[name]()
    expected = as_bytes(build_objects(ctx))
    for obj in build_objects(ctx):
        scribble(obj)
    assert as_bytes(build_objects(ctx)) == expected


def scribble(value: Any) -> None:
    """Overwrite every map and list of an object in place."""
    if isinstance(value, dict):
        for item in value.values():
            scribble(item)
        value["scribbled"] = True
    elif isinstance(value, list):
        for item in value:
            scribble(item)
        value.append("scribbled")


def test_a_distributed_run_does_not_change_the_flags_of_a_later_single_node_one() -> None:
    single = context(workspace("single", inference={"preset": private("llama-2-7b")}))
    before = as_bytes(build_objects(single))
    spread = workspace("spread", inference={"preset": private("llama-2-13b")}, resource={"count": 2})
    build_objects(context(spread))
    assert as_bytes(build_objects(single)) == before
    assert "localhost" in before


@settings(max_examples=15)
@given(name=stateful_name, namespace=label, count=st.integers(1, 3), adapters=st.lists(label, max_size=10, unique=True))
def test_names_are_valid_and_unique_for_any_valid_workspace(
    name: str, namespace: str, count: int, adapters: list[str]
) -> None:
    sources = [{"source": {"name": text, "image": f"r.example/{text}:1"}} for text in adapters]
    subjects = [
        workspace(name, namespace, inference=inference(adapters=sources), resource={"count": count}),
        workspace(name, namespace, inference={"preset": private("llama-2-13b"), "adapters": sources}),
        workspace(name, namespace, tuning=tuning()),
    ]
    for subject in subjects:
        for obj in build_objects(context(subject)):
            assert_names_are_valid(obj)
            validate(obj)


def assert_names_are_valid(obj: dict[str, Any]) -> None:
    limit, pattern = (253, SUBDOMAIN) if obj["kind"] == "ConfigMap" else (63, DNS_LABEL)
    assert pattern.fullmatch(obj["metadata"]["name"])
    assert len(obj["metadata"]["name"]) <= limit
    assert all(len(value) <= 63 for value in obj["metadata"]["labels"].values())
    if "template" not in obj["spec"] if "spec" in obj else True:
        return
    spec = pod_spec(obj)
    names = [container["name"] for container in all_containers(spec)]
    assert len(set(names)) == len(names)
    assert all(DNS_LABEL.fullmatch(found) and len(found) <= 63 for found in names)
    volumes = [volume["name"] for volume in spec["volumes"]]
    assert len(set(volumes)) == len(volumes)
    for container in all_containers(spec):
        variables = [entry["name"] for entry in container.get("env", [])]
        assert all(re.fullmatch(r"[-._a-zA-Z][-._a-zA-Z0-9]*", variable) for variable in variables)
        assert len(set(variables)) == len(variables)
        assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)


@pytest.mark.parametrize("name", ["pusher", "packager", "data-downloader", "data-extractor", "adapter-volume"])
def test_a_workspace_named_like_one_of_our_containers_still_gets_unique_names(name: str) -> None:
    sources = [
        {"source": {"name": name, "image": "r.example/a:1"}},
        {"source": {"name": f"{name}-2", "image": "r.example/b:1"}},
    ]
    for subject in (workspace(name, tuning=tuning()), workspace(name, inference=inference(adapters=sources))):
        for obj in build_objects(context(subject)):
            assert_names_are_valid(obj)


MARK = "Zq7"
"""Marks text of a user, so that it can be found again."""


@settings(max_examples=60)
@given(text=st.one_of(any_text, nasty))
def test_text_of_users_ends_up_only_in_arguments_values_images_and_names_of_secrets(text: str) -> None:
    marked = MARK + text
    for ctx in contexts_full_of(marked):
        for obj in build_objects(ctx):
            for path, found in strings(obj):
                if MARK in found:
                    assert_is_a_place_for_user_text(obj, path, found)


def contexts_full_of(text: str) -> list[WorkloadContext]:
    """Workspaces with `text` wherever validation might let text through, and where it would not."""
    source = {"name": "style", "image": text[:512], "imagePullSecrets": [text]}
    served = workspace(inference=inference(adapters=[{"source": source, "strength": text[:32]}]))
    output = {"image": text, "imagePushSecret": text}
    trained = workspace(tuning=tuning({"urls": [text, f"https://x.example/{text}"]}, output=output))
    return [context(served), context(trained, tuning_config={**QLORA, "LoraConfig": {"r": text}})]


def assert_is_a_place_for_user_text(obj: dict[str, Any], path: tuple[Any, ...], found: str) -> None:
    if obj["kind"] == "ConfigMap":
        assert path == ("data", "training_config.yaml")
        return
    *_, field = path
    container = "containers" in path or "initContainers" in path
    if container and ("args" in path or "command" in path):
        argv = obj
        for step in path[:-1]:
            argv = argv[step]
        assert argv[0] in {"python3", "append"}
        assert argv[path[-1] - 1] in {"--url", "--new_tag", "--output"}
        assert argv[path[-1] - 1] != "--output" or re.fullmatch(r"/mnt/data/[A-Za-z0-9][A-Za-z0-9._-]*", found)
        return
    assert field in {"image", "value", "secretName"} or ("imagePullSecrets" in path and field == "name")


@settings(max_examples=60)
@given(text=st.one_of(any_text, nasty))
def test_no_container_starts_a_shell(text: str) -> None:
    for ctx in contexts_full_of(text):
        for obj in build_objects(ctx):
            for container in all_containers(pod_spec(obj)) if "template" in obj.get("spec", {}) else []:
                program = (container.get("command") or ["crane"])[0]
                assert program in {"accelerate", "torchrun", "curl", "cp", "python3", "crane"}
                command = container.get("command", [])
                assert "-c" not in command or tuple(command[: len(GUARDED)]) == GUARDED, (
                    "only a program of our own, and never with user text"
                )


scalars = st.one_of(st.none(), st.booleans(), st.integers(-1, 9), st.sampled_from(["", "x", "True"]))
fields = st.sampled_from(
    ["name", "securityContext", "nodeAffinity", "labels", "env", "ports", "sources", "capabilities", "add"]
)
any_json = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(fields, inner, max_size=2), max_leaves=5
)
open_fields = (
    "volumes",
    "securityContext",
    "affinity",
    "tolerations",
    "imagePullSecrets",
    "initContainers",
    "restartPolicy",
)


@settings(max_examples=100)
@given(
    st.dictionaries(st.sampled_from(open_fields), any_json, max_size=3), st.dictionaries(fields, any_json, max_size=3)
)
def test_a_template_of_any_shape_is_built_or_refused_with_words(pod: dict[str, Any], container: dict[str, Any]) -> None:
    template = {"metadata": container, "spec": {**pod, "containers": [{**container, "name": "a", "image": "b"}]}}
    metadata = {"name": "own", "namespace": "default", "uid": "u"}
    source = {"name": "style", "image": "registry.example.com/style:1"}
    raw = {"metadata": metadata, "inference": {"template": template, "adapters": [{"source": source}]}}
    subject = Workspace.from_object(raw)
    assume(subject.inference is not None and subject.inference.template is not None)
    ctx = WorkloadContext(subject, node_names=("node-0",))
    assert isinstance(build_service(ctx), dict)
    try:
        built = build_workload(ctx)
    except TemplateRefusedError as refused:
        found = refused.violations
        if not found:
            raise
    else:
        assert built["kind"] == "Deployment"
