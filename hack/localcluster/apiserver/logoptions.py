"""The options of `pods/log` in a query: decoded as Kubernetes decodes them, and refused as its validation refuses them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from hack.localcluster.apiserver.errors import Cause, bad_request, invalid_options
from hack.localcluster.apiserver.reading import whole_number

_NO = ("0", "false")
_LONGEST_S = 10**9
_FORBIDDEN = "FieldValueForbidden"


class LogOptions:
    """`PodLogOptions`. What is no option is passed over."""

    def __init__(self, query: Mapping[str, str], pod: str) -> None:
        """Raises 400 for what cannot be read, 422 for a value that is refused."""
        self.container = query.get("container", "")
        self.follow = _is_set(query, "follow")
        self.previous = _is_set(query, "previous")
        self.timestamps = _is_set(query, "timestamps")
        self.tail_lines = _number(query, "tailLines")
        self.limit_bytes = _number(query, "limitBytes")
        self._since_s = _number(query, "sinceSeconds")
        self._since_time = _moment(query.get("sinceTime", ""))
        wrong = [*self._below(), *self._forbidden(query)]
        if wrong:
            raise invalid_options("PodLogOptions", pod, wrong)

    def since(self, now: datetime) -> datetime | None:
        """The moment before which nothing is shown, None for no such moment."""
        if self._since_s is None:
            return self._since_time
        return now - timedelta(seconds=min(self._since_s, _LONGEST_S))

    def _below(self) -> list[Cause]:
        least = {
            "tailLines": (self.tail_lines, 0, "must be greater than or equal to 0"),
            "limitBytes": (self.limit_bytes, 1, "must be greater than 0"),
            "sinceSeconds": (self._since_s if self._since_time is None else None, 1, "must be greater than 0"),
        }
        return [
            Cause(field, f"Invalid value: {value}: {text}")
            for field, (value, minimum, text) in least.items()
            if value is not None and value < minimum
        ]

    def _forbidden(self, query: Mapping[str, str]) -> list[Cause]:
        found = []
        if self._since_s is not None and self._since_time is not None:
            text = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
            found.append(Cause("[]", text, _FORBIDDEN))
        if "stream" in query:  # a gate that no pinned minor opens
            found.append(Cause("stream", "Forbidden: may not be specified", _FORBIDDEN))
        return found


def _is_set(query: Mapping[str, str], option: str) -> bool:
    """Kubernetes takes all but these words for yes, the empty one too."""
    return option in query and query[option].lower() not in _NO


def _number(query: Mapping[str, str], option: str) -> int | None:
    return whole_number(query, option) if option in query else None


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        moment = None
    if moment is None and text:
        raise bad_request(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{text}" as "2006"')
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
