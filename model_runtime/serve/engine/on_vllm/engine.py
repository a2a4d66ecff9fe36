"""The vLLM engine: vLLM's own OpenAI application, built from its own arguments, inside our server.

Nothing of vLLM is replaced. What it offers (routes, streaming, tool calls, structured output, LoRA, metrics) is reached through
`serve.front` exactly as the other engine is.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

from model_runtime.adapters.found import Adapters
from model_runtime.errors import UserError
from model_runtime.serve.engine.base import Scope, Started
from model_runtime.serve.engine.on_vllm.arguments import build_arguments, utilization
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
DEFAULT_UTILIZATION = 0.9


class VllmEngine:
    """See `Engine`."""

    name = "vllm"
    forwards_generate_kwargs = False

    def __init__(self, parsed: ParsedSettings, folder: Path, adapters: Adapters, model_name: str) -> None:
        self._parsed, self._folder, self._adapters, self._model_name = parsed, folder, adapters, model_name
        self._resources = contextlib.AsyncExitStack()
        self._client: Any = None

    async def start(self) -> Started:
        """See `Engine`."""
        if self._adapters.combined:
            self._folder = self._merged()
        arguments = self.arguments()
        app = await self._application(arguments)
        await self._first_token(app)
        return Started(app, self._model_name, int(arguments.max_num_seqs))

    def arguments(self) -> Namespace:
        """As vLLM's own parser understands them; UserError names what it refuses."""
        settings = self._parsed.settings
        if settings.allow_runtime_adapters:
            os.environ["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
        share = utilization(settings.gpu_memory_utilization, *_gpu_memory())
        argv = build_arguments(settings, self._folder, self._adapters, self._model_name, self._parsed.vllm, share)
        log.info("vLLM's arguments: %s", " ".join(argv))
        return parse_arguments(argv)

    async def _application(self, arguments: Namespace) -> Any:
        from vllm.entrypoints.openai.api_server import build_app, build_async_engine_client, init_app_state

        try:
            self._client = await self._resources.enter_async_context(build_async_engine_client(arguments))
        except (ValueError, OSError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            cure = "lower --max-model-len, use more GPU memory, or correct the section `vllm` of --config"
            raise UserError("--weights", self._folder, f"vLLM cannot serve it ({first})", cure) from error
        tasks = await self._client.get_supported_tasks()
        app = build_app(arguments, tasks)
        await init_app_state(self._client, app.state, arguments, tasks)
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
        if self._client is None:
            return "vLLM's engine is not running"
        return "vLLM's engine has ended; its log says why" if self._client.errored else None

    async def stop(self) -> None:
        """See `Engine`."""
        await self._resources.aclose()


def parse_arguments(argv: list[str]) -> Namespace:
    """What vLLM's own parser makes of them; UserError with its words when it refuses."""
    from vllm.entrypoints.openai.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = make_arg_parser(FlexibleArgumentParser(exit_on_error=False))
    refused: list[str] = []
    parser.error = refused.append
    arguments = parser.parse_args(argv)
    if refused:
        raise UserError("vllm", " ".join(argv), refused[0], "correct the section `vllm` of --config")
    validate_parsed_serve_args(arguments)
    return arguments  # type: ignore[no-any-return]


def _gpu_memory() -> tuple[int, int]:
    """(free, total) bytes of the first GPU, asked in a process of its own: a CUDA context here would stay and cost memory."""
    done = subprocess.run(  # noqa: S603 - a constant program
        [sys.executable, "-c", _MEMORY], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return int(DEFAULT_UTILIZATION * 2**40) + 600 * 2**20, 2**40
    free, total = done.stdout.split()
    return int(free), int(total)
