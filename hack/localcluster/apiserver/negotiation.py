"""Which form of an object an Accept header asks for: whole, a Table, or its metadata only; 406 for what Kubernetes would not send.

The encoding is always JSON: clients decode by the reply's Content-Type, so one that would rather have protobuf or YAML can read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from hack.localcluster.apiserver.errors import StatusError
from hack.localcluster.apiserver.registry import ResourceType
from hack.localcluster.apiserver.tables import PartialListView, PartialView, TableView
from hack.localcluster.apiserver.views import View

_PROTOBUF = "application/vnd.kubernetes.protobuf"
_MEDIA_TYPES = ("application/json", "application/yaml", _PROTOBUF)
_STREAMED = ("application/json;stream=watch", f"{_PROTOBUF};stream=watch")
_VERSIONS = ("v1", "v1beta1")


class Choice(NamedTuple):
    """One media type of an Accept header; the form is that of its parameters `as`, `g` and `v`."""

    media_type: str
    form: tuple[str, str, str]

    @property
    def is_served(self) -> bool:
        """Whether the form is one that exists."""
        kind, group, version = self.form
        known = kind in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
        return not kind or (known and group == "meta.k8s.io" and version in _VERSIONS)


def view_for(kind: ResourceType, accept: str, query: Mapping[str, str], *, watching: bool = False) -> View:
    """The view that an Accept header asks for; the first choice that is served wins."""
    choices = [choice for choice in _choices(accept) if choice.media_type in ("*/*", *_MEDIA_TYPES)]
    if not choices:
        listed = ", ".join(_MEDIA_TYPES)
        raise StatusError(406, f"406: Not Acceptable\n\nAvailable representations: {listed}")
    served = [choice for choice in choices if choice.is_served]
    if watching:
        served = [choice for choice in served if choice.media_type != "application/yaml"]
    if not served:
        listed = ", ".join(_STREAMED if watching else _MEDIA_TYPES)
        raise StatusError(406, f"only the following media types are accepted: {listed}")
    name, _, version = served[0].form
    if name == "Table":
        return TableView(kind, query.get("includeObject", "Metadata"), version)
    if name:
        return (PartialView if name == "PartialObjectMetadata" else PartialListView)(kind, version)
    return View(kind)


def _choices(accept: str) -> Iterator[Choice]:
    """The choices by their `q`, then as they were written."""
    written = [text.split(";") for text in (accept or "*/*").split(",")]
    found = []
    for media_type, *more in written:
        pairs = {name.strip(): value.strip() for name, _, value in (text.partition("=") for text in more)}
        form = (pairs.get("as", ""), pairs.get("g", ""), pairs.get("v", ""))
        found.append((_quality(pairs.get("q", "1")), Choice(media_type.strip(), form)))
    found.sort(key=lambda pair: -pair[0])
    return (choice for _, choice in found)


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0
