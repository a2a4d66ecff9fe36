"""A watch on its way to the client, with everything a FaultPlan can do to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from hack.localcluster.apiserver.errors import StatusError, expired
from hack.localcluster.apiserver.watching import Line, Watch, error_line
from hack.localcluster.apiserver.webserver import web
from hack.localcluster.faults import Call, Fault, FaultKind, FaultPlan

_POLL_S = 0.01


class StreamEndedError(Exception):
    """The stream is over, by fault; with `abort` the connection breaks instead of ending properly."""

    def __init__(self, *, abort: bool) -> None:
        super().__init__("stream ended by a fault")
        self.abort = abort


async def until_released(plan: FaultPlan, fault: Fault) -> None:
    """Wait until the fault's rule is taken back or its `seconds` have passed."""
    loop = asyncio.get_running_loop()
    end = loop.time() + (fault.seconds if fault.seconds is not None else float("inf"))
    while plan.in_force(fault.rule_id) and loop.time() < end:
        await asyncio.sleep(_POLL_S)


class Stream:
    """Writes lines, asking the plan about each."""

    def __init__(self, response: web.StreamResponse, watch: Watch, plan: FaultPlan, call: Call) -> None:
        self._response = response
        self._watch = watch
        self._plan = plan
        self._call = call
        self._silent = False
        self._late: list[list[int | Line]] = []

    async def send(self, lines: Iterable[Line]) -> None:
        """Deliver a batch."""
        if self._plan.is_empty and not (self._silent or self._late):
            await self._response.write(b"".join(line.data for line in lines))
            return
        for line in lines:
            await self._send_one(line)

    async def fail(self, error: StatusError) -> None:
        """An ERROR event."""
        await self._response.write(error_line(error))

    async def _send_one(self, line: Line) -> None:
        if self._silent:
            return
        fault = self._decide(line)
        if fault is None:
            await self._deliver(line)
            return
        match fault.kind:
            case FaultKind.HOLD | FaultKind.DUPLICATE:
                await (until_released(self._plan, fault) if fault.kind is FaultKind.HOLD else self._deliver(line))
                await self._deliver(line)
            case FaultKind.REORDER:
                self._late.append([max(1, fault.events), line])
            case FaultKind.CUT:
                raise StreamEndedError(abort=True)
            case FaultKind.GONE:
                await self.fail(expired(fault.message))
                raise StreamEndedError(abort=False)
            case FaultKind.REPLAY_FROM:
                await self._replay(int(fault.resource_version or 0), line.rv)
                await self._deliver(line)
            case FaultKind.SILENT:
                self._silent = True

    def _decide(self, line: Line) -> Fault | None:
        call = self._call
        return self._plan.decide(
            Call(
                server="kube",
                verb="watch",
                group=call.group,
                resource=call.resource,
                namespace=line.namespace,
                name=line.name,
                client=call.client,
                event=line.event,
            )
        )

    async def _replay(self, since: int, until: int) -> None:
        await self._response.write(b"".join(old.data for old in self._watch.replay(since) if old.rv < until))

    async def _deliver(self, line: Line) -> None:
        await self._response.write(line.data)
        due = []
        for late in self._late:
            assert isinstance(late[0], int)
            late[0] -= 1
            if late[0] <= 0:
                due.append(late)
        for late in due:
            self._late.remove(late)
            assert isinstance(late[1], Line)
            await self._response.write(late[1].data)
