"""From tokens to text, piece by piece, and where a stop string ends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

UNFINISHED = "�"
"""What a decoder writes for the first bytes of a character whose others are still to come."""


class TextStream:
    """Collects the tokens of one answer; `add` returns the text that is certain by now."""

    def __init__(
        self,
        tokenizer: Any,
        stop: Sequence[str] = (),
        end_tokens: Sequence[int] = (),
        *,
        show_special: bool = False,
        show_end: bool = False,
    ) -> None:
        """`show_special`: special tokens are text too; `show_end`: so are the stop string, and the token, that ended it."""
        self._tokenizer = tokenizer
        self._end_tokens = frozenset(end_tokens)
        self._show_special, self._show_end = show_special, show_end
        self._stop = [text for text in stop if text]
        self._tokens: list[int] = []
        self._decoded_from = 0
        """First token of the window that is decoded; earlier ones cannot change the text any more."""
        self._window_read = ""
        self._held = ""
        """Decoded, but possibly the beginning of a stop string."""
        self.stopped = False
        self.ended = False
        """Whether the model itself ended the answer."""

    def add(self, tokens: Sequence[int]) -> str:
        """The next certain piece of text; "" while a character is incomplete or a stop string may be starting."""
        self.ended = bool(tokens) and tokens[-1] in self._end_tokens
        self._tokens += tokens[:-1] if self.ended and not self._show_end else tokens
        window = self._decode()
        if window.endswith(UNFINISHED) or self.stopped:
            return ""
        new, self._window_read = window[len(self._window_read) :], window
        if "\n" in new or len(self._tokens) - self._decoded_from > 64:
            # A line's end does not change what follows it, so the window can start anew.
            self._decoded_from, self._window_read = max(0, len(self._tokens) - 1), ""
            self._window_read = self._decode()
        return self._release(self._held + new, final=False)

    def finish(self) -> str:
        """What was held back."""
        window = self._decode()
        return "" if self.stopped else self._release(self._held + window[len(self._window_read) :], final=True)

    def _decode(self) -> str:
        return str(
            self._tokenizer.decode(self._tokens[self._decoded_from :], skip_special_tokens=not self._show_special)
        )

    def _release(self, text: str, *, final: bool) -> str:
        for stop in self._stop:
            at = text.find(stop)
            if at >= 0:
                self.stopped, self._held = True, ""
                return text[: at + len(stop) * self._show_end]
        keep = 0 if final else max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """How many last characters of `text` could be the beginning of `stop`."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
