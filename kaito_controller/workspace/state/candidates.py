"""What a node may be ordered as: the list of candidates of one Workspace, and those of it that could not be had. Pure.

A candidate is an instance type and a capacity type. A Workspace that names one instance type has one candidate;
`resource.instanceTypes` is a list of several, in order. `decide/candidates` decides which of them is taken; here is what one looks like,
in an order and on record.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from controller_runtime.resources import Object
from kaito_controller.api.schema import MAX_CANDIDATES
from kaito_controller.nodeapi.vocabulary import CAPACITY_TYPE, INSTANCE_TYPE, requirement_of

LISTED = 3
"""Candidates that a message names before it only counts the rest."""
QUOTED = 200
"""Characters of a cause in such a message; the record holds more of it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to order a node."""

    instance_type: str
    capacity_type: str = ""
    """`spot`, `on-demand`, or "" where the labels of the Workspace or the provisioner decide."""

    @property
    def key(self) -> tuple[str, str]:
        """By which candidates are compared: Azure's names are the same in any letter case."""
        return self.instance_type.lower(), self.capacity_type

    @property
    def text(self) -> str:
        """As a message names it."""
        return f"{self.instance_type} ({self.capacity_type})" if self.capacity_type else self.instance_type


NOTHING_KNOWN = Candidate("")


@dataclass(frozen=True, slots=True)
class Passed:
    """A candidate that was passed over, and why."""

    candidate: Candidate
    reason: str
    message: str
    at: datetime
    former: bool = False
    """From an earlier round: told still, and tried again."""


def with_passed(known: Iterable[Passed], new: Passed) -> tuple[Passed, ...]:
    """One entry for each candidate, the newest last; no more than there can be candidates."""
    others = [entry for entry in known if entry.candidate.key != new.candidate.key]
    return (*others, new)[-MAX_CANDIDATES:]


def candidate_of(order: Object) -> Candidate:
    """What an object that orders a node asks for; a type of "" when it names none."""
    capacity = requirement_of(order, CAPACITY_TYPE)
    return Candidate(requirement_of(order, INSTANCE_TYPE), capacity)
