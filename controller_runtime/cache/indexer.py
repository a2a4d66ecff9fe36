"""One index of a cache: from a value that a function finds in objects to the keys of those objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from controller_runtime.logs import get_logger
from controller_runtime.resources import Object

IndexFunc = Callable[[Object], Iterable[str]]
"""The values under which an object is found, such as the UID of its owner. Must be pure."""

_log = get_logger(__name__)


class Index:
    """Not thread-safe: the store that owns it holds its lock around every call."""

    def __init__(self, name: str, function: IndexFunc) -> None:
        self.name = name
        self.function = function
        self._keys: dict[str, dict[str, None]] = {}
        # Remembered, not computed again, so that an object is always removed from where it was put.
        self._values: dict[str, tuple[str, ...]] = {}

    def put(self, key: str, obj: Object) -> None:
        """Index an object, replacing what was known of its key."""
        values = self._compute(key, obj)
        if values == self._values.get(key, ()):
            return
        self.remove(key)
        if values:
            self._values[key] = values
        for value in values:
            self._keys.setdefault(value, {})[key] = None

    def remove(self, key: str) -> None:
        """Forget a key; values that nobody has any more disappear with it."""
        for value in self._values.pop(key, ()):
            keys = self._keys[value]
            del keys[key]
            if not keys:
                del self._keys[value]

    def keys(self, value: str) -> Iterator[str]:
        """Keys of the objects that have `value`, oldest entry first."""
        return iter(self._keys.get(value, ()))

    def values(self) -> list[str]:
        """Every value that at least one object has."""
        return list(self._keys)

    def _compute(self, key: str, obj: Object) -> tuple[str, ...]:
        try:
            return tuple(dict.fromkeys(self.function(obj)))
        except Exception:
            # Whatever an index function trips over, the cache must go on for everybody else.
            _log.exception("an index function failed; the object is left out of this index", index=self.name, key=key)
            return ()
