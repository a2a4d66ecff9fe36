"""The answers of `plan` and `models` for programs: plain dictionaries, whose keys are the interface of `-o json` and `-o yaml`.

Keys are added, never renamed. Tokens, USD per hour and bytes are numbers; what is not known is null.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kaito_controller.catalog.model import Preset, retirement_text
from kaito_controller.catalog.sizing import HOURS_A_MONTH, HoursRange
from kaito_controller.catalog.sizing.tuning_time import SHARES
from kaito_controller.cli.asked import Asked, Narrowed
from kaito_controller.cli.choices import Choice, pod_flags
from kaito_controller.cli.circumstances import Circumstances

SPOT_PRICES = (
    "Spot nodes are ordered: the prices are those of nodes on demand; "
    "spot nodes cost less, change in price, and may be taken back."
)


def plan_document(asked: Asked, narrowed: Narrowed, choices: Iterable[Choice], known: Circumstances) -> dict[str, Any]:
    """The answer of `plan`, every instance type with it."""
    shown = list(choices)
    return {
        "workspace": asked.name,
        "preset": asked.preset.name,
        "weights": asked.preset.weights.repository or None,
        "purpose": f"{asked.method} tuning" if asked.method else "inference",
        "nodes": asked.nodes,
        "context": narrowed.context,
        "instanceType": asked.type_name,
        "capacityTypes": list(asked.capacity_types),
        "fit": next((c.fitness.value for c in shown if c.asked), "unknown"),
        "hoursPerMonth": HOURS_A_MONTH,
        "tokens": asked.tokens,
        "expectedSeconds": {p: {"seconds": round(t.seconds), "runs": t.runs} for p, t in known.times.items()},
        "quotaCheckedAt": (known.offer.checked_at or None) if known.offer else None,
        "notes": notes(asked, narrowed, shown, known),
        "instanceTypes": [_choice(asked.preset, choice, known) for choice in shown],
    }


def notes(asked: Asked, narrowed: Narrowed, choices: Iterable[Choice], known: Circumstances) -> list[str]:
    """What somebody must know besides the table, in whole sentences."""
    found = [f"kubectl apply will refuse {fault}." for fault in asked.faults]
    choices = list(choices)
    mine = [c for c in choices if c.asked]
    if not mine:
        found.append(f"{asked.type_name} is not in the catalogue, so whether the model fits there is not known.")
    else:
        found += [note for choice in mine for note in (*_of_type(choice, narrowed), *_of_cloud(choice, known))]
    if len(asked.listed) > 1:
        found.append(f"Tried in this order: {', '.join(known_type.name for known_type in asked.listed)}.")
    if asked.spot:
        found.append(
            SPOT_PRICES if len(asked.capacity_types) == 1 else f"{SPOT_PRICES} Nodes on demand are ordered next."
        )
    if not asked.preset.is_sized_by_shape and not asked.method:
        found.append(
            f"{asked.preset.name} runs the program of its own image: context, requests and flags are not planned."
        )
    found += _of_run(asked, choices, known)
    if asked.preset.weights.gated:
        repository, licence = asked.preset.weights.repository, asked.preset.weights.licence
        found.append(
            f"{repository} is gated: accept its licence ({licence}) on the hub first; pulling it takes a token."
        )
    return [*found, *known.remarks]


def _of_run(asked: Asked, choices: Iterable[Choice], known: Circumstances) -> list[str]:
    """From what the hours of a tuning run are predicted, or why they are not."""
    if not asked.method or known.hours is not None:
        return []
    if asked.tokens is None:
        return ["Hours and price of the run: unknown without the size of the data; give --tokens (and --epochs)."]
    least, most = SHARES[asked.method]
    told = (
        f"HOURS and RUN are those of training over {asked.tokens} tokens on GPUs that keep {least:.0%} to {most:.0%} of their data sheet's "
        f"promise, as published for {asked.method} on one A100; start and push come on top, and the nodes alone are priced."
    )
    unknown = any(c.fits and c.hours is None for c in choices)
    return [told, *(["Where HOURS is -, nothing is known of the GPU's or the model's speed."] if unknown else [])]


def _of_cloud(mine: Choice, known: Circumstances) -> list[str]:
    """What the cloud would refuse today, and what a run costs that lasts as long as it is said to."""
    lacking, price = known.lacking(mine.instance_type, mine.nodes), mine.hourly_usd
    found = [f"{lacking.message[0].upper()}{lacking.message[1:]}."] if lacking else []
    if known.hours is not None and price is not None:
        cost = f"{price * known.hours:.2f} USD on {mine.instance_type.name}, nodes only"
        found.append(f"A run of {known.hours:g} hours costs about {cost}.")
    return found


def _of_type(mine: Choice, narrowed: Narrowed) -> list[str]:
    name, price = mine.instance_type.name, mine.hourly_usd
    found = [] if mine.fits else [f"{mine.why if mine.why.startswith(name) else f'{name} does not fit: {mine.why}'}."]
    retirement = retirement_text(mine.instance_type)
    found += [f"{retirement}."] if retirement else []
    if narrowed.most_usd is not None and price is not None and price > narrowed.most_usd:
        found.append(f"{name} costs {price:.2f} USD an hour, above --max-price {narrowed.most_usd:g}.")
    return [*found, *(f"{name}: {caution}." for caution in (mine.plan.cautions if mine.plan and mine.fits else ()))]


def _choice(preset: Preset, choice: Choice, circumstances: Circumstances) -> dict[str, Any]:
    known, plan, priced = choice.instance_type, choice.plan, choice.hourly_usd is not None
    return {
        "name": known.name,
        "cloud": known.cloud,
        "asked": choice.asked,
        "fit": choice.fitness.value,
        "why": choice.why or None,
        "gpu": known.gpu_model,
        "gpusPerNode": known.gpus,
        "gpusPerPod": choice.gpus_per_pod,
        "nodes": choice.nodes,
        "width": _widths(choice),
        "contextTokens": plan.context if plan and choice.fits else None,
        "concurrentRequests": _requests(choice),
        "usdPerHour": _rounded(choice.hourly_usd),
        "usdPerMonth": _rounded(choice.monthly_usd),
        "priceRegion": choice.price_region if priced else None,
        "priceDate": known.price_date if priced else None,
        "retired": not known.current,
        "retirement": known.retirement or None,
        "replacement": known.replacement or None,
        "memoryBytes": {"least": choice.memory.low, "most": choice.memory.high} if choice.memory else None,
        "trainingHours": _range(choice.hours, 3),
        "trainingUsd": _range(choice.run_usd, 2),
        "quota": circumstances.quota(known, choice.nodes),
        "podFlags": pod_flags(preset, choice),
    }


def _widths(choice: Choice) -> dict[str, int] | None:
    if choice.plan is None or not choice.fits:
        return None
    widths = choice.plan.widths
    return {"tensor": widths.tensor, "pipeline": widths.pipeline, "data": widths.data}


def _requests(choice: Choice) -> dict[str, float] | None:
    return {"least": round(choice.requests[0], 1), "most": round(choice.requests[1], 1)} if choice.requests else None


def _range(found: HoursRange | None, digits: int) -> dict[str, float] | None:
    return {"least": round(found.low, digits), "most": round(found.high, digits)} if found else None


def _rounded(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 3)


def models_document(presets: Iterable[Preset]) -> list[dict[str, Any]]:
    """The answer of `models`."""
    return [_model(preset) for preset in presets]


def _model(preset: Preset) -> dict[str, Any]:
    return {
        "name": preset.name,
        "family": preset.family,
        "weights": preset.weights.repository or None,
        "licence": preset.weights.licence or None,
        "gated": preset.weights.gated,
        "private": preset.access == "private",
        "gpuMemoryBytes": preset.inference.total_gpu_memory_bytes,
        "contextTokens": preset.shape.context if preset.shape else None,
        "diskBytes": preset.inference.disk_bytes,
        "tuning": sorted(preset.tuning.methods) if preset.tuning else [],
        "adapters": preset.adapters,
    }
