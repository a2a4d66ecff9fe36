"""JSON of Kubernetes objects, decoded without the part that no controller reads.

`metadata.managedFields` is a third of most objects, and building it only to throw it away is a sixth of the work on a watch event
(measured). So its content is cut out of the text first. The cut is a guess at where the list ends, made by two searches; that it was
right is checked on what was decoded, and otherwise the whole text is decoded:

* an end inside a string leaves an odd number of quotes, one inside a nested list leaves a bracket too many: neither is JSON any more;
* a list of that name elsewhere in the object is told by `metadata.managedFields`, which then is not what the cut leaves in its place: a
  string, where API servers only have objects.

API servers store what decoders refuse: objects nested a thousand levels deep (they allow ten thousand), half a surrogate pair. One
such object must not keep a whole collection from being read. It is decoded once more, slowly: values nested deeper than any field
that a controller reads become null, and what cannot be encoded becomes a question mark.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_BEGIN = b'"managedFields":[{'
_END = b"}]"
_LEFT = ["cut"]
_IN_ITS_PLACE = b'"managedFields":' + orjson.dumps(_LEFT)[:-1]

READ_DEPTH = 128
"""Levels of nesting that are kept of an object that the fast decoder refuses."""
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)


def decode_frame(line: bytes) -> Any:
    """A watch frame whose `object` has no managedFields. Raises `orjson.JSONDecodeError`."""
    return _decode(line, "object")


def decode_item(text: bytes) -> Any:
    """An object, an item of a list, without managedFields. Raises `orjson.JSONDecodeError`."""
    return _decode(text, None)


def decode_whole(text: bytes) -> Any:
    """A reply as it came, with managedFields. Raises `orjson.JSONDecodeError`."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _decode_anyhow(text)


def flatten(text: bytes, depth: int = READ_DEPTH) -> bytes:
    """The same JSON with null in place of each value that is nested deeper than `depth`. One pass, no recursion."""
    pieces: list[bytes] = []
    level = kept = 0
    for token in _TOKENS.finditer(text):
        mark = token.group()
        if mark in (b"[", b"{"):
            level += 1
            if level == depth + 1:
                pieces += (text[kept : token.start()], b"null")
        elif mark in (b"]", b"}"):
            if level == depth + 1:
                kept = token.end()
            level -= 1
    return b"".join((*pieces, text[kept:]))


def _decode(text: bytes, inside: str | None) -> Any:
    try:
        return _decode_fast(text, inside)
    except orjson.JSONDecodeError:
        return _decode_anyhow(text)


def _decode_anyhow(text: bytes) -> Any:
    try:
        return _encodable(json.loads(flatten(text)))
    except (ValueError, RecursionError):
        return orjson.loads(text)  # Raises what is wrong with it.


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list) else value


def _decode_fast(text: bytes, inside: str | None) -> Any:
    """`inside`: the field that holds the object, None when the text is the object itself."""
    begin = text.find(_BEGIN)
    if begin < 0:
        return orjson.loads(text)
    try:
        value = orjson.loads(text[:begin] + _IN_ITS_PLACE + text[text.find(_END, begin) + 1 :])
        obj = value if inside is None else value[inside]
        if obj["metadata"].pop("managedFields") == _LEFT:
            return value
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        pass  # Not what it looked like: decoded as it came, and judged by the caller.
    return orjson.loads(text)
