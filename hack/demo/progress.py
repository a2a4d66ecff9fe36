"""Shows what each Workspace is waiting for, as it changes: one line per change, and at the end how long each phase took."""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Callable
from typing import Any

from hack.demo.world import World
from hack.waiting import until

STEP_S = 0.2
WIDTH = 150
NOT_SEEN = {"reason": "Accepted", "message": "seen by the API server, not yet by the controller"}
PATIENCE_S = 10.0
"""After so long without any change, say that the wait goes on."""


class NotReady(RuntimeError):
    """The Workspaces did not get there in time; the message says what the last one was waiting for."""


class Progress:
    """Follows Workspaces until a condition on all of them holds."""

    def __init__(self, world: World, say: Callable[[str], None], *, messages: bool = False) -> None:
        """`messages`: a line for each change of the message too."""
        self._messages = messages
        self._world = world
        self._say = say
        self._seen: dict[str, tuple[str, float]] = {}
        self._phases: dict[str, list[tuple[str, float]]] = {}
        self._last_said = time.monotonic()

    def wait_ready(self, names: list[str], timeout_s: float) -> None:
        """Until `WorkspaceReady` is True for each."""
        self._follow(names, timeout_s, lambda condition: condition.get("status") == "True")

    def wait_message(self, name: str, pattern: re.Pattern[str], timeout_s: float) -> dict[str, Any]:
        """Until the message of `WorkspaceReady` matches, or it is True; the condition."""

        def done(condition: dict[str, Any]) -> bool:
            return condition.get("status") == "True" or pattern.search(str(condition.get("message"))) is not None

        return self._follow([name], timeout_s, done)[name]

    def show_phases(self) -> None:
        """One line for each Workspace: how long it took, and its reasons in order with the seconds that each lasted."""
        for name, phases in sorted(self._phases.items()):
            total = sum(seconds for _, seconds in phases)
            steps = ", ".join(f"{reason} {seconds:.1f} s" for reason, seconds in phases)
            self._say(f"{name:30} ready after {total:4.1f} s: {steps}")

    def wait_reason(self, name: str, reasons: set[str], timeout_s: float) -> dict[str, Any]:
        """Until the reason of `WorkspaceReady` is one of these; the condition."""
        return self._follow([name], timeout_s, lambda condition: condition.get("reason") in reasons)[name]

    def _follow(
        self, names: list[str], timeout_s: float, done: Callable[[dict[str, Any]], bool]
    ) -> dict[str, dict[str, Any]]:
        conditions: dict[str, dict[str, Any]] = {}

        def look() -> bool:
            conditions.update(self._conditions(names))
            for name, condition in conditions.items():
                self._show(name, condition)
            self._reassure(conditions, done)
            return all(done(condition) for condition in conditions.values())

        def late(_: bool) -> NotReady:
            waiting = [f"{name}: {c.get('message')}" for name, c in conditions.items() if not done(c)]
            return NotReady("\n".join([f"not there after {timeout_s:.0f} s:", *waiting]))

        until(look, timeout_s, late=late, step_s=STEP_S)
        return conditions

    def _reassure(self, conditions: dict[str, dict[str, Any]], done: Callable[[dict[str, Any]], bool]) -> None:
        if time.monotonic() - self._last_said > PATIENCE_S:
            waiting = [name for name, condition in conditions.items() if not done(condition)]
            self._say(f"still waiting for {', '.join(waiting)}")
            self._last_said = time.monotonic()

    def _conditions(self, names: list[str]) -> dict[str, dict[str, Any]]:
        """Name → `WorkspaceReady`, of one look at all."""
        found = {
            workspace["metadata"]["name"]: dict(condition)
            for workspace in self._world.product.objects("workspace")
            for condition in workspace.get("status", {}).get("conditions", [])
            if condition["type"] == "WorkspaceReady"
        }
        return {name: found.get(name, NOT_SEEN) for name in names}

    def _show(self, name: str, condition: dict[str, Any]) -> None:
        reason, text = str(condition.get("reason")), str(condition.get("message"))
        now = time.monotonic()
        before, since = self._seen.get(name, ("", now))
        if before.partition(": ")[0] != reason:
            if before:
                self._phases.setdefault(name, []).append((before.partition(": ")[0], now - since))
            self._say(f"{name:30} {textwrap.shorten(f'{reason}: {text}', WIDTH, placeholder=' …')}")
            self._seen[name] = (f"{reason}: {text}", now)
            self._last_said = now
        elif self._messages and before != f"{reason}: {text}":
            self._say(f"{name:30} {textwrap.shorten(f'{reason}: {text}', WIDTH, placeholder=' …')}")
            self._seen[name] = (f"{reason}: {text}", since)
            self._last_said = now
