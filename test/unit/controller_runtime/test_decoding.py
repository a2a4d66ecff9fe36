"""managedFields are cut out before decoding; whatever the text looks like, the result is that of decoding and dropping them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller_runtime.client.decoding import READ_DEPTH, decode_frame, decode_item, decode_whole, flatten
from controller_runtime.client.paging import decode_page

FIELDS = [{"manager": "kubectl", "fieldsV1": {"f:spec": {'k:{"port":80}': {".": {}}, "v:}]": {}}}}, {"manager": "b"}]

PLACES: dict[str, dict[str, Any]] = {
    "in the middle of metadata": {"metadata": {"labels": {"a": "b"}, "managedFields": FIELDS, "name": "x"}, "spec": {}},
    "last in metadata": {"metadata": {"name": "x", "managedFields": FIELDS}, "status": {"a": [{"b": []}]}},
    "a nested one first": {"data": {"managedFields": FIELDS}, "metadata": {"managedFields": FIELDS, "name": "x"}},
    "a nested one only": {"metadata": {"name": "x"}, "template": {"metadata": {"managedFields": FIELDS}}},
    "an empty one and a nested one": {"metadata": {"managedFields": []}, "spec": {"managedFields": FIELDS}},
    "a list inside": {"metadata": {"managedFields": [{"a": [{"b": 1}], "c": 2}], "name": "x"}},
    "an end inside a key": {"metadata": {"managedFields": [{"f:x}],": {}}], "name": "x"}},
    "an end inside a value": {"metadata": {"managedFields": [{"a": 'x}],"name":"evil"'}], "name": "x"}},
    "a quoted object in an annotation": {
        "metadata": {"annotations": {"last": '{"managedFields":[{"a":1}]}'}, "managedFields": FIELDS, "name": "x"}
    },
    "a key that ends so": {"metadata": {"name": "x"}, "spec": {'x"managedFields': [{"a": 1}]}},
    "metadata that is no object": {"metadata": [{"managedFields": FIELDS}]},
    "no metadata": {"managedFields": FIELDS},
}


def without_managed_fields(obj: Any) -> Any:
    """The plain way: decode everything, then drop it."""
    obj = orjson.loads(orjson.dumps(obj))
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
    return obj


@pytest.mark.parametrize("place", PLACES)
def test_result_is_that_of_decoding_everything_and_dropping_it(place: str) -> None:
    obj = PLACES[place]

    assert without_managed_fields(decode_item(orjson.dumps(obj))) == without_managed_fields(obj)
    frame = decode_frame(orjson.dumps({"type": "ADDED", "object": obj}))
    assert without_managed_fields(frame["object"]) == without_managed_fields(obj)


def test_usual_object_comes_without_managed_fields() -> None:
    obj = {"metadata": {"managedFields": [{"f:spec": {".": {}}, "time": "t"}, {"a": {}}], "name": "x"}, "spec": [{}]}

    assert decode_item(orjson.dumps(obj)) == without_managed_fields(obj)
    assert decode_frame(orjson.dumps({"type": "ADDED", "object": obj}))["object"] == without_managed_fields(obj)


@pytest.mark.parametrize(
    "text", [b'{"metadata":{"managedFields":[{', b'{"managedFields":[{"a":"}]', b'{"managedFields":[{}]']
)
def test_text_that_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        decode_item(text)
    with pytest.raises(orjson.JSONDecodeError):
        decode_frame(text)


TEXT = st.sampled_from(["", "a", "}]", '"', "\\", '}],"', '"managedFields":[{', "managedFields", "[{", "{", "]"])
KEYS = st.one_of(TEXT, st.just("managedFields"), st.just("metadata"), st.just("object"))
TREES = st.recursive(
    st.one_of(TEXT, st.integers(0, 3), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=20,
)


@given(metadata=TREES, spec=TREES)
def test_no_tree_of_awkward_keys_and_texts_is_decoded_otherwise(metadata: Any, spec: Any) -> None:
    obj = {"data": spec, "metadata": metadata, "spec": spec}

    assert without_managed_fields(decode_item(orjson.dumps(obj))) == without_managed_fields(obj)
    frame = decode_frame(orjson.dumps({"type": "ADDED", "object": obj}))
    assert without_managed_fields(frame["object"]) == without_managed_fields(obj)


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize("levels", [900, 1100, 9000])
def test_one_object_nested_too_deeply_costs_only_its_depth(levels: int) -> None:
    deep = b'{"metadata":{"name":"deep","resourceVersion":"7"},"spec":%s}' % nested(levels)
    page = b'{"kind":"WidgetList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[%s,{"metadata":{"name":"other"}}]}'

    read = decode_page(page % deep, "list")

    assert [item["metadata"]["name"] for item in read.items] == ["deep", "other"]
    assert read.resource_version == "9"
    assert decode_frame(b'{"type":"ADDED","object":%s}' % deep)["object"]["metadata"]["resourceVersion"] == "7"
    assert decode_whole(deep)["metadata"]["name"] == "deep"


def test_half_a_surrogate_pair_costs_only_itself() -> None:
    assert decode_item(b'{"metadata":{"name":"x","annotations":{"a":"b\\ud800c"}}}')["metadata"] == {
        "name": "x",
        "annotations": {"a": "b?c"},
    }


def test_flattening_cuts_exactly_below_the_depth() -> None:
    assert flatten(nested(3), 3) == nested(3)
    assert flatten(b'{"a":{"b":[1,{"}":2}],"c":3},"d":"[{"}', 2) == b'{"a":{"b":null,"c":3},"d":"[{"}'


@given(tree=TREES)
def test_flattening_leaves_what_is_flat(tree: Any) -> None:
    text = orjson.dumps(tree)

    assert flatten(text, READ_DEPTH) == text
    assert orjson.loads(flatten(text, 2)) == cut(tree, 2)


def cut(value: Any, depth: int) -> Any:
    if isinstance(value, dict | list) and depth == 0:
        return None
    if isinstance(value, dict):
        return {key: cut(item, depth - 1) for key, item in value.items()}
    return [cut(item, depth - 1) for item in value] if isinstance(value, list) else value
