"""The sentence that matters in what a cloud said, when not everything can be kept. Pure.

A cloud's error comes wrapped: the URL that was asked, rules of dashes, the status line, the code twice, a JSON body. Cutting such a text at
its end throws away the sentence and keeps the wrapping. Here the wrapping goes first, then the URLs, and if it is still too long the first
sentence that names a quota, a family, a region or a VM size is kept. Both operators use it, as either may meet a text of another program.
"""

from __future__ import annotations

import json
import re

_REQUEST_LINE = re.compile(r"\b(?:GET|PUT|POST|PATCH|DELETE|HEAD) https?://\S+")
_RULE = re.compile(r"[-=]{5,}")
_STATUS_LINE = re.compile(r"\bRESPONSE \d{3}: \d{3} (?:OK|[A-Z][a-z]+(?: [A-Z][a-z]+){0,3})(?= |$)")
_CODE_LINE = re.compile(r"\bERROR CODE(?: UNAVAILABLE|: (\w{1,80}))")
_MESSAGE = re.compile(r'"message"\s*:\s*"((?:[^"\\]|\\.)*)')
_BODY = re.compile(r"\{.*\}|\{.*$")
_URL = re.compile(r"https?://[^\s\"'<>)]+")
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+")
_TELLS = re.compile(r"\bquota\b|\bfamily\b|\bregions?\b|\bSKUs?\b|\bVM sizes?\b|\bremaining \d", re.IGNORECASE)
_READ = 20_000
"""Characters of a text that are looked at."""


def essence(said: str, limit: int) -> str:
    """One line of at most `limit` characters, without wrapping; a text that has none and fits is only put on one line."""
    line = " ".join(said[:_READ].split())
    if _RULE.search(line) or _CODE_LINE.search(line):
        line = _unwrapped(line)
    if len(line) > limit:
        line = _tidy(_URL.sub("", line))
    return line if len(line) <= limit else _told(line, limit)


def _unwrapped(line: str) -> str:
    """Without request line, rules, status line and body; of the body its message, of several codes each one once."""
    messages = [_text(found) for found in _MESSAGE.findall(line)]
    message = max(messages, key=lambda text: (bool(_TELLS.search(text)), len(text)), default="")
    code = next((found for found in _CODE_LINE.findall(line) if found), "")
    for noise in (_REQUEST_LINE, _STATUS_LINE, _CODE_LINE, _RULE):
        line = noise.sub("", line)
    if message:
        line = _BODY.sub(lambda _: message, line, count=1)
    line = _tidy(line)
    return f"{code}: {line}" if code and code not in line else line


def _text(raw: str) -> str:
    """A JSON string, which may have been cut before its end."""
    try:
        return " ".join(str(json.loads(f'"{raw}"')).split())
    except ValueError:
        return raw.rstrip("\\")


def _tidy(line: str) -> str:
    line = re.sub(r"\b(\w{3,80})(?:: \1\b)+", r"\1", " ".join(line.split()))
    return re.sub(r"(?: [,.:])+(?= |$)", lambda found: found[0][-1], line).strip()


def _told(line: str, limit: int) -> str:
    """As much of the beginning as leaves room for the first sentence that tells, which is kept whole if it can be."""
    found = _TELLS.search(line, limit - 1)
    if found is None or _TELLS.search(line[: limit - 1]):
        return line[: limit - 1] + "…"
    start, end = _sentence_around(line, found.start())
    sentence = line[start:end]
    room = limit - 3 - len(sentence)
    if room < 0:
        at = max(0, min(found.start() - start - limit // 3, len(sentence) - (limit - 2)))
        return f"…{sentence[at : at + limit - 2]}…"[:limit]
    head, tail = line[:room], "…" if end < len(line) else ""
    return f"{head}… {sentence}{tail}"


def _sentence_around(line: str, at: int) -> tuple[int, int]:
    ends = [0, *(found.end() for found in _SENTENCE_END.finditer(line)), len(line)]
    start = max(end for end in ends if end <= at)
    return start, len(line[: min(end for end in ends if end > at)].rstrip())
