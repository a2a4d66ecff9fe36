"""One page of a list reply, decoded item by item.

A page of five hundred pods is megabytes of JSON; decoded in one call it would hold the interpreter lock for as long as it takes, and
renewals of a lease would wait. msgspec cuts the reply into the raw bytes of its items in one quick pass; each item is then
decoded by a call of its own, between which other threads run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from controller_runtime.client.api import Transform
from controller_runtime.client.decoding import decode_item, flatten
from controller_runtime.errors import MalformedReply
from controller_runtime.resources import Object


class _Metadata(msgspec.Struct):
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    continuation: str = msgspec.field(name="continue", default="")


class _Envelope(msgspec.Struct):
    kind: str = ""
    api_version: str = msgspec.field(name="apiVersion", default="")
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    items: list[msgspec.Raw] | None = None


_DECODER = msgspec.json.Decoder(_Envelope)


@dataclass(frozen=True, slots=True)
class Page:
    """A decoded page. `continuation` is "" on the last one."""

    items: list[Object]
    resource_version: str
    continuation: str


def decode_page(body: bytes, call: str, transform: Transform | None = None) -> Page:
    """Read a list reply; items of a typed list carry no kind of their own and get it from the list, as `kubectl get` shows them."""
    try:
        envelope = _envelope(body)
    except msgspec.DecodeError as error:
        raise MalformedReply(f"the reply is not a list of objects: {error}", call=call) from error
    if not envelope.kind.endswith("List"):
        raise MalformedReply(f"the reply is a {envelope.kind or 'thing without kind'}, expected a list", call=call)
    items = list(_decode_items(envelope, call, transform))
    return Page(items, envelope.metadata.resource_version, envelope.metadata.continuation)


def _envelope(body: bytes) -> _Envelope:
    try:
        return _DECODER.decode(body)
    except RecursionError:
        return _DECODER.decode(flatten(body))  # One object in it is nested so deeply that it cannot even be skipped.


def _decode_items(envelope: _Envelope, call: str, transform: Transform | None) -> Iterator[Object]:
    kind, api_version = envelope.kind.removesuffix("List"), envelope.api_version
    for raw in envelope.items or ():
        item = decode_item(bytes(raw))
        if not isinstance(item, dict):
            raise MalformedReply(f"a list item is a JSON {type(item).__name__}, expected an object", call=call)
        if "kind" not in item and kind:
            item = {"apiVersion": api_version, "kind": kind, **item}
        yield transform(item) if transform is not None else item
