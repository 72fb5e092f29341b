"""Measuring: works that take turns, so that a busy machine weighs on all of them alike."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.postgres import Cluster

Work = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """``seconds`` by the clock; ``cpu`` seconds of this process, its children and the server."""

    seconds: float
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table. ``limit`` is None where a number is shown and nothing promised."""

    what: str
    ours: Cost
    peer: Cost
    limit: float | None = None

    @property
    def ratio(self) -> float:
        return self.ours.seconds / self.peer.seconds

    @property
    def kept(self) -> bool:
        return self.limit is None or self.ratio <= self.limit


def in_turns(works: Mapping[str, Work], rounds: int, server: Cluster | None) -> dict[str, Cost]:
    """Run every work once a round, in order; return the medians of each one's rounds."""
    costs: dict[str, list[Cost]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            costs[name].append(_cost(work, server))
    return {
        name: Cost(
            seconds=statistics.median(item.seconds for item in found),
            cpu=statistics.median(item.cpu for item in found),
        )
        for name, found in costs.items()
    }


def _cost(work: Work, server: Cluster | None) -> Cost:
    before, start = _cpu(server), time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    return Cost(seconds=seconds, cpu=_cpu(server) - before)


def _cpu(server: Cluster | None) -> float:
    """Return the CPU seconds of this process, of children that ended, and of the server."""
    times = os.times()
    return sum(times[:4]) + (_server_cpu(server.pid()) if server else 0.0)


def _server_cpu(postmaster: int) -> float:
    """Return the CPU seconds of a server's processes, ended ones included (Linux; else 0)."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if path.parent.name == str(postmaster):
                total += sum(map(int, fields[11:15]))  # user, system, and those of its ended ones
            elif int(fields[1]) == postmaster:
                total += sum(map(int, fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


def table(rows: list[Row]) -> str:
    """Return the rows as plain text, each with its ratio, its limit and a verdict."""
    head = ("what", "ours", "peer", "ratio", "by CPU", "limit", "verdict")
    lines = [head, *map(_cells, rows)]
    wide = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join([line[0].ljust(wide[0]), *map(str.rjust, line[1:], wide[1:])]) for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    by_cpu = f"{row.ours.cpu / row.peer.cpu:.2f}" if row.ours.cpu and row.peer.cpu else "-"
    return (
        row.what,
        f"{row.ours.seconds:.3f} s",
        f"{row.peer.seconds:.3f} s",
        f"{row.ratio:.2f}",
        by_cpu,
        "-" if row.limit is None else f"{row.limit:.2f}",
        "shown" if row.limit is None else "kept" if row.kept else "BROKEN",
    )
