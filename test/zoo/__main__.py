"""Who tests the tests: put one known bug at a time into a copy of our code, and see that the tests which should notice it do.

    python -m test.zoo               every mutant, about two at a time
    python -m test.zoo NAME...       only these
    python -m test.zoo --list        what there is

Only the mutated package is copied, into a throw-away folder that comes first on the import path. A mutant is caught when *each* of the
selections listed for it fails; a selection that cannot even be collected is a defect of the zoo and counts as a failure, like a mutant
whose line is not in the code any more. Before the mutants, the same tests must pass on the code as it is.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from test.zoo.keeper import Finding, check_sanity, try_mutant
from test.zoo.mutants import MUTANTS, Mutant


def main(argv: Sequence[str] | None = None) -> int:
    """Exit 0 when every mutant was caught, 1 when one survived, 2 for a name that does not exist."""
    parser = argparse.ArgumentParser(prog="python -m test.zoo", description="Mutations that our tests must catch.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these mutants")
    parser.add_argument("--list", action="store_true", help="show names and what they stand for")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="how many at a time (default 2)")
    options = parser.parse_args(argv)
    unknown = set(options.names) - {mutant.name for mutant in MUTANTS}
    if unknown:
        print(f"no mutant is called {', '.join(sorted(unknown))}; `python -m test.zoo --list` names them all")
        return 2
    chosen = [mutant for mutant in MUTANTS if not options.names or mutant.name in options.names]
    if options.list:
        for mutant in chosen:
            print(f"{mutant.name:<34} {mutant.bug}")
        return 0
    return _run(chosen, options.jobs)


def _run(chosen: Sequence[Mutant], jobs: int) -> int:
    width = max(len(mutant.name) for mutant in chosen)
    print(f"{'MUTANT':<{width}}  SECONDS  CAUGHT BY")
    verdicts = []
    with ThreadPoolExecutor(jobs) as executor:
        sane = executor.submit(check_sanity, chosen)
        for verdict in executor.map(try_mutant, chosen):
            _show(verdict, width)
            verdicts.append(verdict)
        _show(sane.result(), width)
        verdicts.append(sane.result())
    failed = [verdict for verdict in verdicts if not verdict.good]
    for verdict in failed:
        print(f"\n{verdict.name}: {verdict.bug}\n{verdict.trouble}")
    print(f"\n{len(verdicts) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def _show(verdict: Finding, width: int) -> None:
    what = verdict.told if verdict.good else f"NOT CAUGHT: {verdict.trouble.splitlines()[0]}"
    print(f"{verdict.name:<{width}}  {verdict.seconds:>7.1f}  {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
