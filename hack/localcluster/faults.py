"""One plan of faults for both HTTP servers of localcluster: the Kubernetes API and the Azure Resource Manager stand-in.

A test (in process, or over the admin endpoint as JSON) adds rules; a server asks `decide` once per request, and once per event that
it is about to deliver on a watch. The plan only decides; carrying a fault out (closing a socket, holding a stream) is the server's
part, because only the server knows what "before commit" means. Matching is by exact value, by shell pattern, and by the n-th
match, so that a fault can be put at one precise call boundary.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from hack.localcluster.fromjson import STRICT, read_as


class FaultKind(StrEnum):
    """What goes wrong. The second half happens to events of a watch, the first to requests (the opening of a watch is one)."""

    STATUS = "status"
    """Answer `code` with `reason` and `message` instead of doing the work."""
    DELAY = "delay"
    """Wait `seconds`, then do the work as usual."""
    DROP_BEFORE_COMMIT = "drop_before_commit"
    """Close the connection without doing the work."""
    COMMIT_THEN_DROP = "commit_then_drop"
    """Do the work, then close the connection without a reply."""
    TRUNCATE = "truncate"
    """Do the work, send half of the reply's body under its full Content-Length, close."""
    BLACK_HOLE = "black_hole"
    """Accept the request and never answer (until the client leaves, the rule goes or `seconds` have passed)."""
    GARBAGE = "garbage"
    """Do the work, answer 200 with a body that is not JSON."""
    BODY = "body"
    """Do the work, answer 200 with `message` as the body (the cloud only)."""

    HOLD = "hold"
    """The stream stands still before this event, in order, until the rule is removed or `seconds` have passed."""
    DROP_EVENT = "drop_event"
    """This event is never delivered on this stream."""
    DUPLICATE = "duplicate"
    """This event is delivered twice."""
    REORDER = "reorder"
    """This event is delivered after the next `events` ones."""
    CUT = "cut"
    """The connection breaks before this event."""
    GONE = "gone"
    """An ERROR event with a 410 Status comes instead of this event, then the stream ends."""
    REPLAY_FROM = "replay_from"
    """Everything since `resource_version` is delivered once more before this event."""
    SILENT = "silent"
    """From this event on nothing comes any more, bookmarks included, but the connection stays open."""


STREAM_KINDS = frozenset(
    {
        FaultKind.HOLD,
        FaultKind.DROP_EVENT,
        FaultKind.DUPLICATE,
        FaultKind.REORDER,
        FaultKind.CUT,
        FaultKind.GONE,
        FaultKind.REPLAY_FROM,
        FaultKind.SILENT,
    }
)


class FaultPlanError(ValueError):
    """A rule that cannot be read; the message names the field, the value and the cure."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, or one watch event about to be delivered (then `event` is its type and `name` the object's name).

    `verb` is the RBAC verb (get, list, watch, create, update, patch, delete, deletecollection); ARM calls use get, list,
    create_or_update and delete, with resource `agentPools` or `operations`. `client` is the user name and user agent, joined by a space.
    """

    server: str
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    client: str = ""
    event: str = ""


@dataclass(frozen=True)
class Fault:
    """What a server is asked to do. Fields that a kind does not use are ignored. `rule_id` says which rule decided."""

    __pydantic_config__ = STRICT

    kind: FaultKind
    code: int = 500
    reason: str = "InternalError"
    message: str = "injected fault"
    retry_after_s: float | None = None
    seconds: float | None = None
    events: int = 1
    resource_version: str = ""
    rule_id: str = ""


@dataclass(frozen=True)
class Rule:
    """When to fail. Every given field must match; texts are shell patterns (`*`, `?`, `[ab]`), and "*" matches anything.

    The rule fires on its `nth` match (counted from 1) and on the `times - 1` following ones; `times=0` means for ever.
    `verb` may list several verbs, separated by commas. `event` applies to stream faults only: ADDED, MODIFIED, DELETED, BOOKMARK.
    `id` names the rule for `remove`; one is given when it is empty.
    """

    __pydantic_config__ = STRICT

    fault: Fault
    server: str = "*"
    verb: str = "*"
    group: str = "*"
    resource: str = "*"
    subresource: str = "*"
    namespace: str = "*"
    name: str = "*"
    client: str = "*"
    event: str = "*"
    nth: int = 1
    times: int = 1
    id: str = ""

    def matches(self, call: Call) -> bool:
        """Whether the rule is about this call, apart from the counting."""
        if (self.fault.kind in STREAM_KINDS) != bool(call.event):
            return False
        if not any(fnmatchcase(call.verb, verb.strip()) for verb in self.verb.split(",")):
            return False
        return all(
            pattern == "*" or fnmatchcase(value, pattern)
            for pattern, value in (
                (self.server, call.server),
                (self.group, call.group),
                (self.resource, call.resource),
                (self.subresource, call.subresource),
                (self.namespace, call.namespace),
                (self.name, call.name),
                (self.client, call.client),
                (self.event, call.event),
            )
        )


@dataclass(slots=True)
class _Counted:
    rule: Rule
    seen: int = 0
    fired: int = 0


@dataclass(slots=True)
class FaultPlan:
    """The rules in force, in order; the first that fires wins. Thread-safe; an empty plan costs one attribute read."""

    _rules: dict[str, _Counted] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def add(self, rule: Rule) -> str:
        """Put a rule in force; returns its id. A rule with the id of an older one replaces it and counts from zero."""
        if rule.nth < 1 or rule.times < 0:
            raise FaultPlanError(f"rule nth={rule.nth} times={rule.times}: nth counts from 1, times from 0 (for ever)")
        with self._changed:
            rule_id = rule.id or f"rule-{next(self._ids)}"
            self._rules[rule_id] = _Counted(replace(rule, id=rule_id))
            self._changed.notify_all()
        return rule_id

    def remove(self, rule_id: str) -> bool:
        """Take a rule back, which also lets go of what it holds; False when there is none of that id."""
        with self._changed:
            found = self._rules.pop(rule_id, None) is not None
            self._changed.notify_all()
        return found

    def clear(self) -> None:
        """Take all rules back."""
        with self._changed:
            self._rules.clear()
            self._changed.notify_all()

    @property
    def is_empty(self) -> bool:
        """Whether there is no rule at all: then a server need not even describe its calls."""
        return not self._rules

    def decide(self, call: Call) -> Fault | None:
        """What is to go wrong with this call, None for nothing. Counts the match on every rule that it fits."""
        if self.is_empty:
            return None
        with self._changed:
            chosen: Fault | None = None
            for counted in self._rules.values():
                rule = counted.rule
                if not rule.matches(call):
                    continue
                counted.seen += 1
                in_range = counted.seen >= rule.nth and (rule.times == 0 or counted.seen < rule.nth + rule.times)
                if in_range and chosen is None:
                    counted.fired += 1
                    chosen = replace(rule.fault, rule_id=rule.id)
            return chosen

    def fired(self, rule_id: str) -> int:
        """How often a rule has fired; 0 for an unknown one. A test asserts on it, so that no fault passes for injected that was not."""
        with self._changed:
            counted = self._rules.get(rule_id)
            return counted.fired if counted else 0

    def in_force(self, rule_id: str) -> bool:
        """Whether the rule is still there: what `hold` and `black_hole` wait on."""
        return rule_id in self._rules

    def wait_released(self, fault: Fault, timeout_s: float | None = None) -> bool:
        """Block until the fault's rule is removed or its `seconds` (at most `timeout_s`) have passed; True when released by removal."""
        limits = [limit for limit in (fault.seconds, timeout_s) if limit is not None]
        with self._changed:
            return self._changed.wait_for(
                lambda: fault.rule_id not in self._rules, timeout=min(limits) if limits else None
            )

    def to_json(self) -> list[dict[str, Any]]:
        """The rules with their counts (`seen`, `fired`), as the admin endpoint shows them."""
        with self._changed:
            return [
                {**asdict(counted.rule), "seen": counted.seen, "fired": counted.fired}
                for counted in self._rules.values()
            ]

    def add_json(self, rules: Iterable[Mapping[str, Any]]) -> list[str]:
        """Add rules given as JSON; all or none. `seen` and `fired` are ignored, so that what `to_json` gave can be given back."""
        plain = [{key: value for key, value in rule.items() if key not in ("seen", "fired")} for rule in rules]
        return [self.add(rule) for rule in read_as(list[Rule], plain, FaultPlanError, "rules")]
