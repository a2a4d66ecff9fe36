"""An API server of one recorded situation, for tests of commands: serves what was recorded, and answers paths as it is told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from controller_runtime.client.api import ObjectList
from controller_runtime.errors import ApiError, NotFound
from controller_runtime.resources import Object, Resource, name_of
from kaito_controller.cli.cluster import Cluster
from test.support.memory_client import MemoryClient
from test.unit.kaito_controller.cli.explained import record

Answer = bytes | dict[str, Any] | ApiError


class Shelf(MemoryClient):
    """`errors`: by plural; `answers`: by the end of a path, for what is read or posted there."""

    def __init__(
        self, name: str, errors: Mapping[str, ApiError] | None = None, answers: Mapping[str, Answer] | None = None
    ) -> None:
        super().__init__()
        self.record, self.errors, self.answers = record(name), errors or {}, answers or {}
        self.asked: list[tuple[str, Any]] = []
        """Paths with the query or body that was sent."""

    @property
    def cluster(self) -> Cluster:
        """Asked for the namespace of the record."""
        return Cluster(self, self.record["workspace"]["metadata"]["namespace"])

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        for obj in self._of(resource):
            if name_of(obj) == name:
                return obj
        raise NotFound("no", code=404, details={"name": name})

    def list(self, resource: Resource, namespace: str | None = None, **_: Any) -> ObjectList:
        return ObjectList(self._of(resource), "1")

    def read(self, path: str, query: Any = None) -> bytes:
        found = self._answer(path, query)
        assert isinstance(found, bytes)
        return found

    def post(self, path: str, body: Mapping[str, Any]) -> Object:
        found = self._answer(path, body)
        assert isinstance(found, dict)
        return found

    def post_lines(self, path: str, body: Mapping[str, Any], *, read_timeout_s: float) -> Iterator[bytes]:
        assert read_timeout_s > 0
        found = self._answer(path, body)
        return iter(found.splitlines() if isinstance(found, bytes) else [json.dumps(found).encode()])

    def _answer(self, path: str, sent: Any) -> Answer:
        self.asked.append((path, sent))
        found = next((answer for end, answer in self.answers.items() if path.endswith(end)), NotFound("no", code=404))
        if isinstance(found, ApiError):
            raise found
        return found

    def _of(self, resource: Resource) -> list[Object]:
        if resource.plural in self.errors:
            raise self.errors[resource.plural]
        found = [self.record["workspace"], *(obj for v in self.record.values() if isinstance(v, list) for obj in v)]
        return [obj for obj in found if isinstance(obj, dict) and obj.get("kind") == resource.kind]
