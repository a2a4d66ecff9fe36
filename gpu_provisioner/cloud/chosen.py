"""The cloud that this program serves, as far as the core knows it; `settings.py` of the same folder has whom to ask, and how.

A folder of this package with a `profile.py` is a cloud; nothing else names it. Which one is chosen by the environment variable
`GPU_PROVISIONER_CLOUD`, and not by a flag, because the core's texts are made of the cloud's nouns before flags are read.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules

import gpu_provisioner.cloud
from gpu_provisioner.cloud.profile import CloudProfile

PACKAGE = gpu_provisioner.cloud.__name__
VARIABLE = "GPU_PROVISIONER_CLOUD"
DEFAULT = "azure"

CLOUDS = tuple(
    module.name
    for module in iter_modules(gpu_provisioner.cloud.__path__)
    if module.ispkg and find_spec(f"{PACKAGE}.{module.name}.profile")
)
"""The clouds that there are, by the names of their folders."""

WANTED = os.environ.get(VARIABLE) or DEFAULT
NAME = WANTED if WANTED in CLOUDS else DEFAULT
"""The chosen cloud. That the wanted one is not there is said by `settings.check_choice`, for an import is no place to refuse in."""

CLOUD: CloudProfile = import_module(f"{PACKAGE}.{NAME}.profile").PROFILE
