"""Shows what each Workspace is waiting for, as it changes: one line per change, with the time since the start and since the last change."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from hack.demo.world import World

STEP_S = 0.4
WIDTH = 150


class NotReady(RuntimeError):
    """The Workspaces did not get there in time; the message says what the last one was waiting for."""


class Progress:
    """Follows Workspaces until a condition on all of them holds."""

    def __init__(self, world: World, say: Callable[[str], None]) -> None:
        self._world = world
        self._say = say
        self._seen: dict[str, tuple[str, float]] = {}

    def wait_ready(self, names: list[str], timeout_s: float) -> None:
        """Until `WorkspaceReady` is True for each."""
        self._follow(names, timeout_s, lambda condition: condition.get("status") == "True")

    def wait_reason(self, name: str, reasons: set[str], timeout_s: float) -> dict[str, Any]:
        """Until the reason of `WorkspaceReady` is one of these; the condition."""
        return self._follow([name], timeout_s, lambda condition: condition.get("reason") in reasons)[name]

    def _follow(
        self, names: list[str], timeout_s: float, done: Callable[[dict[str, Any]], bool]
    ) -> dict[str, dict[str, Any]]:
        deadline = time.monotonic() + timeout_s
        while True:
            conditions = {name: self._condition(name) for name in names}
            for name, condition in conditions.items():
                self._show(name, condition)
            if all(done(condition) for condition in conditions.values()):
                return conditions
            if time.monotonic() > deadline:
                waiting = [f"{name}: {c.get('message')}" for name, c in conditions.items() if not done(c)]
                raise NotReady("\n".join([f"not there after {timeout_s:.0f} s:", *waiting]))
            time.sleep(STEP_S)

    def _condition(self, name: str) -> dict[str, Any]:
        for workspace in self._world.objects("workspace"):
            if workspace["metadata"]["name"] == name:
                for condition in workspace.get("status", {}).get("conditions", []):
                    if condition["type"] == "WorkspaceReady":
                        return dict(condition)
        return {"reason": "Accepted", "message": "seen by the API server, not yet by the controller"}

    def _show(self, name: str, condition: dict[str, Any]) -> None:
        text = f"{condition.get('reason')}: {condition.get('message')}"
        before, since = self._seen.get(name, ("", time.monotonic()))
        if text == before:
            return
        now = time.monotonic()
        took = f" (after {now - since:.1f} s)" if before else ""
        self._seen[name] = (text, now)
        self._say(f"{name:30} {text[:WIDTH]}{took}")
