"""What a FaultPlan does to requests: what the client sees, and what the server has done all the same."""

from __future__ import annotations

import time

import pytest
import urllib3

from hack.localcluster.apiserver.server import ApiServer
from hack.localcluster.faults import Fault, FaultKind, Rule
from test.support.raw_api import RawApi

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
BODY = {"metadata": {"name": "c"}}
Cluster = tuple[ApiServer, RawApi]


def on_create(kind: FaultKind, **fields: object) -> Rule:
    """A rule for the next create of ConfigMap `c`."""
    return Rule(Fault(kind, **fields), verb="create", resource="configmaps", name="c", id="rule")  # type: ignore[arg-type]


def exists(api: RawApi) -> bool:
    """Whether the ConfigMap is there."""
    return api.get(f"{CONFIG_MAPS}/c").code == 200


def test_status_fault_answers_instead_of_working(cluster: Cluster) -> None:
    server, api = cluster
    server.faults.add(
        on_create(FaultKind.STATUS, code=429, reason="TooManyRequests", message="slow down", retry_after_s=7)
    )
    refused = api.post(CONFIG_MAPS, BODY)
    assert (refused.code, refused.reason, refused.headers["Retry-After"]) == (429, "TooManyRequests", "7")
    assert not exists(api)
    assert server.faults.fired("rule") == 1
    api.post(CONFIG_MAPS, BODY).expect(201)


@pytest.mark.parametrize(("kind", "done"), [(FaultKind.DROP_BEFORE_COMMIT, False), (FaultKind.COMMIT_THEN_DROP, True)])
def test_dropped_connection_leaves_the_work_done_or_not(cluster: Cluster, kind: FaultKind, done: bool) -> None:
    server, api = cluster
    server.faults.add(on_create(kind))
    with pytest.raises(urllib3.exceptions.ProtocolError):
        api.post(CONFIG_MAPS, BODY)
    assert exists(api) is done


def test_truncated_reply_breaks_off_in_the_middle(cluster: Cluster) -> None:
    server, api = cluster
    server.faults.add(on_create(FaultKind.TRUNCATE))
    with pytest.raises(urllib3.exceptions.HTTPError):
        api.post(CONFIG_MAPS, BODY)
    assert exists(api)


def test_garbage_is_no_json(cluster: Cluster) -> None:
    server, api = cluster
    server.faults.add(on_create(FaultKind.GARBAGE))
    reply = api.post(CONFIG_MAPS, BODY)
    assert (reply.code, isinstance(reply.body, str)) == (200, True)
    assert exists(api)


def test_delay_only_delays(cluster: Cluster) -> None:
    server, api = cluster
    server.faults.add(on_create(FaultKind.DELAY, seconds=0.2))
    began = time.monotonic()
    api.post(CONFIG_MAPS, BODY).expect(201)
    assert time.monotonic() - began >= 0.2


def test_black_hole_swallows_until_its_time_is_up(cluster: Cluster) -> None:
    server, api = cluster
    server.faults.add(on_create(FaultKind.BLACK_HOLE, seconds=0.1))
    with pytest.raises(urllib3.exceptions.ProtocolError):
        api.post(CONFIG_MAPS, BODY)
    assert not exists(api)


def test_fault_hits_the_nth_call_of_one_client_only(cluster: Cluster) -> None:
    server, api = cluster
    fault = Fault(FaultKind.STATUS, code=503, reason="ServiceUnavailable")
    server.faults.add(Rule(fault, verb="get", resource="configmaps", client="*conformance*", nth=2, id="rule"))
    codes = [api.get(f"{CONFIG_MAPS}/none").code for _ in range(3)]
    assert codes == [404, 503, 404]


def test_dropped_requests_are_in_the_audit_log_with_code_zero(cluster: Cluster) -> None:
    server, api = cluster
    server.faults.add(on_create(FaultKind.COMMIT_THEN_DROP))
    with pytest.raises(urllib3.exceptions.ProtocolError):
        api.post(CONFIG_MAPS, BODY)
    api.get(f"{CONFIG_MAPS}/c").expect(200)
    ours = [(entry.verb, entry.name, entry.code) for entry in server.audit if entry.resource == "configmaps"]
    assert ours == [("create", "c", 0), ("get", "c", 200)]
    assert {entry.agent for entry in server.audit} == {"conformance/1"}
