"""What must hold for any model on any card: drawn shapes, cards and settings, and no case that somebody thought of."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, example, given
from hypothesis import strategies as st

from kaito_controller.catalog.cards import Card
from kaito_controller.catalog.shape import AttentionGroup, AttentionKind, Experts, ModelShape
from kaito_controller.catalog.sizing import EngineSettings, Fitness, ServingPlan, plan_serving, sequence_bytes
from kaito_controller.catalog.sizing.quantized import ONLINE
from kaito_controller.catalog.sizing.serving import SPREAD_DENSE, SPREAD_MIXTURE

GIB = 1024**3
GRADES = (Fitness.DOES_NOT_FIT, Fitness.TIGHT, Fitness.FITS)
CARDS = st.builds(
    lambda gib, capability: Card(f"a card {gib}Gi", round(gib * 0.95 * GIB), capability),
    st.sampled_from((8, 16, 24, 40, 48, 80, 94, 141)),
    st.sampled_from((8.0, 8.6, 8.9, 9.0)),
)
GPUS = st.sampled_from((1, 2, 4, 8))


@st.composite
def shapes(draw: st.DrawFn) -> ModelShape:
    """Models from 0.1 to some 500 billion parameters: dense or mixtures, with full, sliding, latent and linear layers."""
    layers, kv_heads = draw(st.integers(2, 96)), draw(st.sampled_from((1, 2, 4, 8, 16)))
    heads, head_size = kv_heads * draw(st.sampled_from((1, 4, 8))), draw(st.sampled_from((64, 96, 128, 256)))
    hidden = draw(st.sampled_from((512, 2048, 4096, 5120, 8192)))
    other = draw(st.integers(0, layers - 1))
    groups = [AttentionGroup("full", layers - other, kv_heads, head_size)]
    kind: AttentionKind = draw(st.sampled_from(("sliding", "latent", "linear")))
    if other and kind == "sliding":
        groups.append(
            AttentionGroup("sliding", other, kv_heads, head_size, window=draw(st.sampled_from((128, 1024, 4096))))
        )
    elif other and kind == "linear":
        groups.append(AttentionGroup("linear", other, state_bytes=draw(st.sampled_from((1 << 16, 1 << 22)))))
    else:
        groups = [AttentionGroup("latent", layers, latent_size=576)] if kind == "latent" else groups
    experts = draw(
        st.none() | st.builds(Experts, st.sampled_from((8, 64, 128)), st.just(4), st.sampled_from((512, 1536)))
    )
    return ModelShape(
        "LlamaForCausalLM", layers, hidden, heads, draw(st.sampled_from((32_000, 128_256, 262_144))),
        draw(st.sampled_from((4096, 32_768, 131_072))), tuple(groups), intermediate=hidden * 3, experts=experts,
        query_head_size=head_size,
    )  # fmt: skip


def rank(plan: ServingPlan) -> int:
    return GRADES.index(plan.fitness)


@given(shapes(), CARDS, GPUS, st.integers(1, 131_072), st.integers(0, 131_072))
def test_a_longer_context_never_needs_less(shape: ModelShape, card: Card, gpus: int, tokens: int, more: int) -> None:
    short, long = (
        plan_serving(shape, card, gpus_per_node=gpus, settings=EngineSettings(max_model_len=n))
        for n in (tokens, tokens + more)
    )

    assert sequence_bytes(shape, tokens + more) >= sequence_bytes(shape, tokens)
    assert rank(long) <= rank(short)
    assert long.fitness is not Fitness.DOES_NOT_FIT or long.shortfall_bytes >= short.shortfall_bytes


SHARED_BY_ALL = ModelShape(
    "LlamaForCausalLM", 2, 4096, 4, 262_144, 131_072, (AttentionGroup("latent", 2, latent_size=576),),
    intermediate=12_288, query_head_size=64,
)  # fmt: skip
"""Each of two GPUs would hold the whole cache, and the libraries that let them talk besides."""


@given(shapes(), CARDS, GPUS)
@example(SHARED_BY_ALL, Card("a card 8Gi", 8_160_437_862, 9.0, ""), 1)
def test_more_gpus_never_fit_fewer_tokens(shape: ModelShape, card: Card, gpus: int) -> None:
    few, many = (plan_serving(shape, card, gpus_per_node=n) for n in (gpus, 2 * gpus))

    assert rank(many) >= rank(few)
    if few.fitness is not Fitness.DOES_NOT_FIT:
        assert many.widths.data * many.possible_tokens.low >= few.widths.data * few.possible_tokens.low
        assert many.context >= few.context or rank(many) > rank(few)


@given(shapes(), CARDS, GPUS, st.integers(1, 60))
def test_a_larger_card_never_fits_fewer_tokens(shape: ModelShape, card: Card, gpus: int, more_gib: int) -> None:
    """Of the same class: above 70 GiB the engine chooses larger batches, which take room."""
    larger = replace(card, memory_bytes=card.memory_bytes + more_gib * GIB)
    assume(larger.is_large == card.is_large)
    plan, other = (plan_serving(shape, one, gpus_per_node=gpus) for one in (card, larger))

    assert rank(other) >= rank(plan)
    if plan.widths == other.widths:
        assert other.kv_bytes.low >= plan.kv_bytes.low


@given(shapes(), CARDS, GPUS, st.sampled_from(sorted(ONLINE)))
def test_quantised_weights_never_take_more_than_full_ones(shape: ModelShape, card: Card, gpus: int, asked: str) -> None:
    settings = EngineSettings(tensor_parallel_size=1)
    full = plan_serving(shape, card, gpus_per_node=gpus, settings=settings)
    small = plan_serving(shape, card, gpus_per_node=gpus, settings=replace(settings, quantization=asked))

    assert small.weight_bytes <= full.weight_bytes
    assert rank(small) >= rank(full)
    assert small.kv_bytes.low >= full.kv_bytes.low


@given(shapes(), CARDS, GPUS)
def test_an_8_bit_cache_never_holds_fewer_tokens(shape: ModelShape, card: Card, gpus: int) -> None:
    settings = EngineSettings(tensor_parallel_size=1)
    full = plan_serving(shape, card, gpus_per_node=gpus, settings=settings)
    small = plan_serving(shape, card, gpus_per_node=gpus, settings=replace(settings, kv_cache_dtype="fp8"))

    assert rank(small) >= rank(full)
    assert small.possible_tokens.low >= full.possible_tokens.low or small.context > full.context


@given(shapes(), CARDS, GPUS)
def test_the_printed_range_is_narrow_and_inside_the_whole_one_and_a_cut_is_said(
    shape: ModelShape, card: Card, gpus: int
) -> None:
    plan = plan_serving(shape, card, gpus_per_node=gpus)
    spread = SPREAD_MIXTURE if shape.is_mixture else SPREAD_DENSE
    middle = (plan.kv_tokens.low + plan.kv_tokens.high) / 2

    assert plan.kv_tokens.high - middle <= spread * middle + 1
    assert plan.possible_tokens.low <= plan.kv_tokens.low <= plan.kv_tokens.high <= plan.possible_tokens.high
    assert any("may hold" in caution for caution in plan.cautions) == (plan.kv_tokens != plan.possible_tokens)


@given(shapes(), CARDS, GPUS)
def test_what_is_planned_fits_what_was_counted(shape: ModelShape, card: Card, gpus: int) -> None:
    plan = plan_serving(shape, card, gpus_per_node=gpus)

    assert plan.gpus_per_node <= gpus
    assert shape.heads % plan.widths.tensor == 0
    assert plan.overhead.low <= plan.overhead.high
    if plan.fitness is Fitness.FITS:
        assert plan.context <= shape.context
        assert plan.kv_tokens.high >= plan.context
    if plan.fitness is Fitness.DOES_NOT_FIT:
        assert plan.problem
        assert plan.context == 0
