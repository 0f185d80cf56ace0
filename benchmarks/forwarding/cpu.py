"""The processor time of a process and of all that it has started."""

from __future__ import annotations

import os
from pathlib import Path


def cpu_seconds() -> float:
    """Of this process, its children and theirs, also of those that have ended and were waited for."""
    ticks: dict[int, float] = {}
    children: dict[int, list[int]] = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                text = (each / "stat").read_text()
            except OSError:  # it has just ended
                continue
            # the name of the program may hold spaces and brackets
            fields = text.rpartition(")")[2].split()
            ticks[int(each.name)] = sum(map(int, fields[11:15]))
            children.setdefault(int(fields[1]), []).append(int(each.name))
    waiting, total = [os.getpid()], 0.0
    while waiting:
        process = waiting.pop()
        total += ticks.get(process, 0.0)
        waiting += children.get(process, [])
    return total / os.sysconf("SC_CLK_TCK")
