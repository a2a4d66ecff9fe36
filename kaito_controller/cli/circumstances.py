"""What a plan knows beyond the catalogue: what the cloud would still sell, how long things take here, how long a run is said to last. Pure.

Without a cluster nothing is known of the cloud, and times are the published ones. What is unknown is said to be so, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kaito_controller.catalog.model import InstanceType
from kaito_controller.catalog.offer import InstanceOffer, Shortage, is_known, shortage
from kaito_controller.catalog.units import count_of
from kaito_controller.cli.ages import duration
from kaito_controller.cli.phase_durations import LABELS, Expected, expected

PUBLISHED_SOURCE = "published for a 27B model on one A100 node of AKS"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Of one plan."""

    offer: InstanceOffer | None = None
    times: Mapping[str, Expected] = field(default_factory=expected)
    hours: float | None = None
    """How long a tuning run is expected to last, by whoever asks."""
    has_cluster: bool = False
    remarks: tuple[str, ...] = ()
    """What of the cluster could not be read or used, in whole sentences."""
    spot: bool = False
    """Spot nodes are ordered, which have a quota of their own."""

    def quota(self, instance_type: InstanceType, nodes: int) -> str:
        """`enough`, `short by 24 cores`, `not sold`, or `unknown`."""
        lacking = self.lacking(instance_type, nodes)
        if lacking is not None:
            return f"short by {lacking.missing_cores} cores" if lacking.missing_cores else "not sold"
        return "enough" if is_known(self.offer, instance_type.name, spot=self.spot) else "unknown"

    def lacking(self, instance_type: InstanceType, nodes: int) -> Shortage | None:
        """Why so many nodes could not be had; None when they could, and when nobody knows."""
        return shortage(self.offer, instance_type.name, nodes, spot=self.spot)


def times_text(known: Circumstances, method: str) -> str:
    """How long until it is ready; of a tuning run until training begins."""
    phases = {phase: told for phase, told in known.times.items() if not method or phase != "serving"}
    parts = ", ".join(f"{LABELS[phase]} {duration(told.seconds)}" for phase, told in phases.items())
    total = duration(sum(told.seconds for told in phases.values()))
    return f"Expected time {'until training' if method else 'to ready'}: {total} ({parts}; {_source(phases)})."


def _source(phases: Mapping[str, Expected]) -> str:
    """Of which phases this cluster's own histogram tells, and where the others are from."""
    own = [LABELS[phase] for phase, told in phases.items() if told.runs]
    if not own:
        return PUBLISHED_SOURCE
    runs = max(told.runs for told in phases.values())
    told = f"medians of {'up to ' if len(own) > 1 else ''}{count_of(runs, 'run')} in this cluster"
    others = [LABELS[phase] for phase, told in phases.items() if not told.runs]
    return f"{' and '.join(own)}: {told}; {' and '.join(others)}: {PUBLISHED_SOURCE}" if others else told


def quota_text(known: Circumstances) -> str:
    """Where the quota in the table is from, or why there is none."""
    if known.offer is not None:
        return f"Quota as published for {known.offer.region or 'the cluster'} at {known.offer.checked_at or 'an unknown time'}."
    if known.has_cluster:
        return "Quota: unknown; no ConfigMap kaito-instance-offer can be read (the README of gpu_provisioner says how)."
    return "Quota: unknown without a cluster."
