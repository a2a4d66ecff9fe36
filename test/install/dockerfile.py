"""The Dockerfile taken apart, so that tests do what it says and not what they remember of it."""

from __future__ import annotations

import json
import re

from hack.render.kustomize import ROOT

TEXT = (ROOT / "Dockerfile").read_text()
APP = "/app"
"""Where the image keeps the operators."""
BUILD, FINAL = 0, 1
"""The stages."""


def bases() -> list[str]:
    """The image that each stage begins with, by the defaults of the arguments before the first stage."""
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", TEXT.partition("\nFROM ")[0], re.M))
    named = re.findall(r"^FROM (\S+)", TEXT, re.M)
    return [re.sub(r"\$\{(\w+)\}", lambda match: defaults[match[1]], name) for name in named]


def _instructions(stage: int) -> list[tuple[str, str]]:
    """(name, the rest) of a stage; a line that ends in a backslash goes on in the next one."""
    lines = re.sub(r"^#.*\n", "", TEXT, flags=re.M).replace("\\\n", " ").splitlines()
    found: list[list[tuple[str, str]]] = []
    for line in filter(None, map(str.strip, lines)):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest.strip()))
    return found[stage]


def words(stage: int, name: str) -> list[list[str]]:
    """The arguments of every instruction of that name, options left out."""
    rests = [rest for instruction, rest in _instructions(stage) if instruction == name]
    split = [json.loads(rest) if rest.startswith("[") else rest.split() for rest in rests]
    return [[word for word in line if not word.startswith("--")] for line in split]


def environment() -> dict[str, str]:
    """The variables of the last stage."""
    pairs = (word.partition("=") for line in words(FINAL, "ENV") for word in line)
    return {name: value for name, _, value in pairs}
