"""Lets the CUDA build of PyTorch, the only one that the package index has for Linux on x86, be imported without its CUDA libraries.

PyTorch's shared objects are linked against cuDNN, NCCL, cuBLAS and others: 3 GB that no test on a CPU calls. For each of those libraries
that is missing, a shared object is compiled that carries the same name and version nodes and every symbol that PyTorch asks of it. Each
symbol aborts the process: what is not there must not answer. Only test environments do this; the image has the real libraries.

    python test/support/cuda_stubs.py SITE_PACKAGES    exit code 1, with the reason, when it cannot be done (no compiler, no readelf)
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

_NEEDED = re.compile(r"\(NEEDED\)\s+Shared library: \[(.+?)\]")
_VERSION_FILE = re.compile(r"\bFile: (\S+)")
_VERSION_NAME = re.compile(r"\bName: (\S+)\s+Flags:")
_UNDEFINED = re.compile(r"\sUND (\S+?)(?:@(\S+)(?: \(\d+\))?)?$")
_CUDA = re.compile(r"lib(cu|nccl|nv|cufile)")

Symbols = dict[str, set[str]]
"""Version node ("" for none) to the names below it."""


def main(site_packages: Path) -> int:
    """Writes a stub beside PyTorch's own libraries for each CUDA library that is not installed."""
    absent = [tool for tool in ("gcc", "readelf") if shutil.which(tool) is None]
    if absent:
        print(f"no stubs: {' and '.join(absent)} not found on the PATH", file=sys.stderr)
        return 1
    folder = site_packages / "torch" / "lib"
    for soname, symbols in sorted(_missing(folder, site_packages).items()):
        _compile(folder / soname, soname, symbols)
    return 0


def _missing(folder: Path, site_packages: Path) -> dict[str, Symbols]:
    libraries = sorted(folder.glob("*.so*"))
    there = {path.name for path in site_packages.glob("nvidia/**/*.so*")} | {path.name for path in libraries}
    wanted: dict[str, Symbols] = {}
    for library in libraries:
        needed = [name for name in _NEEDED.findall(_readelf("-d", library)) if _CUDA.match(name) and name not in there]
        if needed:
            versioned = _asked(library)
            for soname in needed:
                _add(wanted.setdefault(soname, defaultdict(set)), versioned.get(soname, {}))
            # Nothing says whose an unversioned symbol is; the loader takes it from anywhere.
            _add(wanted[needed[0]], {"": {name for name in versioned.get("", {}).get("", set()) if _looks_cuda(name)}})
    return wanted


def _add(into: Symbols, more: Symbols) -> None:
    for version, names in more.items():
        into[version] |= names


def _looks_cuda(name: str) -> bool:
    return bool(re.match(r"(cu[a-zA-Z]|nccl|nv|Nv)", name))


def _asked(library: Path) -> dict[str, Symbols]:
    """Undefined symbols by the library they are wanted from ("" when unversioned)."""
    owner: dict[str, str] = {}
    current = ""
    for line in _readelf("-V", library).splitlines():
        if found := _VERSION_FILE.search(line):
            current = found[1]
        elif found := _VERSION_NAME.search(line):
            owner[found[1]] = current
    asked: dict[str, Symbols] = {}
    for line in _readelf("--dyn-syms", library).splitlines():
        if found := _UNDEFINED.search(line):
            version = found[2] or ""
            asked.setdefault(owner.get(version, ""), defaultdict(set))[version].add(found[1])
    return asked


def _readelf(option: str, library: Path) -> str:
    return subprocess.run(["readelf", "-W", option, str(library)], capture_output=True, text=True, check=True).stdout


def _compile(target: Path, soname: str, symbols: Symbols) -> None:
    with tempfile.TemporaryDirectory() as work:
        source, script = Path(work, "stub.c"), Path(work, "stub.map")
        names = sorted(set().union(*symbols.values()) if symbols else set())
        source.write_text("".join(f"void {name}(void) {{ __builtin_trap(); }}\n" for name in names) or "int _stub;\n")
        nodes = [
            f"{version} {{ global: {'; '.join(sorted(owned))}; }};\n"
            for version, owned in symbols.items()
            if version and owned
        ]
        script.write_text("".join(nodes))
        command = ["gcc", "-w", "-fno-builtin", "-shared", "-fPIC", "-nostdlib", f"-Wl,-soname,{soname}"]
        command += [f"-Wl,--version-script={script}"] if nodes else []
        subprocess.run([*command, "-o", str(target), str(source)], check=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
