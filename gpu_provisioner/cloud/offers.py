"""The port to what the cloud sells: quota of each family in cores, and which instance types this subscription may order.

Beside `port.py` and not in it, because all else works without: an identity that may not read this, or a cloud that has no such question,
leaves the halves of an `Offer` unknown. Unknown is None and never an empty table, which would say that nothing is sold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

TOTAL = "cores"
"""The family under which all cores of the region on demand are counted together."""
SPOT = "spot"
"""The family under which all spot cores of the region are counted; they count in no other."""


@dataclass(frozen=True, slots=True)
class CoreQuota:
    """Cores of one family in the region: what may be used and what is."""

    limit: int
    used: int


@dataclass(frozen=True, slots=True)
class OfferedType:
    """One instance type with a GPU. `restriction`: why this subscription may not order it here, in the cloud's word; "" when it may."""

    family: str
    cores: int
    restriction: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """What was read. None: it could not be, and nothing follows from that."""

    region: str
    families: Mapping[str, CoreQuota] | None
    instance_types: Mapping[str, OfferedType] | None


class InstanceOffers(Protocol):
    """What the cloud sells in the region of the cluster."""

    def read_offer(self) -> Offer:
        """Ask now; a few bounded requests. What the identity may not read is None. Raises CloudError when the cloud cannot be asked."""
