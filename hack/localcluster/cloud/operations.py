"""Long-running operations: when they end, and which scripted outcome they have. What their end means for a pool is the pools' affair."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from controller_runtime.clock import rfc3339_micro
from hack.localcluster.cloud.errors import ArmError
from hack.localcluster.cloud.model import Operation, OperationState, Outcome, Script
from hack.localcluster.durations import Durations
from hack.localcluster.timeline import Timeline

OnTime = Callable[[Operation], None]


class Scripts:
    """Outcomes that testers have asked for, in order. Guarded by the lock of the pools."""

    def __init__(self) -> None:
        self._scripts: list[Script] = []

    def add(self, script: Script) -> None:
        """For coming operations."""
        self._scripts.append(script)

    def clear(self) -> None:
        """The natural course again."""
        self._scripts.clear()

    def take(self, kind: str, pool: str, vm_size: str) -> Script | None:
        """The first script that matches; used up once it has served `times` times."""
        for script in self._scripts:
            if script.matches(kind, pool, vm_size):
                if script.times == 1:
                    self._scripts.remove(script)
                elif script.times > 1:
                    script.times -= 1
                return script
        return None


class Operations:
    """All operations of the cluster. `on_half` is called half-way (for early nodes), `on_end` when the time is over, on a timer thread."""

    def __init__(self, timeline: Timeline, durations: Durations, on_half: OnTime, on_end: OnTime) -> None:
        self._timeline = timeline
        self._durations = durations
        self._on_half = on_half
        self._on_end = on_end
        self._operations: dict[str, Operation] = {}

    def get(self, operation_id: str) -> Operation:
        """ArmError 404 when there is none of that id."""
        try:
            return self._operations[operation_id]
        except KeyError:
            raise ArmError(404, "NotFound", f"The operation {operation_id} was not found.") from None

    def begin(self, pool: str, kind: str, script: Script | None) -> Operation:
        """A new operation, under way."""
        operation = Operation(str(uuid.uuid4()), pool, kind, self._now(), script=asdict(script) if script else None)
        self._operations[operation.id] = operation
        self._schedule(operation)
        return operation

    def end(self, operation: Operation, state: OperationState, error: ArmError | None = None) -> None:
        """Record how it ended."""
        operation.state = state
        operation.ended = self._now()
        operation.error = error.operation_error() if error else None

    def release(self, operation: Operation) -> None:
        """Let a hanging operation end now, as it naturally would."""
        operation.script = None
        self._timeline.after(0, lambda: self._on_end(operation))

    def snapshot(self) -> list[dict[str, Any]]:
        """For the state file."""
        return [asdict(operation) for operation in self._operations.values()]

    def restore(self, data: list[dict[str, Any]]) -> None:
        """From the state file; what was under way starts its wait again."""
        self._operations = {
            entry["id"]: Operation(**{**entry, "state": OperationState(entry["state"])}) for entry in data
        }
        for operation in self._operations.values():
            if operation.state is OperationState.IN_PROGRESS:
                self._schedule(operation)

    def _schedule(self, operation: Operation) -> None:
        script = script_of(operation)
        if script is not None and script.outcome is Outcome.HANG:
            return
        usual = {
            "create": self._durations.pool_create_s,
            "update": self._durations.pool_update_s,
            "delete": self._durations.pool_delete_s,
        }[operation.kind]
        duration = usual if script is None or script.after_s is None else script.after_s
        if script is not None and script.outcome is Outcome.EARLY_NODE:
            self._timeline.after(duration / 2, lambda: self._on_half(operation))
        self._timeline.after(duration, lambda: self._on_end(operation))

    def _now(self) -> str:
        return rfc3339_micro(self._timeline.clock.now())


def script_of(operation: Operation) -> Script | None:
    """The scripted outcome that the operation began with."""
    return Script(**operation.script) if operation.script else None
