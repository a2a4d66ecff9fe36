"""Kubernetes' published schemas, as the package kubernetes-validate has them."""

from __future__ import annotations

import functools
from typing import Any
from unittest import mock

import kubernetes_validate

# The package reads megabytes of definitions anew for each object, which takes five times as long as the check.
_contents = functools.cache(kubernetes_validate.utils.schema_contents)


def validate(obj: dict[str, Any], version: str) -> None:
    """Check an object against the schemas of a version (`1.30`), unknown fields refused; kubernetes_validate.ValidationError."""
    with mock.patch.object(kubernetes_validate.utils, "schema_contents", _contents):
        kubernetes_validate.validate(obj, version, strict=True)
