"""The Transformers engine: one loaded model, its adapters, and the runners that generate with it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncGenerator, Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

from model_runtime.adapters import combine, found, shapes
from model_runtime.clock import now_s
from model_runtime.errors import UserError
from model_runtime.serve.engine.base import Started
from model_runtime.serve.engine.on_transformers.batched import BatchedRunner
from model_runtime.serve.engine.on_transformers.job import GenerationFailed, Job, Runner, Sampling
from model_runtime.serve.engine.on_transformers.loading import Loaded, load
from model_runtime.serve.engine.on_transformers.openai_app import build_app
from model_runtime.serve.engine.on_transformers.requests import GenerateArguments
from model_runtime.serve.engine.on_transformers.sequential import SequentialRunner
from model_runtime.serve.engine.on_transformers.turns import Turns
from model_runtime.serve.metrics import EngineMetrics
from model_runtime.serve.settings import ServeSettings

log = logging.getLogger(__name__)

DEFAULT_WIDTH = 16
LEAST_BLOCKS = 64
_RESHAPING = "while adapters change"


class TransformersEngine:
    """See `Engine`; also what the OpenAI routes of this engine call."""

    name = "transformers"
    generate_arguments = frozenset(GenerateArguments.model_fields)

    def __init__(self, settings: ServeSettings, folder: Path, adapters: found.Adapters, model_name: str) -> None:
        self.settings = settings
        self.model_name = model_name
        self.metrics = EngineMetrics(model_name)
        self.adapters: dict[str, Path] = {}
        """Model names of their own, and where they come from."""
        self.loaded: Loaded
        self.max_model_len = 0
        self._folder = folder
        self._found = adapters
        self._width = settings.max_num_seqs or DEFAULT_WIDTH
        self._turns = Turns(self._switch, self._width)
        self._wrapped: Any = None
        self._batched: BatchedRunner | None = None
        self._sequential: SequentialRunner
        self._last_token_at = now_s()

    async def start(self) -> Started:
        """See `Engine`."""
        await asyncio.to_thread(self._load)
        self._batched = await self._batched_runner()
        await self._first_token(self._sequential)
        return Started(build_app(self), self.model_name, self._width)

    def _load(self) -> None:
        loaded = load(self._folder, self.settings)
        for adapter in self._found.listed:
            shapes.check(adapter, loaded.model)
        if self._found.combined:
            loaded = replace(loaded, model=combine.merge(loaded.model, self._found, self.settings.combination_type))
        else:
            for adapter in self._found.listed:
                self._attach(loaded.model, adapter.name, adapter.folder)
        loaded.model.requires_grad_(False)
        self.loaded = loaded
        self.max_model_len = self._context()
        self._sequential = SequentialRunner(loaded.model, loaded.pad_token)
        self._activate(None)
        log.info("loaded %s: %s; %s tokens of context", self.model_name, self._found.describe(), self.max_model_len)

    @property
    def vocabulary(self) -> int:
        """How many tokens the model knows."""
        return int(self.loaded.model.config.get_text_config().vocab_size)

    def _blocks(self) -> int:
        """Of the cache on a CPU. Whoever asks for a context and not for blocks gets those that it takes, up to what the model can use."""
        wanted = min(self.settings.max_model_len, self.loaded.context)
        return self.settings.cache_blocks or max(LEAST_BLOCKS, math.ceil(wanted / self.settings.block_tokens))

    def _context(self) -> int:
        limit, what = self.loaded.context, "the model was made for"
        cache = self._blocks() * self.settings.block_tokens
        if self.loaded.model.device.type == "cpu" and cache < limit:
            limit, what = cache, "the cache holds (--cache-blocks times --block-tokens)"
        wanted = self.settings.max_model_len
        if wanted > limit:
            raise UserError(
                "--max-model-len", wanted, f"is more than the {limit} tokens that {what}", f"use at most {limit}"
            )
        return wanted or limit

    async def _batched_runner(self) -> BatchedRunner | None:
        model = self.loaded.model
        if not getattr(model, "_supports_attention_backend", False):
            log.info("%s cannot be batched by Transformers: its requests run one after another", type(model).__name__)
            return None
        settings, changing = self.settings, self.settings.allow_runtime_adapters or bool(self.adapters)
        cpu = {
            "num_blocks": self._blocks(),
            "page_size": settings.block_tokens,
            "max_batch_tokens": settings.batch_tokens,
        }
        cache = cpu if model.device.type == "cpu" else {}
        runner = BatchedRunner(model, self.loaded.end_tokens, cache, adapters=changing)
        try:
            await self._first_token(runner)
        except GenerationFailed as error:
            log.warning("Transformers cannot batch this model (%s): its requests run one after another", error)
            await asyncio.to_thread(runner.stop)
            return None
        return runner

    async def _first_token(self, runner: Runner) -> None:
        job = Job(prompt=(0, 1), max_new_tokens=1, sampling=Sampling(temperature=0.0))
        async for _ in runner.run(job):
            pass

    async def generate(self, job: Job) -> AsyncGenerator[list[int], None]:
        """New tokens of one job, when its turn has come; closing the iterator cancels it."""
        begun, last = now_s(), 0.0
        self.metrics.prompt_tokens.inc(len(job.prompt))
        async with self._turns.turn(job.adapter):
            self._last_token_at = now_s()
            runner: Runner = self._sequential if job.generate_kwargs or self._batched is None else self._batched
            async with contextlib.aclosing(runner.run(job)) as pieces:
                async for tokens in pieces:
                    now = now_s()
                    (self.metrics.between_tokens if last else self.metrics.first_token).observe(now - (last or begun))
                    last = self._last_token_at = now
                    self.metrics.generated_tokens.inc(len(tokens))
                    yield tokens
        self.metrics.latency.observe(now_s() - begun)

    def metrics_text(self) -> bytes:
        """Its metrics, as of now."""
        self.metrics.running.set(self._turns.running)
        self.metrics.waiting.set(self._turns.waiting)
        self.metrics.cache_usage.set(self._batched.cache_usage() if self._batched else 0.0)
        return self.metrics.text()

    def trouble(self) -> str | None:
        """See `Engine`."""
        silent_s = now_s() - self._last_token_at
        if self._turns.running and silent_s > self.settings.stall_timeout_s:
            return f"requests are running and no token came for {silent_s:.0f} s"
        return (self._batched or self._sequential).trouble()

    async def stop(self) -> None:
        """See `Engine`."""
        for runner in (self._batched, self._sequential):
            if runner is not None:
                await asyncio.to_thread(runner.stop)

    # -- adapters ------------------------------------------------------------------------------------------------------------------

    async def load_adapter(self, name: str, folder: Path) -> None:
        """Adds an adapter to the running server, between two turns; UserError when it does not fit."""
        adapter = await asyncio.to_thread(found.read, folder)
        if name in self.adapters or name == self.model_name:
            raise UserError("lora_name", name, "is served already", "unload it first, or take another name")
        async with self._turns.turn(_RESHAPING):
            with self._paused():
                shapes.check(adapter, self.loaded.model)
                self._attach(self.loaded.model, name, folder)
                self.loaded.model.requires_grad_(False)

    async def unload_adapter(self, name: str) -> None:
        """Forgets an adapter; requests for it that wait are answered with 404 from then on."""
        if name not in self.adapters:
            raise UserError("lora_name", name, "is not served", f"name one of {', '.join(self.adapters) or 'none'}")
        async with self._turns.turn(_RESHAPING):
            with self._paused():
                del self.adapters[name]
                self._wrapped.delete_adapter(name)

    def _attach(self, model: Any, name: str, folder: Path) -> None:
        self._wrapped = combine.attach(model, name, folder, self._wrapped)
        self.adapters[name] = folder

    async def _switch(self, key: Hashable) -> None:
        if key != _RESHAPING:
            await asyncio.to_thread(self._switch_now, key)

    def _switch_now(self, key: Hashable) -> None:
        with self._paused():
            self._activate(None if key is None else str(key))

    def _paused(self) -> contextlib.AbstractContextManager[None]:
        """Nothing is computed meanwhile; a cancelled job could otherwise still be in its last step."""
        if self._batched is None or self._batched.trouble():
            return contextlib.nullcontext()
        return self._batched.manager.pause()  # type: ignore[no-any-return]

    def _activate(self, name: str | None) -> None:
        if self._wrapped is None:
            return
        tuner = self._wrapped.base_model
        if name is None or name not in self.adapters:
            tuner.disable_adapter_layers()
            return
        tuner.enable_adapter_layers()
        tuner.set_adapter(name)
        self.loaded.model.requires_grad_(False)
