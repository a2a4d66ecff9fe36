"""Sizing: what fits where, pure arithmetic in bytes and tokens. No clock, client, file or environment.

The public surface, for the admission rules, the controller, the command-line tools and whoever plans with them:

* `plan_serving(shape, card, gpus_per_node=, nodes=, settings=)` → `ServingPlan`: fits / tight / does not fit, widths, context, cache.
* `nodes_needed(shape, card, gpus_per_node)`: the least number of nodes, 0 for never.
* `engine_arguments(plan, settings, …)`: what the engine is told.
* `plan_tuning(shape, card, TuningSettings(…))` → `TuningPlan`: peak memory of a LoRA or QLoRA run as a range, and whether it fits.
* `training_hours(shape, card, method, tokens)` → `HoursRange`: how long such a run takes, None where that is not known.
* `candidates(catalog, preset, …)`: instance types that hold a preset, with plan and list price, cheapest first.
* `list_price`, `best_first`: what to sort any other list of instance types by.
* `fit_inference`, `fit_tuning`: the answer for one Workspace, in words.
* `kv_bytes_per_token`, `sequence_bytes`, `tokens_that_fit`, …: the cache by itself.
"""

from kaito_controller.catalog.sizing.arguments import (
    ENGINE_PREFIX,
    RUNTIME_FLAGS,
    engine_arguments,
    runtime_arguments,
    user_options,
)
from kaito_controller.catalog.sizing.candidates import (
    HOURS_A_MONTH,
    MAX_NODES,
    FittingType,
    best_first,
    candidates,
    card_of,
    list_price,
)
from kaito_controller.catalog.sizing.capability import LEAST_CAPABILITY
from kaito_controller.catalog.sizing.engine import EngineSettingError, EngineSettings, read_engine_settings
from kaito_controller.catalog.sizing.kv_cache import (
    kv_bytes_per_token,
    kv_bytes_per_token_within_window,
    longest_sequence,
    sequence_bytes,
    tokens_that_fit,
)
from kaito_controller.catalog.sizing.node_fit import (
    Fit,
    NodeNeed,
    counts_text,
    gpus_per_pod,
    inference_need,
    node_counts,
    offer_text,
    offers,
    smallest_that_offer,
    suggestion_text,
    tuning_need,
)
from kaito_controller.catalog.sizing.overhead import ByteRange, engine_overhead
from kaito_controller.catalog.sizing.parallelism import Widths, tensor_widths, weights_per_gpu
from kaito_controller.catalog.sizing.plan import Fitness, ServingPlan, TokenRange
from kaito_controller.catalog.sizing.serving import nodes_needed, plan_serving
from kaito_controller.catalog.sizing.shape_fit import (
    fit_inference,
    plan_on_gpus,
    serving_plan,
    shape_suggestions,
    shortfall_text,
    spread_problem,
)
from kaito_controller.catalog.sizing.tuning import TuningPlan, least_settings, plan_tuning
from kaito_controller.catalog.sizing.tuning_fit import fit_tuning, is_tuned_by_shape, tuning_problem, tuning_suggestions
from kaito_controller.catalog.sizing.tuning_settings import TuningSettings, read_tuning_settings
from kaito_controller.catalog.sizing.tuning_time import HoursRange, training_hours

__all__ = [
    "ENGINE_PREFIX",
    "HOURS_A_MONTH",
    "LEAST_CAPABILITY",
    "MAX_NODES",
    "RUNTIME_FLAGS",
    "ByteRange",
    "EngineSettingError",
    "EngineSettings",
    "Fit",
    "Fitness",
    "FittingType",
    "HoursRange",
    "NodeNeed",
    "ServingPlan",
    "TokenRange",
    "TuningPlan",
    "TuningSettings",
    "Widths",
    "best_first",
    "candidates",
    "card_of",
    "counts_text",
    "engine_arguments",
    "engine_overhead",
    "fit_inference",
    "fit_tuning",
    "gpus_per_pod",
    "inference_need",
    "is_tuned_by_shape",
    "kv_bytes_per_token",
    "kv_bytes_per_token_within_window",
    "least_settings",
    "list_price",
    "longest_sequence",
    "node_counts",
    "nodes_needed",
    "offer_text",
    "offers",
    "plan_on_gpus",
    "plan_serving",
    "plan_tuning",
    "read_engine_settings",
    "read_tuning_settings",
    "runtime_arguments",
    "sequence_bytes",
    "serving_plan",
    "shape_suggestions",
    "shortfall_text",
    "smallest_that_offer",
    "spread_problem",
    "suggestion_text",
    "tensor_widths",
    "tokens_that_fit",
    "training_hours",
    "tuning_need",
    "tuning_problem",
    "tuning_suggestions",
    "user_options",
    "weights_per_gpu",
]
