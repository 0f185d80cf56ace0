"""
Incarnations: the number that grows with each start of a node, so that peers can tell a restart from a replay.

It is the time in milliseconds, or one more than the last one where the clock has gone back; the last one is
kept in the state directory.
"""

from __future__ import annotations

from pathlib import Path

from twisted.logger import Logger

from ..files import read_bounded, write_atomically
from ..wire.fields import MAX_WIRE_NUMBER

log = Logger()


def next_incarnation(state_dir: Path | None, last: int, now: float) -> int:
    """
    The incarnation for a start at C{now}, in seconds since the epoch.

    @param state_dir: where the last one is kept; C{None} keeps nothing.
    @param last: the last one that is known to this process; 0 for none.
    """
    path = None if state_dir is None else state_dir / "incarnation"
    # a state directory that was put back from a copy may know less than this process
    number = max(int(now * 1000), last + 1, _read(path) + 1)
    if path is not None:
        try:
            write_atomically(path, b"%d\n" % number)
        except OSError as error:
            log.warn(
                "cannot write {path}: {problem}. If the clock goes back before the next start, peers will "
                "take this node for an old copy of itself until they notice that its links are dead",
                path=str(path),
                problem=error.strerror,
            )
    return number


def _read(path: Path | None) -> int:
    if path is None:
        return 0
    try:
        number = int(read_bounded(path, 32))
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        log.warn("cannot read {path}: {problem}; going by the clock alone", path=str(path), problem=error)
        return 0
    # epochs shift it by 16 bits and must stay below the largest number of the wire
    return number if 0 <= number < MAX_WIRE_NUMBER // 2**17 else 0
