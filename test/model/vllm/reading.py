"""A program that tells how one version of vLLM takes what our server would start it with; which one, PYTHONPATH decides.

From stdin, JSON: a list of cases, each with `flags` of the server and `adapters` (name and rank). To stdout, the last line, JSON: the
version, the options that its parser has, the paths of its application, and for each case what the parser understood, or its refusal.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from model_runtime.adapters.found import Adapter, Adapters
from model_runtime.errors import UserError
from model_runtime.serve.engine.on_vllm.engine import VllmEngine, parse_arguments
from model_runtime.serve.engine.on_vllm.places import PLACES, from_vllm
from model_runtime.serve.generate_kwargs import Arguments
from model_runtime.serve.settings import parse

FOLDER = Path("/weights")
UTILIZATION = 0.9
"""What the operator tells anyway; else each case would ask for a GPU in a process of its own."""


def main() -> int:
    cases = json.load(sys.stdin)
    import vllm
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    arguments = parse_arguments(["--model", str(FOLDER)])
    options = from_vllm("make_arg_parser")(FlexibleArgumentParser())._option_string_actions
    app = from_vllm("build_app")(arguments, ("generate",), None)
    answer = {
        "version": vllm.__version__,
        "places": {name: from_vllm(name).__module__ for name in PLACES},
        "options": sorted(option.removeprefix("--") for option in options if option.startswith("--")),
        "one_at_a_time": sorted(
            option.removeprefix("--")
            for option, action in options.items()
            if isinstance(action, argparse._AppendAction)
        ),
        "paths": sorted({str(getattr(route, "path", "")) for route in app.routes}),
        "fields": [sorted(route.model_fields) for route in (ChatCompletionRequest, CompletionRequest)],
        "sampling": _sampling(CompletionRequest),
        "cases": [_understood(case) for case in cases],
    }
    print(json.dumps(answer, default=str))
    return 0


def _sampling(request: Any) -> dict[str, Any]:
    """What vLLM samples by, for a request of `/chat` with all that every engine honours."""
    told = Arguments(
        eos_token_id=[7, 9], stop_strings=["."], min_new_tokens=4, num_return_sequences=2, temperature=0.5
    ).fields(5, 512)
    body = request(prompt="a", **told)
    params = body.to_sampling_params(body.max_tokens, {})
    wanted = ("stop_token_ids", "ignore_eos", "include_stop_str_in_output", "stop", "min_tokens", "max_tokens", "n")
    return {name: getattr(params, name) for name in (*wanted, "temperature", "top_k")}


def _understood(case: dict[str, Any]) -> dict[str, Any]:
    adapters = Adapters(tuple(Adapter(name, FOLDER / name, rank, "base", None) for name, rank in case["adapters"]))
    try:
        parsed = parse([f"--gpu-memory-utilization={UTILIZATION}", *case["flags"]], {})
        arguments = vars(VllmEngine(parsed, FOLDER, adapters, parsed.settings.model_name).arguments())
    except UserError as error:
        return {"refused": str(error)}
    modules = [(module.name, module.path) for module in arguments["lora_modules"] or []]
    return {**arguments, "lora_modules": modules}


if __name__ == "__main__":
    sys.exit(main())
