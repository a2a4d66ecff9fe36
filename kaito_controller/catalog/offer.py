"""What the cloud would still sell: quotas and instance types, as a provisioner publishes them in one ConfigMap.

Pure. The text is read by one total, bounded decoder: whatever is absent, has another shape or cannot be read is unknown, and nothing
follows from what is unknown. Families and types are compared without regard to case, as clouds write both in several ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller_runtime.untrusted import integer, json_in, mapping, text

CONFIG_MAP = "kaito-instance-offer"
KEY = "offer.json"
"""Name and key of the ConfigMap, in the namespace of the operators. `gpu_provisioner/offer` writes it."""

_MOST_CHARACTERS = 500_000
_ALL_FAMILIES = "cores"
"""The entry for all cores of the region on demand together."""
_SPOT = "spot"
"""The entry for all spot cores of the region; they count in no other."""
_NAMES = {_ALL_FAMILIES: "all cores", _SPOT: "spot cores"}


@dataclass(frozen=True, slots=True)
class FamilyQuota:
    """Cores of one family: what may be used, and what was in use when it was read."""

    name: str
    limit: int
    used: int

    @property
    def free(self) -> int:
        return max(0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class OfferedType:
    """One instance type as the cloud lists it; `restriction`: why this subscription may not order it, "" when it may."""

    name: str
    family: str
    cores: int
    restriction: str = ""


@dataclass(frozen=True, slots=True)
class InstanceOffer:
    """What was published. Empty tables say nothing at all."""

    checked_at: str = ""
    """When it was read, as it was written (RFC 3339)."""
    region: str = ""
    families: Mapping[str, FamilyQuota] = field(default_factory=dict)
    types: Mapping[str, OfferedType] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why an order would be refused, in a sentence, and by how many cores it is too large (0: the type is not sold)."""

    message: str
    missing_cores: int = 0


def read_offer(published: object) -> InstanceOffer | None:
    """The published offer; None when there is none, or none that can be read."""
    found = json_in(published, limit=_MOST_CHARACTERS)
    if not isinstance(found, dict):
        return None
    families = (_quota(name, entry) for name, entry in mapping(found.get("families")).items())
    types = (_type(name, entry) for name, entry in mapping(found.get("skus")).items())
    return InstanceOffer(
        _word(found.get("checkedAt")),
        _word(found.get("region")),
        {quota.name.lower(): quota for quota in families if quota is not None},
        {kind.name.lower(): kind for kind in types if kind is not None},
    )


def shortage(offer: InstanceOffer | None, instance_type: str, nodes: int, *, spot: bool = False) -> Shortage | None:
    """Why `nodes` more nodes of that type could not be had; None when they could, and when that is not known."""
    kind = offer.types.get(instance_type.lower()) if offer is not None else None
    if offer is None or kind is None or nodes < 1:
        return None
    if kind.restriction:
        return Shortage(f"{kind.name} is not sold to this subscription in {offer.region} ({kind.restriction})")
    needed = kind.cores * nodes
    short = [quota for quota in _quotas(offer, kind, spot=spot) if quota.free < needed]
    if not short:
        return None
    worst = min(short, key=lambda quota: quota.free)
    return Shortage(_too_little(offer, kind, worst, nodes), needed - worst.free)


def is_known(offer: InstanceOffer | None, instance_type: str, *, spot: bool = False) -> bool:
    """Whether the offer tells both whether that type is sold and what its quota is."""
    kind = offer.types.get(instance_type.lower()) if offer is not None else None
    return offer is not None and kind is not None and (_SPOT if spot else kind.family.lower()) in offer.families


def _quotas(offer: InstanceOffer, kind: OfferedType, *, spot: bool) -> list[FamilyQuota]:
    """Those that nodes of the type count in, as far as they are known."""
    names = (_SPOT,) if spot else (kind.family.lower(), _ALL_FAMILIES)
    return [offer.families[name] for name in names if name in offer.families]


def _too_little(offer: InstanceOffer, kind: OfferedType, quota: FamilyQuota, nodes: int) -> str:
    needed = kind.cores * nodes
    what = _NAMES.get(quota.name, quota.name)
    return (
        f"the quota of {what} in {offer.region} has {quota.free} of {quota.limit} cores free, and {nodes} x {kind.name} "
        f"{'needs' if nodes == 1 else 'need'} {needed}: {needed - quota.free} short (as of {offer.checked_at})"
    )


def _quota(name: object, entry: object) -> FamilyQuota | None:
    limit, used = (_count(mapping(entry).get(key)) for key in ("limit", "used"))
    return None if limit is None or used is None else FamilyQuota(_word(name), limit, used)


def _type(name: object, entry: object) -> OfferedType | None:
    found = mapping(entry)
    cores, family = _count(found.get("cores")), _word(found.get("family"))
    if not cores or not family:
        return None
    restriction = (_word(found.get("reason")) or "restricted") if found.get("restricted") is True else ""
    return OfferedType(_word(name), family, cores, restriction)


def _count(value: object) -> int | None:
    """A number of cores; None, which is unknown, for anything else."""
    found = integer(value, least=-1, most=10**9, default=-1)
    return None if found < 0 else found


def _word(value: object) -> str:
    return " ".join(text(value, 100).split())
