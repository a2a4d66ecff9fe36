"""What may stand in the catalogue and in the offer of instance types, both ConfigMaps, drawn by hypothesis. Pure.

Most entries have the keys and the fields that the readers know, because what no reader opens cannot do harm.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from test.fuzz.values import DEEP, junk, moments, numbers, texts

MODELS = ("mine", "qwen3-8b", "phi-3-mini-128k-instruct", "falcon-7b")
TYPES = ("Standard_NC6s_v3", "Standard_NC12s_v3", "Standard_NC24ads_A100_v4", "Standard_Mine")
HUGE = 10**300
sizes = st.one_of(st.sampled_from(["16Gi", "0Gi", "-1Gi", "1e999Gi", "9" * 400 + "Gi", "1e-999999999", "٣Gi"]), numbers)
counts = st.one_of(st.sampled_from([1, 8, 64, 4096, HUGE, -1, 0, 1.5, "8"]), numbers)
shapes = st.fixed_dictionaries(
    {"architecture": st.sampled_from(["Qwen3ForCausalLM", "", "X" * 5000])},
    optional={
        **dict.fromkeys(("layers", "hidden", "heads", "kvHeads", "headSize", "intermediate", "vocabulary", "context"), counts),
        **dict.fromkeys(("sliding", "experts", "latentSize", "weightBytes", "loadedBytes", "norms"), st.one_of(junk, counts)),
        "quantization": texts,
    },
)  # fmt: skip
_GOOD_SHAPE = {
    "architecture": "Qwen3ForCausalLM", "layers": 36, "hidden": 4096, "heads": 32, "kvHeads": 8, "headSize": 128,
    "intermediate": 12288, "vocabulary": 151936, "context": 40960,
}  # fmt: skip


@st.composite
def presets(draw: st.DrawFn) -> Any:
    """One that can be used but for what one field says, or anything."""
    shape = draw(st.one_of(shapes, shapes.map(lambda odd: {**_GOOD_SHAPE, **odd})))
    entry = {
        "family": draw(st.sampled_from(["mine", ""])),
        "runtime": draw(st.sampled_from(["vllm", "vllm", "image", "x"])),
        "shape": shape,
        "hub": {"repository": draw(st.sampled_from(["Mine/Mine", "a", "../..", "a/" + "b" * 5000]))},
    }
    more = draw(st.dictionaries(st.sampled_from(["inference", "launcher", "tuning", "image", "tag"]), junk, max_size=2))
    return draw(st.one_of(st.just(entry), st.just(entry | more), junk))


@st.composite
def instance_types(draw: st.DrawFn) -> Any:
    """A type with one odd number, or anything."""
    entry: dict[str, Any] = {"gpus": 1, "gpuMemory": "16Gi", "gpuModel": "V100"}
    odd = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "gpus": counts, "gpuMemory": sizes, "vcpus": counts, "gpuModel": texts, "retirement": moments,
                "prices": st.dictionaries(st.sampled_from(["swedencentral", "X", ""]), counts, max_size=2),
                "priceDate": st.sampled_from(["2026-01-01", "9999", "2026-99-99"]),
                "card": st.fixed_dictionaries({"model": texts, "nominal": sizes, "memory": counts, "capability": counts}),
            },
        )
    )  # fmt: skip
    return draw(st.one_of(st.just(entry | odd), junk))


prices = st.one_of(
    junk,
    st.fixed_dictionaries(
        {
            "date": st.sampled_from(["2026-01-01", "2099-99-99", ""]),
            "regions": st.dictionaries(
                st.sampled_from(["swedencentral", "x"]), st.dictionaries(st.sampled_from(TYPES), counts), max_size=2
            ),
        }
    ),
)


catalogue_data = st.one_of(
    st.tuples(st.sampled_from(MODELS).map(lambda name: f"preset.{name}.yaml"), presets().map(json.dumps)),
    st.tuples(st.sampled_from(TYPES).map(lambda name: f"sku.{name}.yaml"), instance_types().map(json.dumps)),
    st.tuples(st.just("prices.mine.yaml"), prices.map(json.dumps)),
    st.tuples(
        st.sampled_from(
            [f"alias.{MODELS[0]}", f"fits.{MODELS[0]}", f"preset.{MODELS[0]}.yaml", f"sku.{TYPES[3]}.yaml"]
        ),
        st.one_of(texts, st.sampled_from(["a: &a [*a]", "? " * 5000, "x: 1" + ":1" * 9000, DEEP])),
    ),
).map(lambda pair: {pair[0]: pair[1]})
"""One key of the catalogue and its text. JSON is YAML."""


@st.composite
def offers(draw: st.DrawFn) -> str:
    """`offer.json` of a provisioner that is mad."""
    quota = st.one_of(junk, st.fixed_dictionaries({"name": texts, "limit": counts, "used": counts}))
    sku = st.one_of(
        junk,
        st.fixed_dictionaries(
            {
                "family": st.sampled_from(["standardNCSv3Family", "", "x" * 5000]),
                "cores": counts,
                "restricted": junk,
                "reason": texts,
            }
        ),
    )
    families = st.dictionaries(st.sampled_from(["standardNCSv3Family", "cores", "spot", ""]), quota, max_size=3)
    offer = {
        "checkedAt": draw(st.one_of(texts, moments)),
        "region": draw(texts),
        "families": draw(st.one_of(junk, families)),
        "skus": draw(st.one_of(junk, st.dictionaries(st.sampled_from(TYPES), sku, max_size=3))),
    }
    return draw(st.one_of(st.just(json.dumps(offer)), texts))
