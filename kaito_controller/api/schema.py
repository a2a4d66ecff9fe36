"""What the typed API models share: the base class, the bounded scalar types and their limits.

Limits serve two ends. They keep absurd input out of the cluster, and they let the API server bound the cost of the CEL rules:
a string or list without a limit counts as the largest that fits in a request, and the rules over it are then refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

MAX_NAME = 253
"""Longest name of a Kubernetes object (DNS subdomain)."""
MAX_LABEL = 63
"""Longest DNS label, and longest label value."""
MAX_LABEL_KEY = 317
"""Longest label key: prefix of 253, a slash, name of 63."""
MAX_IMAGE = 512
"""Longest image reference taken here; registries stop at 255 for the repository, plus host, tag and digest."""
MAX_URL = 2048
MAX_SECRETS = 16
MAX_NODES = 100
"""Most nodes of one Workspace: each is an agent pool of its own, and an AKS cluster has at most 100."""
MAX_INSTANCE_TYPES = 6
"""Most entries of `resource.instanceTypes`."""
MAX_CANDIDATES = 2 * MAX_INSTANCE_TYPES
"""Most ways to order a node: each instance type, as spot and on demand."""
MAX_ADAPTERS = 10
MAX_SELECTOR_LABELS = 32
MAX_URLS = 64
MAX_CONTAINERS = 32

Name = Annotated[str, StringConstraints(max_length=MAX_NAME)]
Label = Annotated[str, StringConstraints(max_length=MAX_LABEL)]
ImageReference = Annotated[str, StringConstraints(max_length=MAX_IMAGE)]
Url = Annotated[str, StringConstraints(max_length=MAX_URL)]
SecretNames = Annotated[list[Name], Field(max_length=MAX_SECRETS)]


class ApiModel(BaseModel):
    """Base of every API type: camelCase on the wire, immutable, strict (no text for numbers), unknown fields ignored.

    A null counts as absent, as it does for the API server.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        strict=True,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _nulls_are_absent(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: item for key, item in value.items() if item is not None}
        return value

    def to_object(self) -> dict[str, Any]:
        """The fields that were given, as JSON, with the API's spelling."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class OpenModel(ApiModel):
    """An API type of which only the fields that matter here are typed; all others are kept as they are."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
