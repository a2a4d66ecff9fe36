"""NetworkPolicies of the cluster, enforced on its nodes: the ingress rules, by nftables, for the pods that are there at that moment.

Our CNI plugins enforce none. A test that asks who may reach whom calls `enforced`; a policy's outgoing rules and later pods are left out,
and a node reaches its own pods, as Kubernetes says of the kubelet's probes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from hack.envtest.nodes.node import Node

Object = dict[str, Any]
TABLE = "inet network-policies"


@contextmanager
def enforced(nodes: list[Node], policies: list[Object], pods: list[Object], namespaces: list[Object]) -> Iterator[None]:
    """As long as this lasts. `pods` of all namespaces."""
    text = rules(policies, pods, namespaces)
    with ExitStack() as stack:
        for node in nodes:
            node.sandbox.run("nft", "-f", "-", stdin=text)
            stack.callback(node.sandbox.run, "nft", "delete", "table", *TABLE.split())
        yield


def rules(policies: list[Object], pods: list[Object], namespaces: list[Object]) -> str:
    """An nftables script. What is routed to a chosen pod is dropped but for what some rule of a policy lets in."""
    chosen = [
        (pod["status"]["podIP"], policy)
        for policy in policies
        for pod in pods
        if "Ingress" in policy["spec"].get("policyTypes", ["Ingress"])
        and pod["metadata"]["namespace"] == policy["metadata"]["namespace"]
        and pod["status"].get("podIP")
        and _matches(policy["spec"]["podSelector"], pod)
    ]
    lines = [line for address, policy in chosen for line in _accept(address, policy, pods, namespaces)]
    lines += [f"ip daddr {address} drop" for address, _ in chosen]
    body = "\n".join(
        ["type filter hook forward priority 0; policy accept;", "ct state established,related accept", *lines]
    )
    return f"table {TABLE} {{\nchain routed {{\n{body}\n}}\n}}\n"


def _accept(address: str, policy: Object, pods: list[Object], namespaces: list[Object]) -> Iterator[str]:
    for rule in policy["spec"].get("ingress") or []:
        peers = [source for peer in rule.get("from") or [] for source in _sources(peer, policy, pods, namespaces)]
        if rule.get("from") and not peers:
            continue
        source = f"ip saddr {{ {', '.join(sorted(peers))} }} " if peers else ""
        for port in rule.get("ports") or [{}]:
            target = f"{port.get('protocol', 'TCP').lower()} dport {port['port']} " if port else ""
            yield f"ip daddr {address} {source}{target}accept"


def _sources(peer: Object, policy: Object, pods: list[Object], namespaces: list[Object]) -> Iterator[str]:
    """Addresses of the pods that a rule's `from` names."""
    if "ipBlock" in peer:
        yield peer["ipBlock"]["cidr"]
        return
    allowed = {policy["metadata"]["namespace"]}
    if "namespaceSelector" in peer:
        allowed = {each["metadata"]["name"] for each in namespaces if _matches(peer["namespaceSelector"], each)}
    for pod in pods:
        named = pod["metadata"]["namespace"] in allowed and _matches(peer.get("podSelector", {}), pod)
        if named and pod["status"].get("podIP"):
            yield pod["status"]["podIP"]


def _matches(selector: Object, thing: Object) -> bool:
    if selector.get("matchExpressions"):
        raise NotImplementedError("our policies select by matchLabels; matchExpressions would have to be added here")
    labels = thing["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
