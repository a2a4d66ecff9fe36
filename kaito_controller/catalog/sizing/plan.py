"""What a plan for serving says: the answer and every number behind it, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kaito_controller.catalog.sizing.overhead import ByteRange
from kaito_controller.catalog.sizing.parallelism import Widths


class Fitness(Enum):
    """Whether a model can be served on given GPUs."""

    FITS = "fits"
    TIGHT = "tight"
    DOES_NOT_FIT = "does not fit"


@dataclass(frozen=True, slots=True)
class TokenRange:
    """At least and at most so many tokens."""

    low: int
    high: int

    def __contains__(self, tokens: object) -> bool:
        return isinstance(tokens, int) and self.low <= tokens <= self.high


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """The answer. Bytes are on one GPU."""

    fitness: Fitness
    widths: Widths
    nodes: int
    """Nodes that share one copy of the model."""
    weight_bytes: int
    overhead: ByteRange
    kv_bytes: ByteRange
    """Room for the cache: at least (with the most overhead) and at most. Negative when there is none."""
    kv_tokens: TokenRange
    """Tokens in the cache over all sequences, for one data-parallel copy: `possible_tokens`, cut where that is too wide to be of use."""
    possible_tokens: TokenRange
    """The same from the whole range of the work space, as wide as it is."""
    context: int
    """The context that is planned for (`--max-model-len`), in tokens; 0 when nothing fits."""
    asked_context: int
    """The context that must fit: the user's, or the least that is of use."""
    sequences: int
    """Sequences in one step of the engine, for whose sampling the overhead has room (`--max-num-seqs`)."""
    dtype: str
    quantization: str
    shortfall_bytes: int
    """What is missing on each GPU, even with the least overhead; 0 when it fits."""
    problem: str = ""
    """Why it does not fit, in one clause with the numbers; "" when it fits."""
    cautions: tuple[str, ...] = ()
    """What a reader of the numbers should know."""

    @property
    def gpus_per_node(self) -> int:
        """GPUs that each pod asks for."""
        return self.widths.gpus_per_node

    @property
    def concurrency(self) -> tuple[float, float]:
        """Sequences of the full context that the cache holds at once: at least and at most, over all data-parallel copies."""
        if not self.context:
            return 0.0, 0.0
        copies = self.widths.data
        return copies * self.kv_tokens.low / self.context, copies * self.kv_tokens.high / self.context
