"""The vLLM engine: vLLM's own OpenAI application, built from its own arguments, inside our server.

Nothing of vLLM is replaced. What it offers (routes, streaming, tool calls, structured output, LoRA, metrics) is reached through
`serve.front` exactly as the other engine is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from model_runtime.adapters.found import Adapters
from model_runtime.errors import UserError
from model_runtime.serve import nodes
from model_runtime.serve.engine.base import Scope, Started
from model_runtime.serve.engine.elsewhere import answered_elsewhere
from model_runtime.serve.engine.on_transformers.loading import check_folder
from model_runtime.serve.engine.on_vllm import causes
from model_runtime.serve.engine.on_vllm.arguments import build_arguments, utilization
from model_runtime.serve.engine.on_vllm.places import from_vllm
from model_runtime.serve.exchange import call
from model_runtime.serve.settings import ParsedSettings

log = logging.getLogger(__name__)

_MEMORY = "import torch; print(*torch.cuda.mem_get_info())"
_LOOPBACK_SCOPE: Scope = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "scheme": "http",
    "headers": [],
}
MOST_WORDS = 300
"""Characters of vLLM's own words in a sentence of ours."""
_OTHER_FORMS = {"model", "load-format", "config-format", "hf-config-path"}
"""Options with which the folder need not be one of Hugging Face's form."""
DEFAULT_UTILIZATION = 0.9
"""Where no GPU can be asked: vLLM's own default."""


class VllmEngine:
    """See `Engine`."""

    name = "vllm"
    generate_arguments: frozenset[str] = frozenset()

    def __init__(self, parsed: ParsedSettings, folder: Path, adapters: Adapters, model_name: str) -> None:
        self._parsed, self._folder, self._adapters, self._model_name = parsed, folder, adapters, model_name
        self._errors = Path()
        self._client: Any = None
        self._executor: Any = None
        """Of a node that only computes."""
        self._living = contextlib.AsyncExitStack()

    async def start(self) -> Started:
        """See `Engine`."""
        if self._adapters.combined:
            self._folder = await asyncio.to_thread(self._merged)
        if not _OTHER_FORMS & {name.replace("_", "-") for name in self._parsed.vllm}:
            check_folder(self._folder)
        self._errors = await asyncio.to_thread(causes.listen)
        arguments = await asyncio.to_thread(self.arguments)
        if nodes.node(self._parsed.vllm)[0]:
            self._executor = await self._loaded(_executor, arguments)
            return Started(answered_elsewhere, self._model_name, 1)
        app = await self._application(arguments)
        await self._first_token(app)
        # As vLLM's own server does: its figures in the log, and what was made at the start out of the garbage collector's way.
        await self._living.enter_async_context(app.router.lifespan_context(app))
        return Started(app, self._model_name, int(arguments.max_num_seqs))

    def arguments(self) -> Namespace:
        """As vLLM's own parser understands them; UserError names what it refuses."""
        settings = self._parsed.settings
        from_vllm("cli_env_setup")()
        if settings.allow_runtime_adapters:
            os.environ["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
        share = settings.gpu_memory_utilization or _share_of_memory()
        argv = build_arguments(settings, self._folder, self._adapters, self._model_name, self._parsed.vllm, share)
        log.info("vLLM's arguments: %s", " ".join(argv))
        return parse_arguments(argv)

    async def _loaded(self, load: Callable[[Namespace], Any], arguments: Namespace) -> Any:
        try:
            # In a thread: it takes as long as the weights take to load, and /metrics, /health and SIGTERM are to be answered meanwhile.
            return await asyncio.to_thread(load, arguments)
        except (ValueError, OSError, RuntimeError) as error:
            log.exception("vLLM did not start")
            words = causes.first(self._errors) or _first_words(error)
            cure = "lower --max-model-len, use more GPU memory, or correct the section `vllm` of --config"
            raise UserError("--weights", self._folder, f"vLLM cannot serve it ({_cut(words)})", cure) from error

    async def _application(self, arguments: Namespace) -> Any:
        self._client = await self._loaded(_engine_client, arguments)
        await self._client.reset_mm_cache()
        tasks = await self._client.get_supported_tasks()
        app = from_vllm("build_app")(arguments, tasks, self._client.model_config)
        try:
            await from_vllm("init_app_state")(self._client, app.state, arguments, tasks)
        except (ValueError, RuntimeError) as error:
            # It loads the adapters, and does not say which of them it could not.
            names = ", ".join(adapter.name for adapter in self._adapters.listed)
            if not names:
                raise
            cure = "use adapters that were trained on this model"
            raise UserError("adapters", names, f"vLLM cannot load them ({_first_words(error)})", cure) from error
        return app

    async def _first_token(self, app: Any) -> None:
        """vLLM calls itself healthy before it has generated anything; some failures show with the first token only."""
        body = {"model": self._model_name, "prompt": "a", "max_tokens": 1, "temperature": 0}
        reply = await call(
            app, {**_LOOPBACK_SCOPE, "client": ("127.0.0.1", 0), "server": ("127.0.0.1", 0)}, "/v1/completions", body
        )
        if reply.status != 200:
            cause = reply.body.decode(errors="replace")[:300]
            raise UserError(
                "--weights", self._folder, f"vLLM loaded it and cannot generate ({cause})", "use --engine=transformers"
            )

    def _merged(self) -> Path:
        """Base and adapters at their strengths as one folder of weights: PEFT's work, done once, before vLLM starts."""
        from model_runtime.adapters import combine, shapes
        from model_runtime.serve.engine.on_transformers.loading import load

        target = Path(tempfile.mkdtemp(prefix="merged-", dir=self._parsed.settings.weights_folder))
        loaded = load(self._folder, self._parsed.settings)
        for adapter in self._adapters.listed:
            shapes.check(adapter, loaded.model)
        combine.merge(loaded.model, self._adapters, self._parsed.settings.combination_type).save_pretrained(target)
        loaded.tokenizer.save_pretrained(target)
        return target

    def trouble(self) -> str | None:
        """See `Engine`."""
        if self._executor is not None:
            return "a process of vLLM's has ended; the log says why" if self._executor.is_failed else None
        if self._client is None:
            return "vLLM's engine is not running"
        return "vLLM's engine has ended; its log says why" if self._client.errored else None

    async def stop(self) -> None:
        """See `Engine`."""
        await self._living.aclose()
        if self._executor is not None:
            await asyncio.to_thread(self._executor.shutdown)
        if self._client is not None:
            await asyncio.to_thread(self._client.shutdown, self._client.vllm_config.shutdown_timeout)


def _engine_client(arguments: Namespace) -> Any:
    """The engine in processes of its own, as vLLM's `build_async_engine_client` makes it; that one would hold up the event loop."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.async_llm import AsyncLLM

    asked = AsyncEngineArgs.from_cli_args(arguments)
    server = UsageContext.OPENAI_API_SERVER
    return AsyncLLM.from_vllm_config(
        vllm_config=asked.create_engine_config(usage_context=server),
        usage_context=server,
        enable_log_requests=asked.enable_log_requests,
        aggregate_engine_logging=asked.aggregate_engine_logging,
        disable_log_stats=asked.disable_log_stats,
    )


def _executor(arguments: Namespace) -> Any:
    """The processes of a node that only computes, as `vllm serve --headless` makes them; returns when all nodes have loaded."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.executor.multiproc_executor import MultiprocExecutor

    asked = AsyncEngineArgs.from_cli_args(arguments)
    return MultiprocExecutor(asked.create_engine_config(usage_context=UsageContext.OPENAI_API_SERVER, headless=True))


def _first_words(error: Exception) -> str:
    """What is wrong, without what a validating library writes around it."""
    found = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
    return _cut((found.strip().splitlines() or [type(error).__name__])[0])


def _cut(words: str) -> str:
    return words[:MOST_WORDS].rstrip(". ")


def parse_arguments(argv: list[str]) -> Namespace:
    """What vLLM's own parser makes of them; UserError with its words when it, or its check of what belongs together, refuses."""
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = from_vllm("make_arg_parser")(FlexibleArgumentParser())
    parser.error = _refuse
    try:
        arguments = parser.parse_args(argv)
        from_vllm("validate_parsed_serve_args")(arguments)
    except (_RefusedError, ValueError, TypeError) as error:
        cure = "correct --vllm.<option>, or the section `vllm` of --config"
        raise UserError("vllm", " ".join(argv), str(error), cure) from error
    return arguments  # type: ignore[no-any-return]


class _RefusedError(Exception):
    """What the parser would have said before it ended the program."""


def _refuse(message: str) -> NoReturn:
    raise _RefusedError(message)


def _share_of_memory() -> float:
    """What is free on the first GPU, less a reserve. A process of its own asks: a CUDA context here would stay and cost memory."""
    done = subprocess.run(  # noqa: S603 - a constant program
        [sys.executable, "-c", _MEMORY], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return DEFAULT_UTILIZATION
    free, total = done.stdout.split()
    return utilization(int(free), int(total))
