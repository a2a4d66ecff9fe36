"""What a request is answered with, before HTTP: so that faults can be applied to any answer in one place."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from hack.localcluster.apiserver.errors import StatusError


@dataclass(slots=True)
class Answer:
    """A whole reply."""

    body: bytes
    code: int = 200
    content_type: str = "application/json"
    headers: list[tuple[str, str]] = field(default_factory=list)


def json_answer(obj: Any, code: int = 200) -> Answer:
    """An object as reply."""
    return Answer(orjson.dumps(obj), code)


def error_answer(error: StatusError) -> Answer:
    """A refusal as reply."""
    answer = json_answer(error.to_status(), error.code)
    if error.retry_after_s is not None:
        answer.headers.append(("Retry-After", str(max(1, round(error.retry_after_s)))))
    answer.headers += warning_headers(error.warnings)
    return answer


def warning_headers(texts: Iterable[str]) -> list[tuple[str, str]]:
    """What clients show to their users beside the reply. No header can hold a control character or half a surrogate pair; a text with
    one is left out, as real servers do."""
    return [("Warning", f'299 - "{_quoted(text)}"') for text in texts if not any(map(_is_unfit, text))]


def _is_unfit(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs")


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
