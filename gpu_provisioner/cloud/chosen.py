"""The cloud that this program is built with, as far as the core knows it. `adapter.py` has the other half: whom to ask, and how."""

from __future__ import annotations

from gpu_provisioner.cloud.azure.profile import AZURE as CLOUD

__all__ = ["CLOUD"]
