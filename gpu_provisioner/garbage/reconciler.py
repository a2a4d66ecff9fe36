"""One round of garbage collection. There is one key, which comes back every period; a leader change starts it anew."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from controller_runtime.controller.controller import Request, Result
from controller_runtime.logs import get_logger
from gpu_provisioner.cloud.port import CloudError
from gpu_provisioner.garbage.apply import GarbageApplier
from gpu_provisioner.garbage.observe import GarbageObserver
from gpu_provisioner.garbage.plan import plan_garbage

GARBAGE = Request(namespace="", name="garbage")

log = get_logger(__name__)


class Remembered(Protocol):
    """A table by UID."""

    def keep_only(self, uids: Collection[str]) -> None: ...


class GarbageReconciler:
    """Looks at everything once per `period_s`, sooner while something is suspected."""

    def __init__(
        self,
        observer: GarbageObserver,
        applier: GarbageApplier,
        remembered: Sequence[Remembered],
        *,
        period_s: float,
        safe_age_s: float,
    ) -> None:
        """`remembered`: what the Machine reconciler remembers by UID, tidied here."""
        self._observer = observer
        self._applier = applier
        self._remembered = remembered
        self._period_s = period_s
        self._safe_age_s = safe_age_s

    def reconcile(self, request: Request) -> Result:  # there is only the one key
        try:
            snapshot = self._observer.observe()
        except CloudError as error:
            log.warning("garbage collection skipped: pools cannot be listed", error=str(error))
            return Result(max(error.retry_after_s or 0.0, self._period_s))
        alive = {machine.uid for machine in snapshot.machines}
        for table in self._remembered:
            table.keep_only(alive)
        self._applier.apply(plan_garbage(snapshot, self._safe_age_s))
        return Result(min(self._period_s, self._safe_age_s) if snapshot.ages else self._period_s)
