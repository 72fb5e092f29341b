"""All benchmarks, or those named: ``python -m benchmarks [graph] [snapshot] [replay] [kernels]``.

Prints one table of ratios against the peer of the same run, medians of several rounds in which
the two take turns. ``ratio`` is by the clock; ``by CPU`` counts CPU seconds, the server's included.
The exit code is 1 when a limit is broken.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import graph, kernels, replay, snapshot
from benchmarks.measuring import Row, table

ALL: dict[str, Callable[[int], list[Row]]] = {
    "graph": graph.rows,
    "snapshot": snapshot.rows,
    "replay": replay.rows,
    "kernels": kernels.rows,
}


def main() -> int:
    given = _arguments()
    rows: list[Row] = []
    for name in given.names or ALL:
        if name not in ALL:
            sys.exit(f"There is no benchmark {name!r}; there are: {', '.join(ALL)}.")
        _say(f"{name} …")
        rows += ALL[name](given.rounds)
    if given.project:
        variables = dict(item.split("=", 1) for item in given.env)
        rows += replay.real_rows(given.project, given.python, variables, given.rounds)
    print(table(rows))
    return 0 if all(row.kept for row in rows) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; all if none is named")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--project", type=Path, help="also replay the Alembic project in FOLDER")
    parser.add_argument("--python", default=sys.executable, help="that project's interpreter")
    parser.add_argument("--env", action="append", default=[], help="what its env.py reads: NAME=…")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
