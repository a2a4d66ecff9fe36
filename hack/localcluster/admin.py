"""The admin endpoint: JSON over loopback HTTP, by which another process breaks things in a running localcluster and looks at the traces.

A thin table of routes over the objects of the cluster; what each setting means is told where it is carried out. Bad input is answered
400 with the field, the value and the cure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from hack.localcluster.cloud.errors import ArmError
from hack.localcluster.cloud.market import Market
from hack.localcluster.cloud.model import Script, ScriptError
from hack.localcluster.fromjson import read_as
from hack.localcluster.loopback import Exchange, LoopbackServer

if TYPE_CHECKING:
    from hack.localcluster.cluster import LocalCluster

_RECENT = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: the variable part of the path, the query's first values, the parsed body."""

    name: str
    query: dict[str, str]
    body: Any


Action = Callable[["LocalCluster", Asked], Any]


class NotThere(LookupError):
    """The thing named in the path does not exist."""


def _add_fault(cluster: LocalCluster, asked: Asked) -> Any:
    rules = asked.body if isinstance(asked.body, list) else [asked.body]
    return {"ids": cluster.faults.add_json(rules)}


def _remove_fault(cluster: LocalCluster, asked: Asked) -> Any:
    if not cluster.faults.remove(asked.name):
        raise NotThere(f"no fault rule {asked.name!r}")
    return {}


def _set_market(cluster: LocalCluster, asked: Asked) -> Any:
    cluster.cloud.pools.set_market(Market.from_json({**cluster.cloud.pools.market.to_json(), **asked.body}))
    return cluster.cloud.pools.market.to_json()


def _add_script(cluster: LocalCluster, asked: Asked) -> Any:
    cluster.cloud.pools.script(read_as(Script, asked.body, ScriptError))


def _calls(cluster: LocalCluster, _: Asked) -> Any:
    return [asdict(call) for call in list(cluster.cloud.server.calls)[-_RECENT:]]


def _remove_pool(cluster: LocalCluster, asked: Asked) -> Any:
    if not cluster.cloud.pools.remove_behind(asked.name):
        raise NotThere(f"no pool {asked.name!r}")
    return {}


def _change_pool(cluster: LocalCluster, asked: Asked) -> Any:
    pools = cluster.cloud.pools
    unknown = set(asked.body) - {"power", "provisioningState", "release", "evict"}
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: unknown; give power, provisioningState, release or evict")
    if "power" in asked.body:
        pools.set_power(asked.name, asked.body["power"])
    if "provisioningState" in asked.body:
        pools.set_state(asked.name, asked.body["provisioningState"])
    if asked.body.get("evict") and not pools.evict(asked.name):
        raise ValueError(f"evict: {asked.name!r} is no spot pool")
    if asked.body.get("release"):
        pools.release(asked.name)
    return pools.get(asked.name)


def _change_node(cluster: LocalCluster, asked: Asked) -> Any:
    fleet = cluster.actors.fleet
    if fleet.member(asked.name) is None:
        raise NotThere(f"no node {asked.name!r}; there are {', '.join(fleet.names()) or 'none'}")
    if "health" in asked.body:
        fleet.set_health(asked.name, str(asked.body["health"]))
    if asked.body.get("restart"):
        fleet.restart_kubelet(asked.name)
    return {}


def _audit(cluster: LocalCluster, asked: Asked) -> Any:
    wanted = asked.query.get("client", "")
    entries = [asdict(entry) for entry in list(cluster.apiserver.audit)]
    return [entry for entry in entries if wanted in f"{entry}"][-_RECENT:]


ROUTES: tuple[tuple[str, str, str, Action], ...] = (
    ("GET", "/faults", "the rules in force, with counts", lambda c, _: c.faults.to_json()),
    ("POST", "/faults", "add a rule, or a list of rules", _add_fault),
    ("DELETE", "/faults", "remove all rules", lambda c, _: c.faults.clear()),
    ("DELETE", "/faults/{name}", "remove one rule", _remove_fault),
    ("GET", "/pod-faults", "rules for containers", lambda c, _: c.actors.pod_faults.to_json()),
    ("POST", "/pod-faults", "add a rule for containers", lambda c, a: {"id": c.actors.pod_faults.add_json(a.body)}),
    ("DELETE", "/pod-faults", "remove all rules for containers", lambda c, _: c.actors.pod_faults.clear()),
    ("GET", "/nodes", "nodes of the fleet", lambda c, _: c.actors.fleet.names()),
    ("PUT", "/nodes/{name}", '{"health": "ready|not_ready|unreachable"} or {"restart": true}', _change_node),
    ("GET", "/cloud/pools", "all agent pools", lambda c, _: c.cloud.pools.list()),
    ("POST", "/cloud/pools", '{"name", "vm_size", "mode"}: a pool of somebody else', lambda c, a: c.cloud.pools.add_canary(**a.body)),
    ("PUT", "/cloud/pools/{name}", '{"power"}, {"provisioningState"}, {"release": true} or {"evict": true} (spot)', _change_pool),
    ("DELETE", "/cloud/pools/{name}", "remove a pool behind everybody's back", _remove_pool),
    ("GET", "/cloud/market", "quota in cores and stock of sizes", lambda c, _: c.cloud.pools.market.to_json()),
    ("PUT", "/cloud/market", '{"regional": 100, "families": {...}, "stock": {"<size>": "no_capacity"}}', _set_market),
    ("POST", "/cloud/scripts", "decide the outcome of coming operations", _add_script),
    ("DELETE", "/cloud/scripts", "the natural course again", lambda c, _: c.cloud.pools.clear_scripts()),
    ("GET", "/cloud/calls", "the latest ARM calls", _calls),
    ("PUT", "/backends/{name}", '{"namespace", "url"}: who answers behind a Service', lambda c, a: c.backends.put(a.name, a.body)),
    ("GET", "/audit", "the latest requests to the API server; ?client= filters", _audit),
    ("POST", "/save", "write the state file now", lambda c, _: {"saved": c.save()}),
)  # fmt: skip


def dispatch(cluster: LocalCluster, method: str, url: str, body: bytes) -> tuple[int, Any]:
    """Status and JSON value of the reply."""
    parts = urlsplit(url)
    for verb, pattern, _, action in ROUTES:
        match = re.fullmatch(pattern.replace("{name}", "([^/]+)"), parts.path)
        if verb != method or match is None:
            continue
        try:
            parsed = json.loads(body) if body else {}
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            result = action(cluster, Asked((match.groups() or ("",))[0], query, parsed))
        except NotThere as error:
            return 404, {"error": str(error)}
        except ArmError as error:
            return error.status, error.body()
        except (ValueError, TypeError, KeyError) as error:
            return 400, {"error": str(error)}
        return 200, {} if result is None else result
    if method == "GET" and parts.path == "/":
        return 200, [f"{verb} {pattern}: {text}" for verb, pattern, text, _ in ROUTES]
    return 404, {"error": f"{method} {parts.path}: no such route; GET / lists them"}


def admin_server(cluster: LocalCluster, port: int = 0) -> LoopbackServer:
    """The HTTP server of the admin endpoint."""

    def answer(exchange: Exchange) -> None:
        status, value = dispatch(cluster, exchange.command, exchange.path, exchange.body)
        content = json.dumps(value, default=str).encode() + b"\n"
        exchange.reply(status, content, {"Content-Type": "application/json"})

    return LoopbackServer("admin", answer, port)
