"""An order that is deleted before anybody looked is one failed attempt; one that we delete ourselves is none."""

from __future__ import annotations

from controller_runtime.controller.controller import Change
from controller_runtime.resources import Object
from kaito_controller.workspace.observe.vanished import Vanished
from kaito_controller.workspace.state.machines import Order, build_machine, read_machine
from kaito_controller.workspace.state.records import Failure
from kaito_controller.workspace.state.snapshot import Limits, MachinePhase, Wanted
from test.support.snapshots import START, UID, raw_workspace


def gone(attempt: int = 0) -> Object:
    order = build_machine(raw_workspace(), Order(0, attempt), Wanted(1, "t"))
    return {**order, "metadata": {**order["metadata"], "uid": f"order-{attempt}"}}


def test_order_that_vanished_is_shown_as_being_deleted_until_it_is_on_record() -> None:
    vanished = Vanished()
    assert vanished.notice(Change(gone(), None))

    [seen] = vanished.of(UID, {}, START)
    view = read_machine(seen, now=START, limits=Limits())
    assert (view.phase, view.ordinal, view.attempt) == (MachinePhase.DELETING, 0, 0)

    on_record = {0: Failure(1, 1, view.name, "MachineDeleted", "", START)}
    assert vanished.of(UID, on_record, START) == []
    assert vanished.of(UID, {}, START) == [], "it is told once"


def test_what_we_delete_ourselves_has_not_failed() -> None:
    vanished = Vanished()
    vanished.dismiss(["order-0"])
    vanished.notice(Change(gone(), None))

    assert vanished.of(UID, {}, START) == []


def test_changes_that_are_no_end_and_orders_of_others_are_let_pass() -> None:
    vanished = Vanished()
    assert vanished.notice(Change(None, gone()))
    assert vanished.notice(Change(gone(), gone()))
    assert vanished.notice(Change({"metadata": {"name": "stranger", "uid": "s"}}, None))

    assert vanished.of(UID, {}, START) == []


def test_workspace_that_is_gone_leaves_nothing() -> None:
    vanished = Vanished()
    vanished.notice(Change(gone(), None))
    vanished.forget(UID)

    assert vanished.of(UID, {}, START) == []
