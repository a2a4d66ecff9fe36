"""The console of every page: for standard output, of which it takes width and colours; none without a terminal, or with NO_COLOR."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console


def console() -> Console:
    """Nothing in a text is taken for markup: the words of clouds hold brackets."""
    return Console(highlight=False, markup=False, emoji=False)


def captured(show: Callable[[Console], None]) -> str:
    """What `show` prints, without blanks at the ends of lines."""
    screen = console()
    with screen.capture() as page:
        show(screen)
    return "".join(f"{line.rstrip()}\n" for line in page.get().splitlines())
