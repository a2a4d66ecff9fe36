"""Rules fire at exactly the call they name, and at no other."""

from __future__ import annotations

import threading

import pytest

from hack.localcluster.faults import Call, Fault, FaultKind, FaultPlan, FaultPlanError, Rule

GET_POD = Call("kube", "get", resource="pods", namespace="default", name="web-0", client="alice kubectl/1.37")


def status(code: int = 503) -> Fault:
    return Fault(FaultKind.STATUS, code=code)


def test_empty_plan_decides_nothing() -> None:
    assert FaultPlan().decide(GET_POD) is None


@pytest.mark.parametrize(
    ("rule", "fires"),
    [
        (Rule(status()), True),
        (Rule(status(), verb="get,list"), True),
        (Rule(status(), verb="create"), False),
        (Rule(status(), name="web-*", client="*kubectl*"), True),
        (Rule(status(), name="db-*"), False),
        (Rule(status(), server="arm"), False),
        (Rule(status(), subresource=""), True),
        (Rule(status(), subresource="status"), False),
    ],
)
def test_every_given_field_must_match(rule: Rule, fires: bool) -> None:
    plan = FaultPlan()
    plan.add(rule)
    assert (plan.decide(GET_POD) is not None) == fires


def test_rule_fires_on_the_nth_match_and_the_given_number_of_times() -> None:
    plan = FaultPlan()
    rule = plan.add(Rule(status(), verb="get", nth=2, times=2))
    assert [plan.decide(GET_POD) is not None for _ in range(5)] == [False, True, True, False, False]
    assert plan.fired(rule) == 2


def test_rule_with_times_zero_fires_until_it_is_removed() -> None:
    plan = FaultPlan()
    rule = plan.add(Rule(status(), times=0))
    assert all(plan.decide(GET_POD) for _ in range(10))
    assert plan.remove(rule)
    assert plan.decide(GET_POD) is None
    assert not plan.remove(rule)


def test_stream_faults_meet_events_and_request_faults_meet_requests() -> None:
    plan = FaultPlan()
    plan.add(Rule(Fault(FaultKind.CUT), verb="watch", times=0))
    plan.add(Rule(status(), verb="watch", times=0))
    opened = plan.decide(Call("kube", "watch", resource="pods"))
    delivered = plan.decide(Call("kube", "watch", resource="pods", name="web-0", event="ADDED"))
    assert opened is not None
    assert delivered is not None
    assert (opened.kind, delivered.kind) == (FaultKind.STATUS, FaultKind.CUT)


def test_first_rule_that_fires_wins_and_later_ones_still_count() -> None:
    plan = FaultPlan()
    plan.add(Rule(status(500)))
    plan.add(Rule(status(429), nth=2))
    codes = [fault.code for fault in (plan.decide(GET_POD), plan.decide(GET_POD)) if fault]
    assert codes == [500, 429]


def test_what_is_held_goes_on_when_the_rule_is_removed() -> None:
    plan = FaultPlan()
    rule = plan.add(Rule(Fault(FaultKind.HOLD), verb="watch"))
    fault = plan.decide(Call("kube", "watch", event="ADDED"))
    assert fault is not None
    released: list[bool] = []
    waiter = threading.Thread(target=lambda: released.append(plan.wait_released(fault, timeout_s=10)))
    waiter.start()
    assert plan.remove(rule)
    waiter.join(10)
    assert released == [True]


def test_a_fault_with_seconds_lets_go_by_itself() -> None:
    plan = FaultPlan()
    plan.add(Rule(Fault(FaultKind.BLACK_HOLE, seconds=0.01)))
    fault = plan.decide(GET_POD)
    assert fault is not None
    assert plan.wait_released(fault) is False


def test_plan_survives_the_way_through_json() -> None:
    plan = FaultPlan()
    plan.add(Rule(Fault(FaultKind.STATUS, code=429, retry_after_s=1.5), verb="create", resource="machines", nth=3))
    again = FaultPlan()
    again.add_json(plan.to_json())
    assert again.to_json() == plan.to_json()


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({"fault": {"kind": "explode"}}, "rules.0.fault.kind: 'explode'"),
        ({"fault": {"kind": "status"}, "verbs": "get"}, "rules.0.verbs"),
        ({}, "rules.0.fault"),
    ],
)
def test_unreadable_rule_is_refused_with_field_and_value(rule: dict[str, object], named: str) -> None:
    plan = FaultPlan()
    with pytest.raises(FaultPlanError, match=named):
        plan.add_json([{"fault": {"kind": "delay"}}, rule][1:])
    assert plan.to_json() == []


def test_rule_that_could_never_fire_is_refused() -> None:
    with pytest.raises(FaultPlanError, match="nth=0"):
        FaultPlan().add(Rule(status(), nth=0))
