"""Whether the API server serves a type, asked with one GET and without discovery."""

from __future__ import annotations

from controller_runtime.client.api import KubeClient
from controller_runtime.errors import Forbidden, NotFound
from controller_runtime.resources import Resource

PROBE = "is-this-type-served"
"""An object that nobody has; how its absence is reported tells whether the type exists."""


def is_served(client: KubeClient, resource: Resource, *, when_forbidden: bool = True) -> bool:
    """A 404 for the type has no object name in its details; one for the object has. Raises ApiError for what is neither.

    `when_forbidden`: what to believe without the permission to look; with True the informer will complain in clear words.
    """
    try:
        client.get(resource, PROBE)
    except NotFound as error:
        return bool(error.details.get("name"))
    except Forbidden:
        return when_forbidden
    return True
