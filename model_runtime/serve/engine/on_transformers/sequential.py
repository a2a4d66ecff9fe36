"""Runs jobs one at a time through `generate`: for models that continuous batching cannot run, and for arguments that it does not have.

Falcon is such a model (its attention is its own), beams and repetition penalties are such arguments. The work is done in one thread;
closing the iterator stops it after the token that is being computed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from model_runtime.serve.engine.on_transformers.job import GenerationFailed, Job


class SequentialRunner:
    """Owns one worker thread."""

    def __init__(self, model: Any, pad_token: int | None) -> None:
        self._model = model
        self._pad_token = pad_token
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="generate")
        self._stopped = False

    async def run(self, job: Job) -> AsyncGenerator[list[int], None]:
        """See `Runner`."""
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[list[int] | None] = asyncio.Queue()
        cancelled = threading.Event()

        def put(piece: list[int] | None) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        work = loop.run_in_executor(self._pool, self._generate, job, _Streamer(put), cancelled, put)
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            await _result(work)
        finally:
            cancelled.set()

    def _generate(self, job: Job, streamer: _Streamer, cancelled: threading.Event, put: Any) -> None:
        import torch

        if cancelled.is_set():
            return
        beams = int(job.generate_kwargs.get("num_beams", 1)) > 1
        try:
            with torch.inference_mode():
                tokens = torch.tensor([job.prompt], device=self._model.device)
                output = self._model.generate(
                    tokens,
                    attention_mask=torch.ones_like(tokens),
                    streamer=None if beams else streamer,
                    stopping_criteria=[lambda *_a, **_k: torch.tensor([cancelled.is_set()], device=tokens.device)],
                    **self._arguments(job),
                )
            if beams:
                put(output[0][len(job.prompt) :].tolist())
        finally:
            put(None)

    def _arguments(self, job: Job) -> dict[str, Any]:
        sampling = job.sampling
        chosen: dict[str, Any] = {"do_sample": False}
        if not sampling.greedy:
            chosen = {
                "do_sample": True,
                "temperature": float(sampling.temperature),
                "top_k": sampling.top_k,
                "top_p": float(sampling.top_p),
            }
        limits = {"max_new_tokens": job.max_new_tokens, "eos_token_id": list(job.ends) or [-1]}
        return {**chosen, **limits, "pad_token_id": self._pad_token, **job.generate_kwargs}

    def trouble(self) -> str | None:
        """See `Runner`."""
        return "it was stopped" if self._stopped else None

    def stop(self) -> None:
        """See `Runner`."""
        self._stopped = True
        self._pool.shutdown(wait=False, cancel_futures=True)


async def _result(work: asyncio.Future[None]) -> None:
    try:
        await work
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        raise GenerationFailed(str(error)) from error


class _Streamer:
    """What `generate` calls with the prompt first and then with each token."""

    def __init__(self, put: Any) -> None:
        self._put = put
        self._prompt_seen = False

    def put(self, tokens: Any) -> None:
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        self._put(tokens.reshape(-1).tolist())

    def end(self) -> None:
        """The end is told by the worker, whether or not `generate` came this far."""
