"""JSON of Kubernetes objects, decoded without the part that no controller reads.

`metadata.managedFields` is a third of most objects, and building it only to throw it away is a sixth of the work on a watch event
(measured). So its content is cut out of the text first. The cut is a guess at where the list ends, made by two searches; that it was
right is checked on what was decoded, and otherwise the whole text is decoded:

* an end inside a string leaves an odd number of quotes, one inside a nested list leaves a bracket too many: neither is JSON any more;
* a list of that name elsewhere in the object is told by `metadata.managedFields`, which then is not what the cut leaves in its place: a
  string, where API servers only have objects.
"""

from __future__ import annotations

from typing import Any

import orjson

_BEGIN = b'"managedFields":[{'
_END = b"}]"
_LEFT = ["cut"]
_IN_ITS_PLACE = b'"managedFields":' + orjson.dumps(_LEFT)[:-1]


def decode_frame(line: bytes) -> Any:
    """A watch frame whose `object` has no managedFields. Raises `orjson.JSONDecodeError`."""
    return _decode(line, "object")


def decode_item(text: bytes) -> Any:
    """An object, an item of a list, without managedFields. Raises `orjson.JSONDecodeError`."""
    return _decode(text, None)


def _decode(text: bytes, inside: str | None) -> Any:
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
