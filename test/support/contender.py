"""A program for election tests: while it leads, it writes to one ConfigMap as fast as it may, through the guarded client.

Run as `python -m test.support.contender --kubeconfig=… --identity-suffix=…`; it is an ordinary Manager with a runnable, so that
signals, exit codes and release are the product's own. Each write carries the resourceVersion of the one before, as reconcilers do.
"""

from __future__ import annotations

import sys
import threading

from pydantic import Field

from controller_runtime.client.api import KubeClient
from controller_runtime.client.kubernetes_client import Client
from controller_runtime.clock import SYSTEM_CLOCK
from controller_runtime.errors import AlreadyExists, ApiError, Conflict, FatalError
from controller_runtime.logs import configure_logging
from controller_runtime.manager.manager import Manager
from controller_runtime.resources import CONFIG_MAPS, Object
from controller_runtime.settings import OperatorSettings, load_settings

NAMESPACE = "default"
LEDGER = "ledger"
LEASE = "contenders"


class ContenderSettings(OperatorSettings):
    """Settings of the contender."""

    writer: str = Field(description="Name that is written into the ledger.")
    write_every_s: float = Field(default=0.02, description="Pause between two writes.")
    writers: int = Field(default=1, description="Threads that write.")


class Scribe:
    """The leader's work."""

    def __init__(self, client: KubeClient, settings: ContenderSettings) -> None:
        self._client = client
        self._settings = settings

    def run(self, stop: threading.Event) -> None:
        ledger: Object | None = None
        while not SYSTEM_CLOCK.wait_event(stop, self._settings.write_every_s):
            try:
                ledger = self._write(ledger)
            except (Conflict, AlreadyExists):
                ledger = None
            except FatalError:
                raise
            except ApiError as error:
                print("write failed:", error, flush=True)

    def _write(self, ledger: Object | None) -> Object:
        ledger = ledger or self._read_or_create()
        data = {"writer": self._settings.writer, "count": str(int(ledger["data"]["count"]) + 1)}
        return self._client.replace(CONFIG_MAPS, ledger | {"data": data})

    def _read_or_create(self) -> Object:
        return self._client.get(CONFIG_MAPS, LEDGER, NAMESPACE)


def main(argv: list[str]) -> int:
    settings = load_settings(ContenderSettings, argv, {}, env_prefix="CONTENDER", prog="contender")
    configure_logging("info", "console")
    client = Client.from_kubeconfig(
        settings.kubeconfig, user_agent=f"contender-{settings.writer}", connect_timeout_s=1, read_timeout_s=1
    )
    manager = Manager(client, settings, name=LEASE)
    for _ in range(settings.writers):
        manager.add_runnable(Scribe(manager.client, settings))
    print("standing by", flush=True)
    return manager.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
