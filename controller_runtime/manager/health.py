"""Checks by name, served as /healthz (restart me when it fails) and /readyz (send me work when it passes).

A check returns None when all is well, or the reason why not. The reasons are shown only with `?verbose`, as kubelet and people use it:
one line per check, `[+]name ok` or `[-]name failed: reason`. `/healthz/NAME` asks one check, `?exclude=NAME` leaves one out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from controller_runtime.logs import get_logger, redact
from controller_runtime.manager.http_server import HttpRequest, Reply

Check = Callable[[], str | None]

log = get_logger(__name__)


def ping() -> str | None:
    """The check that always passes: the server answers."""
    return None


class Checks:
    """A named group of checks, such as `healthz`. Thread-safe."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._checks: dict[str, Check] = {"ping": ping}

    def add(self, name: str, check: Check) -> None:
        """Raises ValueError when the name is taken: two checks under one name would hide each other."""
        with self._lock:
            if name in self._checks:
                raise ValueError(f"{self.name}: there is a check named {name!r} already")
            self._checks[name] = check

    def failures(self) -> dict[str, str]:
        """Failing checks with their reasons; empty when all pass."""
        return {name: reason for name, reason in self._run(self._all()).items() if reason is not None}

    def handle(self, query: HttpRequest) -> Reply:
        """Answer `/name`, `/name/` or `/name/CHECK`."""
        checks = self._all()
        wanted = query.path.removeprefix(f"/{self.name}").strip("/")
        if wanted:
            if wanted not in checks:
                return Reply.text(404, f"there is no check named {wanted!r}\n")
            checks = {wanted: checks[wanted]}
        excluded = set(query.parameters.get("exclude", []))
        results = self._run({name: check for name, check in checks.items() if name not in excluded})
        return self._render(results, verbose="verbose" in query.parameters, unknown=excluded - set(checks))

    def _render(self, results: dict[str, str | None], *, verbose: bool, unknown: set[str]) -> Reply:
        failed = sorted(name for name, reason in results.items() if reason is not None)
        if not failed and not verbose:
            return Reply.text(200, "ok")
        lines = [f"[-]{n} failed: {redact(reason)}" if reason else f"[+]{n} ok" for n, reason in results.items()]
        if not verbose:
            lines = [f"[-]{name} failed: reason withheld" if results[name] else f"[+]{name} ok" for name in results]
        if unknown:
            lines.append(f"warn: some checks cannot be excluded: no matches for {', '.join(sorted(unknown))}")
        lines.append(f"{self.name} check {'failed' if failed else 'passed'}")
        return Reply.text(500 if failed else 200, "\n".join(lines) + "\n")

    def _all(self) -> dict[str, Check]:
        with self._lock:
            return dict(self._checks)

    def _run(self, checks: dict[str, Check]) -> dict[str, str | None]:
        return {name: self._outcome(name, check) for name, check in checks.items()}

    def _outcome(self, name: str, check: Check) -> str | None:
        try:
            return check()
        except Exception as error:
            log.exception("check failed unexpectedly", group=self.name, check=name)
            return f"the check itself failed: {type(error).__name__}"


def probe_handler(*groups: Checks) -> Callable[[HttpRequest], Reply]:
    """One handler for several groups, for a probe server."""

    def handle(query: HttpRequest) -> Reply:
        for group in groups:
            if query.path == f"/{group.name}" or query.path.startswith(f"/{group.name}/"):
                return group.handle(query)
        return Reply.text(404, "not found; try " + " or ".join(f"/{group.name}" for group in groups) + "\n")

    return handle
