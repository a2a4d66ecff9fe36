"""Where Machines live in the API."""

from __future__ import annotations

from controller_runtime.resources import Resource
from gpu_provisioner.api import labels

MACHINES = Resource(labels.GROUP, labels.VERSION, labels.PLURAL, labels.KIND, namespaced=False)
