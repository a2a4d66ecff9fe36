"""What readers are told, taken apart: commands, tables and paths of the top README and of the pages in `docs/`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hack.render.kustomize import ROOT

PAGES = [ROOT / name for name in ("README.md", "docs/install.md", "docs/use.md", "docs/operate.md")]
PAGES += sorted({*(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"} - {*PAGES})
"""In the order in which somebody new reads them."""
README = "\n".join(page.read_text("utf-8") for page in PAGES)
FENCE = re.compile(r"(?P<before>[^\n]*)\n```(?P<kind>[^\n]*)\n(?P<code>.*?)\n```", re.S)
REASON = re.compile(r"<!-- no-test: (.+?) -->")
PROGRAMS = (
    "az",
    "cat",
    "curl",
    "docker",
    "echo",
    "export",
    "git",
    "helm",
    "kubectl",
    "make",
    "pip",
    "python",
    "python3",
)
RUN, NOT_RUN, PROSE = "sh", "sh no-test", ("", "yaml", "diff")
"""Kinds of code blocks: run by a test; not run, with a reason; pictures, output, manifests and changes (`test_contributing.py`)."""


@dataclass(frozen=True)
class Block:
    """One code block; `reason` is why a `no-test` block is not run."""

    kind: str
    reason: str
    lines: tuple[str, ...]

    @property
    def commands(self) -> tuple[str, ...]:
        """Its lines without comments; a line that ends in a backslash goes on in the next one."""
        joined = "\n".join(self.lines).replace("\\\n", " ").splitlines()
        bare = (re.sub(r"\s+#.*$", "", line).strip() for line in joined)
        return tuple(" ".join(line.split()) for line in bare if line)


def blocks(text: str = README) -> list[Block]:
    """Every fenced block of a page, in order."""
    found = []
    for match in FENCE.finditer(text):
        reason = REASON.search(match["before"])
        found.append(Block(match["kind"], reason[1] if reason else "", tuple(match["code"].split("\n"))))
    return found


def commands(program: str = "", text: str = README) -> list[str]:
    """What the blocks that are run tell readers to type, in order; of one program, when it is named."""
    found = [command for block in blocks(text) if block.kind == RUN for command in block.commands]
    return [command for command in found if not program or program in command.split()]


def mentioned(text: str = README) -> list[str]:
    """Commands in running text, such as `make up`: code spans of more than one word that begin with a program's name."""
    prose = FENCE.sub("", text)
    spans = (" ".join(span.split()) for span in re.findall(r"`([^`\n]+)`", prose))
    return [span for span in spans if span.partition(" ")[0] in PROGRAMS and " " in span]


@dataclass(frozen=True)
class Table:
    """Header and rows, cells stripped."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(path: Path) -> list[Table]:
    """Every table of a Markdown page."""
    found: list[list[tuple[str, ...]]] = []
    inside = False
    for line in path.read_text().splitlines():
        if line.startswith("|"):
            if not inside:
                found.append([])
            found[-1].append(tuple(cell.strip() for cell in line.strip().strip("|").split(" | ")))
        inside = line.startswith("|")
    return [Table(rows[0], tuple(rows[2:])) for rows in found]
