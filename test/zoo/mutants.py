"""The bugs of the zoo, as data: what each stands for, the one change that makes it, and the tests that must notice.

Every entry has happened to somebody: most are the bug classes that fault-injection studies found in operators of this kind. The text
`before` must occur exactly once in its file, so that a mutant never silently stops being one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug. `tests`: pytest selections (file, or file::test), each of which has to fail; keep them few and fast."""

    name: str
    bug: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


_UNIT = "test/unit"
_RUNTIME = f"{_UNIT}/controller_runtime"
_PROVISIONER = f"{_UNIT}/gpu_provisioner"
_WORKSPACE = f"{_UNIT}/kaito_controller/workspace"
_WORKLOADS = f"{_UNIT}/kaito_controller/workloads"
_FAULTS = "test/faults/gpu_provisioner"
_STALE = "test/faults/stale"

IDENTITY = (
    Mutant(
        "delete-without-uid",
        "A deletion decided on a stale cache hits the next object of that name.",
        "kaito_controller/workspace/act/apply.py",
        "                uid=action.uid,\n",
        "",
        (f"{_STALE}/test_workspaces.py::test_a_deletion_decided_on_old_news_spares_the_next_object_of_that_name",),
    ),
    Mutant(
        "random-machine-name",
        "A create whose reply was lost is repeated under another name: a second GPU node.",
        "kaito_controller/workspace/state/naming.py",
        'digest = hashlib.sha256(f"{uid}/{ordinal}/{attempt}".encode()).hexdigest()',
        'digest = __import__("secrets").token_hex(32)',
        (
            f"{_WORKSPACE}/test_machines.py::test_name_is_the_same_in_every_process_and_release",
            f"{_STALE}/test_workspaces.py::test_machines_that_the_cache_does_not_show_are_not_ordered_again",
        ),
    ),
    Mutant(
        "machine-by-name",
        "Machines of a deleted Workspace are taken for those of its namesake.",
        "kaito_controller/workspace/state/machines.py",
        "        return recorded == uid_of(workspace)",
        "        return True",
        (f"{_WORKSPACE}/test_machines.py::test_machine_of_a_namesake_is_not_ours_and_one_of_kaito_is",),
    ),
    Mutant(
        "pool-by-name",
        "An agent pool is taken for ours because its name fits.",
        "gpu_provisioner/machine/ownership.py",
        "        return Ownership.OURS if mark == machine.uid else Ownership.FORMER",
        "        return Ownership.OURS",
        (f"{_FAULTS}/test_garbage.py::test_a_recreated_machine_waits_until_the_pool_of_its_predecessor_is_gone",),
    ),
    Mutant(
        "replaced-object-is-a-change",
        "Delete and create under one name is told as a modification, so nobody clears up after the first object.",
        "controller_runtime/cache/store.py",
        'if known is not None and known["metadata"].get("uid") != obj["metadata"].get("uid"):',
        'if known is not None and known["metadata"].get("name") != obj["metadata"].get("name"):',
        (f"{_RUNTIME}/test_informer_handlers.py::test_a_new_uid_under_an_old_name_is_a_delete_and_an_add",),
    ),
    Mutant(
        "node-released-by-name",
        "A Node that joined again under its old name is deleted for its predecessor.",
        "gpu_provisioner/machine/apply.py",
        "_ignoring_gone(lambda: client.delete(NODES, node.name, uid=node.uid))",
        "_ignoring_gone(lambda: client.delete(NODES, node.name))",
        (
            f"{_STALE}/test_machines.py::test_a_node_that_joined_again_under_its_old_name_is_not_deleted_for_its_predecessor",
        ),
    ),
    Mutant(
        "create-overwrites",
        "PUT on a pool that exists counts as created: somebody else's pool is changed.",
        "gpu_provisioner/cloud/azure/agent_pools.py",
        "                match_condition=MatchConditions.IfMissing,\n",
        "",
        (f"{_PROVISIONER}/test_azure_adapter.py::test_create_never_changes_a_pool_that_exists",),
    ),
    Mutant(
        "busy-is-exists",
        "409 `another operation is running` is read as `exists already`.",
        "gpu_provisioner/cloud/azure/errors.py",
        "    409: port.Busy,",
        "    409: port.AlreadyThere,",
        (f"{_PROVISIONER}/test_azure_errors.py::test_class_by_status_and_code",),
    ),
    Mutant(
        "exists-is-success",
        "`Already exists` counts as our own create, without looking whose it is.",
        "kaito_controller/workspace/act/apply.py",
        '        if owner is None or owner.get("uid") != uid_of(workspace):\n            raise NameTakenError(live, workspace)',
        '        if owner is None or owner.get("uid") != uid_of(workspace):\n            return []',
        ("test/faults/kaito_controller/test_failures.py::test_deployment_of_somebody_else_is_left_alone_and_named",),
    ),
    Mutant(
        "pool-deleted-without-etag",
        "A pool that changed since it was judged is deleted all the same.",
        "gpu_provisioner/cloud/cache.py",
        "self._pools.delete(pool.name, etag=pool.etag)",
        "self._pools.delete(pool.name)",
        (
            f"{_PROVISIONER}/test_gate_and_view.py::test_deleting_names_the_version_that_was_seen_and_a_missing_pool_is_looked_for",
        ),
    ),
)

ORDER = (
    Mutant(
        "finalizer-before-pool",
        "The Machine goes although its pool was only not seen; nobody knows of the pool any more.",
        "gpu_provisioner/machine/plan.py",
        "    if not snapshot.has_no_pool_of_ours:\n        return Plan(look_again_s=limits.poll_s)\n    if snapshot.nodes:",
        "    if snapshot.nodes:",
        (f"{_PROVISIONER}/test_plan_model.py::test_every_world_keeps_the_rules_of_safety",),
    ),
    Mutant(
        "finalizer-after-order",
        "A Machine deleted while its pool is being made leaves the pool behind.",
        "gpu_provisioner/machine/reconciler.py",
        "        if not guarded:\n",
        "        if not guarded and machine.is_true(conditions.LAUNCHED):\n",
        (f"{_FAULTS}/test_termination.py::test_delete_during_create_waits_for_azure_and_leaves_nothing",),
    ),
    Mutant(
        "no-last-look",
        "The Workspace goes although the cache has not shown its Machines yet: GPUs without an owner.",
        "kaito_controller/workspace/act/apply.py",
        "        left = self._machines_left(workspace)",
        "        left: list[str] = []",
        (f"{_STALE}/test_workspaces.py::test_a_workspace_stays_until_machines_that_its_cache_does_not_show_are_gone",),
    ),
    Mutant(
        "writes-after-the-lease",
        "A leader that could not renew in time goes on writing beside its successor.",
        "controller_runtime/election/elector.py",
        "return self._leading and self._clock.monotonic() < self._renewed_at + self.timings.renew_deadline_s\n",
        "return self._leading\n",
        (f"{_RUNTIME}/test_election.py::test_the_right_to_write_ends_by_time_alone_when_the_renewing_thread_hangs",),
    ),
    Mutant(
        "lease-by-stamps",
        "A standby with another wall clock takes a Lease that is still held.",
        "controller_runtime/election/elector.py",
        "return self._clock.monotonic() > self._observed.at + self._published_s(self._observed)",
        'return self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ") > str(self._observed.spec.get("renewTime") or "")',
        (f"{_RUNTIME}/test_election.py::test_silence_is_counted_from_what_the_standby_saw_itself_not_from_the_stamps",),
    ),
)

GARBAGE = (
    Mutant(
        "gc-without-mark",
        "The collector removes pools that nobody marked as ours.",
        "gpu_provisioner/garbage/plan.py",
        "        if uid and uid == mark_of(pool) and uid not in alive and",
        "        if uid not in alive and",
        (f"{_FAULTS}/test_garbage.py::test_pools_without_our_mark_are_never_removed",),
    ),
    Mutant(
        "gc-without-age",
        "The collector removes what it has seen for one moment only.",
        "gpu_provisioner/garbage/plan.py",
        ">= safe_age_s)",
        ">= 0.0)",
        (f"{_FAULTS}/test_garbage.py::test_a_leftover_is_not_removed_before_the_safe_age",),
    ),
    Mutant(
        "gc-believes-the-cache",
        "A Machine that the cache does not show yet loses its pool.",
        "gpu_provisioner/garbage/apply.py",
        "        if any(uid_of(machine) == suspect.uid for machine in self._machines(suspect.pool.name)):\n",
        "        if not suspect.uid:\n",
        (f"{_FAULTS}/test_garbage.py::test_a_cache_that_lags_does_not_cost_a_young_machine_its_pool",),
    ),
    Mutant(
        "orphans-by-the-cache",
        "A lagging cache of Workspaces makes the Machines of a living one look like orphans.",
        "kaito_controller/workspace/reconciler.py",
        "            living = uid_of(self._client.get(labels.WORKSPACES, request.name, request.namespace))",
        "            living = uid",
        (
            f"{_STALE}/test_workspaces.py::test_machines_of_a_workspace_that_the_cache_does_not_show_yet_are_not_orphans",
        ),
    ),
)

STATUS = (
    Mutant(
        "machine-status-always",
        "The status of a Machine is written on every look: a write storm that wakes itself.",
        "gpu_provisioner/machine/status.py",
        "    if not changed:\n",
        "    if not fields:\n",
        (f"{_FAULTS}/test_lifecycle_accidents.py::test_a_restart_of_a_steady_state_writes_nothing",),
    ),
    Mutant(
        "workspace-status-always",
        "The status of a Workspace is written on every look.",
        "kaito_controller/workspace/reconciler.py",
        "        if status == before:\n",
        "        if not status:\n",
        (f"{_STALE}/test_workspaces.py::test_a_steady_workspace_is_silent_however_often_it_is_looked_at",),
    ),
    Mutant(
        "restless-transition-time",
        "lastTransitionTime moves with every word, so that nobody can tell since when.",
        "gpu_provisioner/machine/status.py",
        'since = old.get("lastTransitionTime") if old.get("status") == entry["status"] else None',
        "since = None",
        (f"{_FAULTS}/test_lifecycle_accidents.py::test_a_restart_of_a_steady_state_writes_nothing",),
    ),
    Mutant(
        "ready-is-sticky",
        "A Machine that was Ready once stays so, whatever became of its Node.",
        "gpu_provisioner/machine/status.py",
        "    if not snapshot.is_usable:\n",
        "    if not snapshot.is_usable and not snapshot.machine.is_true(types.READY):\n",
        (
            f"{_FAULTS}/test_lifecycle_accidents.py::test_ready_follows_the_node_without_touching_the_other_conditions",
            f"{_PROVISIONER}/test_plan_model.py::test_ready_is_never_true_without_a_usable_node_and_all_steps_done",
        ),
    ),
    Mutant(
        "serving-of-an-older-generation",
        "A rollout that has only begun is shown as serving.",
        "kaito_controller/workspace/conditions/inference.py",
        "    return seen and ready >= wanted and updated >= wanted",
        "    return ready >= wanted and updated >= wanted",
        (f"{_WORKSPACE}/test_status.py::test_readiness_of_an_older_generation_does_not_count",),
    ),
)

RETRIES = (
    Mutant(
        "dropped-key",
        "An exception is logged and the object is never looked at again.",
        "controller_runtime/controller/outcomes.py",
        "            self._back_off(request, error)\n",
        "            self._forget(request)\n",
        (
            f"{_RUNTIME}/test_controller_outcomes.py::test_whatever_a_reconciler_raises_is_a_panic_that_is_retried_and_the_worker_survives",
        ),
    ),
    Mutant(
        "forgotten-failures",
        "The history of failures is dropped before the retry succeeds: no backoff.",
        "controller_runtime/controller/controller.py",
        "                result = _checked(self._reconciler.reconcile(request))\n",
        "                self._queue.forget(request)\n                result = _checked(self._reconciler.reconcile(request))\n",
        (f"{_RUNTIME}/test_controller_outcomes.py::test_transient_errors_back_off_exponentially",),
    ),
    Mutant(
        "no-backoff",
        "Every retry comes after the same short pause.",
        "controller_runtime/backoff.py",
        "2 ** min(failures, 64)",
        "2 ** 0",
        (
            f"{_RUNTIME}/test_backoff.py::test_the_item_limiter_doubles_from_5_ms_and_is_capped_from_the_19th_failure_on",
        ),
    ),
    Mutant(
        "no-jitter",
        "All objects that failed together come back together.",
        "controller_runtime/backoff.py",
        "            stretch = 1 + self._jitter * self._rng.random() if self._jitter else 1.0\n",
        "            stretch = 1.0\n",
        (f"{_RUNTIME}/test_backoff.py::test_jitter_keeps_keys_that_failed_together_apart",),
    ),
    Mutant(
        "refusal-retried-hot",
        "A 422 or 403 is repeated as if it could pass by itself.",
        "controller_runtime/controller/outcomes.py",
        "TERMINAL_RETRY_S = 60.0",
        "TERMINAL_RETRY_S = 0.01",
        (
            f"{_RUNTIME}/test_controller_outcomes.py::test_a_refusal_by_the_api_server_is_retried_slowly_because_nothing_announces_its_cure",
        ),
    ),
)

CACHES = (
    Mutant(
        "410-ignored",
        "A watch whose version is gone is opened again and again; the cache stands still.",
        "controller_runtime/cache/reflector.py",
        "return self._recover(event.error, relist=not isinstance(event.error, TooManyRequests))",
        "return self._recover(event.error, relist=False)",
        (
            f"{_RUNTIME}/test_reflector_wire.py::test_a_410_leads_to_a_list_that_replaces_the_cache_with_synthesised_deletes",
        ),
    ),
    Mutant(
        "any-managed-fields-cut",
        "A list of that name anywhere in an object is taken for its managedFields, and lost to the cache.",
        "controller_runtime/client/decoding.py",
        '        if obj["metadata"].pop("managedFields") == _LEFT:\n',
        '        obj["metadata"].pop("managedFields", None)\n        if obj:\n',
        (f"{_RUNTIME}/test_decoding.py::test_result_is_that_of_decoding_everything_and_dropping_it",),
    ),
    Mutant(
        "back-in-time",
        "Another API server, or a proxy, replays old events and the cache believes them.",
        "controller_runtime/cache/freshness.py",
        "        return number > max(self._floor, self._tombstones.get(key, 0))",
        "        return True",
        (f"{_RUNTIME}/test_store.py::test_a_late_event_of_an_unknown_object_is_news_unless_it_was_deleted_since",),
    ),
    Mutant(
        "provisioner-ignores-own-writes",
        "Decisions are made on a cache that does not show our last write: work is repeated, and meets conflicts.",
        "gpu_provisioner/machine/reconciler.py",
        "        if not self._consistency.are_visible(machine.uid):\n",
        "        if not machine.name and not self._consistency.are_visible(machine.uid):\n",
        (f"{_STALE}/test_machines.py::test_nothing_is_repeated_while_the_cache_of_machines_stands_still",),
    ),
    Mutant(
        "controller-ignores-own-writes",
        "Machines are counted in a cache that does not show the ones just ordered.",
        "kaito_controller/workspace/reconciler.py",
        "        if not self._consistency.are_visible(uid_of(raw)):\n",
        "        if not uid_of(raw):\n",
        (f"{_STALE}/test_workspaces.py::test_machines_that_the_cache_does_not_show_are_not_ordered_again",),
    ),
    Mutant(
        "cached-object-changed",
        "A reconcile writes into an object that the whole process shares.",
        "kaito_controller/workspace/conditions/status.py",
        '    before = {**(raw.get("status") or {}), **(scale or {})}\n    merged',
        '    before = raw.setdefault("status", {})\n    before.update(scale or {})\n    merged',
        (f"{_STALE}/test_workspaces.py::test_no_look_changes_an_object_of_the_cache",),
    ),
)

MACHINERY = (
    Mutant(
        "lost-wake-up",
        "A key is queued and the worker that sleeps is not told.",
        "controller_runtime/queue/workqueue.py",
        "            self._ready.push(item)\n            self._wake()\n",
        "            self._ready.push(item)\n",
        ("test/faults/controller_runtime/test_workqueue_stress.py::test_one_add_wakes_one_of_three_waiters",),
    ),
    Mutant(
        "deaf-for-ever",
        "A connection over which nothing comes any more is waited on until its ten minutes are over.",
        "controller_runtime/cache/frames.py",
        "        stream.expect_frame_within(SILENCE_AFTER_BOOKMARK_S)\n",
        "",
        (
            f"{_RUNTIME}/test_reflector_silence.py::test_a_peer_that_falls_silent_after_a_bookmark_is_given_up_after_90_seconds",
        ),
    ),
    Mutant(
        "lease-before-workers",
        "The Lease goes back while a worker is still busy: two leaders write.",
        "controller_runtime/manager/manager.py",
        "self._elector.stop(release=not overdue)",
        "self._elector.stop(release=True)",
        (
            f"{_RUNTIME}/test_manager_stop.py::test_a_reconcile_that_does_not_end_in_time_means_exit_1_and_the_lease_is_kept",
        ),
    ),
    Mutant(
        "certificate-of-the-first-day",
        "The certificate is renewed on disk, and the old one is served until it has expired.",
        "controller_runtime/manager/certificate.py",
        "        if signature != self._signature:\n",
        "        if not signature:\n",
        (f"{_RUNTIME}/test_certificate.py::test_a_rotated_certificate_is_served_from_the_next_connection_on",),
    ),
    Mutant(
        "write-sent-twice",
        "The transport repeats a request after a broken connection: a deletion hits the next object of that name.",
        "controller_runtime/client/transport.py",
        "                retries=False,\n",
        "                retries=2,\n",
        (f"{_RUNTIME}/test_client_faults.py::test_no_whole_reply_is_a_connection_failure_and_nothing_is_sent_twice",),
    ),
)

SECRETS = (
    Mutant(
        "token-in-the-log",
        "A credential ends up in a log line.",
        "controller_runtime/logs.py",
        "        return REDACTED\n    if isinstance(value, str):",
        "        return value\n    if isinstance(value, str):",
        (f"{_RUNTIME}/test_logs.py::test_values_under_secret_names_are_blanked_out_and_similar_names_are_not",),
    ),
    Mutant(
        "user-text-expanded",
        "A user's `$(NAME)` is expanded by the kubelet.",
        "kaito_controller/workloads/containers.py",
        'return text.replace("$", "$$")',
        "return text",
        (f"{_WORKLOADS}/test_purity.py::test_a_literal_reaches_the_process_as_it_was_written",),
    ),
    Mutant(
        "user-text-in-a-shell",
        "Arguments, a user's text among them, are joined and given to a shell.",
        "kaito_controller/workloads/tuning_output.py",
        '        "args": [\n            "append",\n',
        '        "command": ["/bin/sh", "-c"],\n        "args": [\n            "append",\n',
        (f"{_WORKLOADS}/test_purity.py::test_no_container_starts_a_shell",),
    ),
    Mutant(
        "secret-for-the-trainer",
        "The push secret is mounted where user code runs.",
        "kaito_controller/workloads/tuning.py",
        "_trainer(ctx, image, [SHARED_MEMORY, TEMPORARY, config, data, results, *base])",
        "_trainer(ctx, image, [SHARED_MEMORY, TEMPORARY, config, data, results, *base, *([secret] if secret else [])])",
        (f"{_WORKLOADS}/test_tuning.py::test_the_push_secret_is_seen_by_the_pusher_only",),
    ),
    Mutant(
        "shared-launcher-map",
        "One distributed Workspace changes the launcher flags of every later one.",
        "kaito_controller/workloads/inference.py",
        "    return {key: literal(value) for key, value in values.items()}",
        "    return _SHARED.setdefault(tuple(values), {key: literal(value) for key, value in values.items()})\n\n\n"
        "_SHARED: dict[tuple[str, ...], dict[str, str]] = {}",
        (f"{_WORKLOADS}/test_purity.py::test_a_distributed_run_does_not_change_the_flags_of_a_later_single_node_one",),
    ),
)

MUTANTS = (*IDENTITY, *ORDER, *GARBAGE, *STATUS, *RETRIES, *CACHES, *MACHINERY, *SECRETS)
