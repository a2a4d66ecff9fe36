"""Records what the model server's own engine says at `/metrics`, for tests that run without PyTorch.

`python -m test.model.record_metrics MODEL_FOLDER FILE` in the environment of `make test-model`, with the folder of a small model.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from test.model.serve.running import serving

REQUESTS, TOKENS = 3, 8


def main(model: str, kept: str) -> None:
    """A server on the CPU, a few requests, and the exposition after them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), f"--weights={model}", "--model-name=small") as server,
    ):
        for number in range(REQUESTS):
            server.complete(f"Number {number} is", "small", max_tokens=TOKENS)
        text = server.get("/metrics").text
    Path(kept).write_text(text, "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
