"""GPU cards as a program sees them: memory that the driver shows, and what the card can compute.

A card's name promises more than there is: of the 16 GB of a T4 a program sees 14.58 GiB. Entries of instance types name the card; its
facts are stated once, in `data/cards.yaml`, with their sources.
"""

from __future__ import annotations

from dataclasses import dataclass

from kaito_controller.catalog.units import GIB


@dataclass(frozen=True, slots=True)
class Card:
    """One kind of GPU."""

    name: str
    """As `InstanceType.gpu_model` and its nominal size name it, such as `NVIDIA A100 80Gi`."""
    memory_bytes: int
    """What a program can see, before it has allocated anything."""
    compute_capability: float
    """7.0 V100, 7.5 T4, 8.0 A100, 8.6 A10, 8.9 L4 and L40S, 9.0 H100."""
    source: str = ""
    tflops: float = 0.0
    """Promised by the maker for dense 16-bit matrices, in 10^12 operations per second; 0 when that is not known."""

    @property
    def memory_gib(self) -> float:
        """For people."""
        return self.memory_bytes / GIB

    @property
    def has_bfloat16(self) -> bool:
        """Since Ampere (8.0)."""
        return self.compute_capability >= 8.0

    @property
    def is_large(self) -> bool:
        """What vLLM takes for a card of the H100 class: 70 GiB or more, and no A100. It then batches four times as much."""
        return self.memory_bytes >= 70 * GIB and "A100" not in self.name
