"""
C{send-file} beside a forward of the same bytes: C{python -m tests.integration.rates}.

The forward has socat at both ends, from a file to a file; C{send-file} hashes the bytes as well. Both go over
the same two daemons, in turn. The clock tells what this machine makes of it. With fewer
processors than processes they share these, and where each process has one the busiest of them sets the pace:
that is told as well.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.breaks import Ends, is_listening, say, until
from tests.integration.programs import free_port


@dataclass(frozen=True)
class Taken:
    """
    What it took, in seconds.

    @ivar clock: from the start of the sending program to the end of the receiving one.
    @ivar processes: the processor time of each process.
    """

    clock: float
    processes: dict[str, float]

    @property
    def busiest(self) -> float:
        return max(self.processes.values())

    @property
    def all_of_them(self) -> float:
        return sum(self.processes.values())


class Race:
    def __init__(self, ends: Ends, path: Path) -> None:
        self.ends = ends
        self.path = path
        self.sink, self.port = free_port(), free_port()
        ends.output("here", "expose", "add", f"sink=tcp:127.0.0.1:{self.sink}", "--allow=*")
        ends.output("there", "forward", "add", f"tcp:{self.port}=here/sink")

    def forward(self) -> Taken:
        listen = f"TCP-LISTEN:{self.sink},bind=127.0.0.1,reuseaddr"
        copy = self.ends.into / "copy"
        sink = subprocess.Popen(["socat", "-b", "262144", "-u", listen, f"CREATE:{copy}"])
        until(lambda: is_listening(self.sink))
        to = f"TCP:127.0.0.1:{self.port}"
        taken = self._take(
            sink, lambda: subprocess.Popen(["socat", "-b", "262144", "-u", f"OPEN:{self.path}", to])
        )
        copy.unlink()
        return taken

    def send_file(self) -> Taken:
        taken = self._take(self.ends.receive(), lambda: self.ends.send(self.path))
        (self.ends.into / self.path.name).unlink()
        return taken

    def _take(self, receiver: Any, send: Callable[[], Any]) -> Taken:
        before = {which: _processor_seconds(each.pid) for which, each in self.ends.daemons.items()}
        began = time.monotonic()
        programs = {"sender": send(), "receiver": receiver}
        processes = {which: _ended(each) for which, each in programs.items()}
        clock = time.monotonic() - began
        for which, each in self.ends.daemons.items():
            processes[f"daemon {which}"] = _processor_seconds(each.pid) - before[which]
        return Taken(clock, processes)


def _ended(process: Any) -> float:
    """Wait for it: its processor time."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    return usage.ru_utime + usage.ru_stime


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run it, and print what was seen."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.rates", description=__doc__)
    parser.add_argument("--mib", type=int, default=2048, help="the size of the file (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    options = parser.parse_args()
    with Ends.with_file(options.mib) as (ends, path):
        race = Race(ends, path)
        rounds = []
        for _ in range(options.rounds):
            rounds.append((race.forward(), race.send_file()))
            for name, taken in zip(("forward", "send-file"), rounds[-1], strict=True):
                each = ", ".join(f"{which} {seconds:.2f}" for which, seconds in taken.processes.items())
                say(f"{name}: {taken.clock:.2f} s, {options.mib / taken.clock:.0f} MiB/s; processors: {each}")
        for what in ("clock", "busiest", "all_of_them"):
            ratio = statistics.median(getattr(one, what) / getattr(two, what) for one, two in rounds)
            say(f"rate of send-file to that of the forward, by {what.replace('_', ' ')}: {ratio:.2f}")


if __name__ == "__main__":
    main()
