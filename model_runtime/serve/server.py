"""One server process from first to last: listen, fetch the weights, load, serve, and stop without dropping what runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import uvicorn

from model_runtime.adapters import found
from model_runtime.errors import UserError
from model_runtime.serve import nodes
from model_runtime.serve.engine.base import Engine
from model_runtime.serve.engine.choose import choose, gpus_here, vllm_is_installed
from model_runtime.serve.engine.elsewhere import Elsewhere
from model_runtime.serve.front import Front, stage_setter
from model_runtime.serve.metrics import FrontMetrics
from model_runtime.serve.settings import CLOSING_TIMEOUT_S, ParsedSettings, ServeSettings
from model_runtime.weights.fetch import fetch
from model_runtime.weights.progress import Progress
from model_runtime.weights.source import Source, parse_source

log = logging.getLogger(__name__)


async def serve(parsed: ParsedSettings, environment: Mapping[str, str]) -> bool:
    """Runs until SIGTERM or SIGINT, and tells whether the model was loaded by then; raises UserError for what a user can put right."""
    metrics = FrontMetrics()
    front = Front(parsed.settings, metrics)
    listener = _Listener(front, parsed.settings)
    async with listener.running():
        loading = asyncio.create_task(_load(parsed, front, metrics, environment))
        stopped = asyncio.create_task(listener.stop_asked.wait())
        await asyncio.wait({loading, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not loading.done():
            loading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await loading
            return False
        engine = loading.result()
        await _until_stopped(front, stopped)
        await _drain(front, parsed.settings)
        await engine.stop()
    return True


async def _load(parsed: ParsedSettings, front: Front, metrics: FrontMetrics, environment: Mapping[str, str]) -> Engine:
    settings, say = parsed.settings, stage_setter(front)
    source = parse_source(settings)
    if parsed.helper:
        log.info("the first process of this node has this one's GPU; nothing is loaded here, /health answers 200")
        return await _attached(Elsewhere(_model_name(settings, source)), front)
    adapters = found.find(settings.adapters_folder, environment)
    choice = choose(settings.engine, await asyncio.to_thread(gpus_here), vllm_installed=vllm_is_installed())
    log.info("engine: %s, because %s", choice.engine, choice.reason)
    metrics.info.labels(choice.engine, choice.reason).set(1)
    say(f"getting the weights from {source}")
    progress = Progress(metrics.weights_total.set, metrics.weights_fetched.set)
    folder = await asyncio.to_thread(fetch, source, settings, progress)
    say(f"loading the model in {folder}")
    engine = _engine(choice.engine, parsed, folder, adapters, _model_name(settings, source))
    await _attached(engine, front)
    part, parts = nodes.node(parsed.vllm)
    what = f"part {part + 1} of {parts} computes" if part else f"{_model_name(settings, source)} is served"
    log.info("%s; /health answers 200", what)
    return engine


async def _attached(engine: Engine, front: Front) -> Engine:
    front.attach(engine, await engine.start())
    return engine


def _engine(name: str, parsed: ParsedSettings, folder: Path, adapters: found.Adapters, model_name: str) -> Engine:
    if name == "vllm":
        from model_runtime.serve.engine.on_vllm.engine import VllmEngine

        return VllmEngine(parsed, folder, adapters, model_name)
    if (parts := nodes.node(parsed.vllm)[1]) > 1:
        cure = "serve with vLLM on GPUs of compute capability 8.0 or newer, or take a node that holds the model"
        raise UserError("nnodes", parts, "the Transformers engine serves on one node", cure)
    from model_runtime.serve.engine.on_transformers.engine import TransformersEngine

    return TransformersEngine(parsed.settings, folder, adapters, model_name)


def _model_name(settings: ServeSettings, source: Source) -> str:
    return settings.model_name or source.model_name


async def _until_stopped(front: Front, stopped: asyncio.Task[bool]) -> None:
    """Also looks at the engine: one that has died is reported at once, not at the next request."""
    said: str | None = None
    while not stopped.done():
        await asyncio.wait({stopped}, timeout=1.0)
        trouble = front.trouble()
        if trouble != said and trouble is not None:
            log.error("the model cannot generate: %s", trouble)
        said = trouble


async def _drain(front: Front, settings: ServeSettings) -> None:
    front.draining = True
    log.info("stopping: new requests are refused, %d running ones have %g s", front.in_flight, settings.drain_timeout_s)
    try:
        await asyncio.wait_for(front.drained(), settings.drain_timeout_s)
    except TimeoutError:
        log.warning("%d requests did not end within --drain-timeout-s=%g", front.in_flight, settings.drain_timeout_s)
        front.cut_off()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(front.drained(), CLOSING_TIMEOUT_S)


class _Listener:
    """uvicorn, with our own idea of what SIGTERM means: it goes on answering while the requests drain."""

    def __init__(self, front: Front, settings: ServeSettings) -> None:
        config = uvicorn.Config(
            front,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_keep_alive=30,
            timeout_graceful_shutdown=CLOSING_TIMEOUT_S,
            h11_max_incomplete_event_size=64 * 1024,
        )
        self._settings = settings
        self._server = _Uvicorn(config)
        self.stop_asked = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop_asked.set)
        serving = asyncio.create_task(self._server.serve())
        await self._listening(serving)
        try:
            yield
        finally:
            self._server.should_exit = True
            await serving

    async def _listening(self, serving: asyncio.Task[None]) -> None:
        while not self._server.started and not serving.done():
            await asyncio.sleep(0.01)
        if not self._server.started:
            address = f"{self._settings.host}:{self._settings.port}"
            raise UserError("--port", address, "cannot be listened on", "free the port or choose another one")
        bound = self._server.servers[0].sockets[0].getsockname()
        log.info("listening on %s:%s", bound[0], bound[1])


class _Uvicorn(uvicorn.Server):  # type: ignore[misc]
    """Leaves signals to us, and a failed start too (it would end the process)."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: Any = None) -> None:
        with contextlib.suppress(SystemExit):
            await super().startup(sockets)
