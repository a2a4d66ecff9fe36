"""What a cloud's folder adds to the settings, and thereby whom to ask: `SETTINGS` in its `settings.py` is a subclass of this."""

from __future__ import annotations

from abc import abstractmethod
from importlib import import_module
from typing import Protocol

from controller_runtime.settings import OperatorSettings, SettingsError
from gpu_provisioner.cloud.chosen import CLOUDS, NAME, PACKAGE, VARIABLE, WANTED
from gpu_provisioner.cloud.offers import InstanceOffers
from gpu_provisioner.cloud.port import NodePools, PoolDefaults, RequestBudget


class Cloud(NodePools, Protocol):
    """The port with what only the program asks of it, at its start and its end."""

    def check_credential(self) -> None:
        """Fetch a token now. Raises Auth."""

    def close(self) -> None:
        """Close the connections."""


class CloudSettings(OperatorSettings):
    """Each field of a subclass is a flag and an environment variable of the program."""

    @abstractmethod
    def connect(self) -> tuple[Cloud, InstanceOffers | None]:
        """The pools of the cluster, and what is sold where it is; None for the latter when the settings do not say where. Asks nothing."""

    @abstractmethod
    def request_budget(self) -> RequestBudget:
        """How often the cloud may be asked."""

    @abstractmethod
    def pool_defaults(self) -> PoolDefaults:
        """What a pool looks like when its Machine does not say."""


def check_choice() -> None:
    """Raises SettingsError when the wanted cloud is not there."""
    if WANTED not in CLOUDS:
        raise SettingsError([f"{VARIABLE}: {WANTED!r} is no cloud of this program: use one of {', '.join(CLOUDS)}"])


def settings_of_the_cloud() -> type[CloudSettings]:
    """Those of the chosen cloud."""
    found: type[CloudSettings] = import_module(f"{PACKAGE}.{NAME}.settings").SETTINGS
    return found
