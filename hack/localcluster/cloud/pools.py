"""The agent pools of the one cluster: what a PUT, GET, LIST or DELETE does, how operations proceed, what quota and stock allow.

Knows nothing of HTTP. Every rule is Azure's: preconditions first, then one operation per pool at a time, then size, subscription and
quota; what only shows when VMs are made (regional quota, capacity) fails the operation and leaves a pool in state Failed behind.
Not simulated: surge upgrades, relabelling of running nodes, autoscaling.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from typing import Any

from hack.localcluster.cloud import compute, errors
from hack.localcluster.cloud.errors import ArmError, Place
from hack.localcluster.cloud.market import Market, Stock, cores_in_use, is_spot
from hack.localcluster.cloud.model import (
    AgentPool,
    CloudIdentity,
    Operation,
    OperationState,
    Outcome,
    Properties,
    Script,
    VirtualMachine,
    VmHost,
)
from hack.localcluster.cloud.operations import Operations, Scripts, script_of
from hack.localcluster.cloud.resource import to_resource, with_defaults
from hack.localcluster.cloud.scale_sets import ScaleSets
from hack.localcluster.cloud.validation import check_change, check_pool_name, check_properties
from hack.localcluster.cloud.vm_sizes import find_vm_size
from hack.localcluster.durations import Durations
from hack.localcluster.timeline import Timeline


class AgentPools:
    """The resource provider. Thread-safe: every public method takes the one lock."""

    def __init__(self, identity: CloudIdentity, timeline: Timeline, durations: Durations, host: VmHost | None) -> None:
        self.identity = identity
        self.durations = durations
        self._scale_sets = ScaleSets(identity, host)
        self._timeline = timeline
        self._lock = threading.RLock()
        self._pools: dict[str, AgentPool] = {}
        self._operations = Operations(timeline, durations, self._boot_early, self._finish)
        self._incarnations = 0
        self.market = Market()
        self._scripts = Scripts()

    # ---- what a tester sets --------------------------------------------------------------------------------------------

    def set_quota(
        self, *, regional: int | None = None, families: Mapping[str, int] | None = None, spot: int | None = None
    ) -> None:
        """Limits in cores; None and absent families mean unlimited."""
        with self._lock:
            self.market.regional_limit = regional
            self.market.family_limits = dict(families or {})
            self.market.spot_limit = spot

    def set_stock(self, vm_size: str, stock: Stock | str) -> None:
        """Availability of one size."""
        with self._lock:
            self.market.stock[vm_size.lower()] = Stock(stock)

    def set_market(self, market: Market) -> None:
        """Quota and stock as a whole."""
        with self._lock:
            self.market = market

    def script(self, script: Script) -> None:
        """Decide the outcome of coming operations."""
        with self._lock:
            self._scripts.add(script)

    def clear_scripts(self) -> None:
        """Back to the natural course for operations to come."""
        with self._lock:
            self._scripts.clear()

    def release(self, name: str) -> None:
        """Let a hanging operation of a pool end as it naturally would."""
        with self._lock:
            pool = self._pools.get(name)
            if pool is not None and pool.operation_id:
                self._operations.release(self._operations.get(pool.operation_id))

    def add_canary(self, name: str, vm_size: str = "Standard_D4s_v5", mode: str = "User", count: int = 1) -> None:
        """A pool that is there already and that nobody but its owner may touch."""
        with self._lock:
            properties = with_defaults(self.identity, {"vmSize": vm_size, "count": count, "mode": mode})
            pool = self._new_pool(name, properties)
            pool.provisioning_state = "Succeeded"
            self._scale_sets.fill(pool)

    def remove_behind(self, name: str) -> bool:
        """The pool disappears with its VMs, without any operation, as if deleted through the portal."""
        with self._lock:
            pool = self._pools.pop(name, None)
            if pool is not None:
                self._scale_sets.empty(pool)
            return pool is not None

    def evict(self, name: str, notice_s: float | None = None) -> bool:
        """Azure takes the VMs of a spot pool back: notice first, then they are gone. False for a pool that is not there or not spot.

        `notice_s`: of the simulated world; 0: without any notice; the usual time when not given.
        """
        with self._lock:
            pool = self._pools.get(name)
            if pool is None or not is_spot(pool.properties):
                return False
            taken, left_s = list(pool.vms), self.durations.eviction_notice_s if notice_s is None else notice_s
            if left_s:
                self._scale_sets.announce(taken)
            self._timeline.after(left_s, lambda: self._take_back(name, taken))
            return True

    def _take_back(self, name: str, taken: list[VirtualMachine]) -> None:
        """The pool stays, with nothing in it; its count is what was asked for."""
        with self._lock:
            pool = self._pools.get(name)
            if pool is not None:
                self._scale_sets.take_back(pool, taken)

    def set_power(self, name: str, state: str) -> None:
        """`Running` or `Stopped`, as after a stop of the cluster."""
        with self._lock:
            self._require(name).power_state = state

    def set_state(self, name: str, provisioning_state: str) -> None:
        """Force a provisioningState, such as Upgrading by the cluster's owner."""
        with self._lock:
            self._require(name).provisioning_state = provisioning_state

    # ---- what a client asks ---------------------------------------------------------------------------------------------

    def get(self, name: str) -> dict[str, Any]:
        """One pool as JSON; ArmError 404 `NotFound` when it is not there."""
        with self._lock:
            return to_resource(self.identity, self._require(name))

    def list(self) -> list[dict[str, Any]]:
        """All pools, by name."""
        with self._lock:
            return [to_resource(self.identity, pool) for _, pool in sorted(self._pools.items())]

    def usages(self) -> list[dict[str, Any]]:
        """Quota and use of cores, as compute lists them."""
        with self._lock:
            spot = cores_in_use(self._pools.values(), None, spot=True)
            return compute.usages(self.market, lambda family: cores_in_use(self._pools.values(), family), spot)

    def skus(self) -> list[dict[str, Any]]:
        """The GPU sizes, as compute lists them."""
        with self._lock:
            return compute.skus(self.market, self.identity.location)

    def operation(self, operation_id: str) -> Operation:
        """A long-running operation; ArmError 404 when unknown."""
        with self._lock:
            return self._operations.get(operation_id)

    def put(
        self, name: str, properties: Properties, *, if_match: str = "", if_none_match: str = ""
    ) -> tuple[int, dict[str, Any], Operation]:
        """Create (201) or update (200); returns status, the pool as it is now, and the operation under way."""
        with self._lock:
            check_pool_name(name)
            check_properties(properties)
            pool = self._pools.get(name)
            self._check_preconditions(name, pool, if_match, if_none_match)
            if pool is not None and pool.busy:
                raise errors.busy(name, pool.provisioning_state)
            fresh = pool is None or (pool.provisioning_state == "Failed" and not pool.vms)
            if pool is not None:
                check_change(pool.properties, properties)
            kind = "create" if fresh else "update"
            script = self._scripts.take(kind, name, properties["vmSize"])
            self._refuse_if_impossible(name, properties, pool, script)
            status = 201 if pool is None else 200
            if pool is None:
                pool = self._new_pool(name, with_defaults(self.identity, properties))
            else:
                pool.properties = {**pool.properties, **{k: v for k, v in properties.items() if v is not None}}
                pool.etag = str(uuid.uuid4())
            operation = self._begin(pool, kind, "Creating" if fresh else "Updating", script)
            return status, to_resource(self.identity, pool), operation

    def delete(self, name: str, *, if_match: str = "") -> Operation | None:
        """Begin the deletion; None when there is no such pool (204)."""
        with self._lock:
            pool = self._pools.get(name)
            if pool is None:
                return None
            self._check_preconditions(name, pool, if_match, "")
            if pool.busy:
                raise errors.busy(name, pool.provisioning_state)
            if self._is_last_system_pool(pool):
                raise errors.system_pool_needed()
            script = self._scripts.take("delete", name, pool.properties["vmSize"])
            if script is not None and script.outcome is Outcome.REFUSE:
                raise script.arm_error(self.place(name, pool.properties["vmSize"]))
            return self._begin(pool, "delete", "Deleting", script)

    def place(self, name: str = "", vm_size: str = "") -> Place:
        """The facts that error messages are filled with."""
        size = find_vm_size(vm_size)
        family = size.family if size else ""
        return Place(
            self.identity.subscription_id,
            self.identity.resource_group,
            self.identity.cluster_name,
            self.identity.location,
            name,
            vm_size,
            family,
            size.cores if size else 0,
            self.market.family_limits.get(family, 0),
            cores_in_use(self._pools.values(), family, excluding=name),
        )

    # ---- state file -------------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Everything that survives a restart."""
        with self._lock:
            return {
                "pools": [pool.to_json() for pool in self._pools.values()],
                "operations": self._operations.snapshot(),
                "incarnations": self._incarnations,
                "market": self.market.to_json(),
            }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a snapshot; operations that were under way start their wait again, running VMs are booted at the host."""
        with self._lock:
            self._pools = {data["name"]: AgentPool.from_json(data) for data in state["pools"]}
            self._operations.restore(state["operations"])
            self._incarnations = state["incarnations"]
            self.market = Market.from_json(state["market"])
            for pool in self._pools.values():
                self._scale_sets.resume(pool)

    # ---- rules -----------------------------------------------------------------------------------------------------------

    def _require(self, name: str) -> AgentPool:
        pool = self._pools.get(name)
        if pool is None:
            raise errors.pool_not_found(self.place(name))
        return pool

    def _check_preconditions(self, name: str, pool: AgentPool | None, if_match: str, if_none_match: str) -> None:
        if if_none_match.strip() == "*" and pool is not None:
            raise errors.precondition_failed(
                f"The agent pool {name} exists, and the request is to create it (If-None-Match: *)."
            )
        wanted = if_match.strip().strip('"')
        if wanted and (pool is None or wanted not in ("*", pool.etag)):
            raise errors.precondition_failed(f"The etag of agent pool {name} is not the one given by If-Match.")

    def _refuse_if_impossible(
        self, name: str, properties: Properties, pool: AgentPool | None, script: Script | None
    ) -> None:
        at = self.place(name, properties["vmSize"])
        if script is not None and script.outcome is Outcome.REFUSE:
            raise script.arm_error(at)
        count, held = int(properties.get("count") or 1), len(pool.vms) if pool else 0
        refusal = self.market.refusal(at, count=count, held=held, spot=is_spot(properties))
        if refusal is not None:
            raise refusal

    def _natural_failure(self, pool: AgentPool) -> ArmError | None:
        """What shows only when the VMs are made."""
        return self.market.failure(
            self.place(pool.name, pool.properties["vmSize"]),
            count=int(pool.properties["count"]),
            used_in_region=cores_in_use(self._pools.values(), None, excluding=pool.name, spot=is_spot(pool.properties)),
            spot=is_spot(pool.properties),
        )

    def _is_last_system_pool(self, pool: AgentPool) -> bool:
        others = [other for other in self._pools.values() if other is not pool]
        return pool.properties["mode"] == "System" and not any(o.properties["mode"] == "System" for o in others)

    # ---- operations ------------------------------------------------------------------------------------------------------

    def _begin(self, pool: AgentPool, kind: str, state: str, script: Script | None) -> Operation:
        pool.provisioning_state = state
        operation = self._operations.begin(pool.name, kind, script)
        pool.operation_id = operation.id
        return operation

    def _boot_early(self, operation: Operation) -> None:
        with self._lock:
            pool = self._current_pool(operation)
            if pool is not None:
                self._scale_sets.fill(pool)

    def _current_pool(self, operation: Operation) -> AgentPool | None:
        """The pool the operation works on; None when it was removed behind its back."""
        pool = self._pools.get(operation.pool)
        return pool if pool is not None and pool.operation_id == operation.id else None

    def _finish(self, operation: Operation) -> None:
        with self._lock:
            if operation.state is not OperationState.IN_PROGRESS:
                return
            pool = self._current_pool(operation)
            if pool is None:
                self._finish_without_pool(operation)
                return
            script = script_of(operation)
            failure = self._failure(operation, pool, script)
            if script is not None and script.outcome is Outcome.CANCEL:
                self._end(operation, pool, OperationState.CANCELED)
            elif failure is not None:
                self._end(operation, pool, OperationState.FAILED, failure)
            else:
                self._end(operation, pool, OperationState.SUCCEEDED)
                self._after_success(operation, pool, script)

    def _finish_without_pool(self, operation: Operation) -> None:
        if operation.kind == "delete":
            self._operations.end(operation, OperationState.SUCCEEDED)
        else:
            self._operations.end(operation, OperationState.FAILED, errors.pool_not_found(self.place(operation.pool)))

    def _failure(self, operation: Operation, pool: AgentPool, script: Script | None) -> ArmError | None:
        if script is not None and script.outcome is Outcome.FAIL:
            return script.arm_error(self.place(pool.name, pool.properties["vmSize"]))
        return None if operation.kind == "delete" else self._natural_failure(pool)

    def _end(self, operation: Operation, pool: AgentPool, state: OperationState, error: ArmError | None = None) -> None:
        self._operations.end(operation, state, error)
        pool.error = operation.error
        pool.provisioning_state = state.value
        pool.etag = str(uuid.uuid4())

    def _after_success(self, operation: Operation, pool: AgentPool, script: Script | None) -> None:
        if operation.kind == "delete":
            del self._pools[pool.name]
            self._scale_sets.empty(pool)
            return
        if script is None or script.outcome is not Outcome.NO_NODE:
            self._scale_sets.fill(pool)
        if script is not None and script.outcome is Outcome.VANISH:
            self._timeline.after(script.after_s or 0.0, lambda: self._vanish(pool))

    def _vanish(self, pool: AgentPool) -> None:
        with self._lock:
            if self._pools.get(pool.name) is pool:
                self.remove_behind(pool.name)

    # ---- VMs -----------------------------------------------------------------------------------------------------------

    def _new_pool(self, name: str, properties: Properties) -> AgentPool:
        self._incarnations += 1
        pool = AgentPool(name, properties, "Creating", self._incarnations, str(uuid.uuid4()))
        self._pools[name] = pool
        return pool
