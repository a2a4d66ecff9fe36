"""By which API nodes are ordered: the port, and one folder for each API that there is.

A folder of this package that defines `API` is an implementation; nothing else has to name it. Objects are read by the API of their kind, so
that what was ordered by one API is still known, kept and deleted after another one was chosen for new orders.

This knows nothing of Workspaces: an order says what a node must be, a report says how it stands.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from controller_runtime.resources import Object
from kaito_controller.nodeapi.port import NodeApi

DEFAULT = "machine"
"""Ordered by where nothing says otherwise."""


def _found() -> dict[str, NodeApi]:
    names = sorted((module.name for module in iter_modules(__path__) if module.ispkg), key=lambda name: name != DEFAULT)
    apis = (import_module(f"{__name__}.{name}").API for name in names)
    return {api.name: api for api in apis}


APIS = _found()
"""By name, the default one first."""

KINDS = frozenset(api.kind for api in APIS.values())
"""Kinds of objects by which nodes are ordered."""

_BY_KIND = {api.kind: api for api in APIS.values()}


def api_of(order: Object) -> NodeApi:
    """The API of an object that orders a node."""
    return _BY_KIND.get(str(order.get("kind")), APIS[DEFAULT])
