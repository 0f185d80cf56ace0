"""
The book of members: what a node knows of others is written down, so that their nicknames mean something after
the next start, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ...trust.certificate import SignedCertificate
from ...trust.state_files import save_members

WRITE_DELAY_SECONDS: Final = 2.0
"""From a change to its writing, so that many members who come at once cost one write."""


class MemberBook:
    """Made by the daemon of a private network, told of each change, discarded after L{flush}."""

    log = Logger()

    def __init__(self, state_dir: Path, network: str, clock: IReactorTime) -> None:
        self._state_dir = state_dir
        self._network = network
        self._clock = clock
        self._members: Sequence[SignedCertificate] = ()
        self._write_call: IDelayedCall | None = None
        self._failing = False

    def keep(self, members: Sequence[SignedCertificate]) -> None:
        """Write these down, a while from now. It never raises."""
        self._members = members
        if self._write_call is None:
            self._write_call = self._clock.callLater(WRITE_DELAY_SECONDS, self._write)

    def flush(self) -> None:
        """Write what has not been written yet, now."""
        if self._write_call is not None:
            self._write_call.cancel()
            self._write()

    def _write(self) -> None:
        self._write_call = None
        try:
            save_members(self._state_dir, self._network, self._members)
        except OSError as error:
            # one line for a full disk, not one for each change
            if not self._failing:
                self.log.warn(
                    "the members cannot be written down in {folder} ({problem}); the next change is tried",
                    folder=str(self._state_dir),
                    problem=error.strerror,
                )
            self._failing = True
            return
        self._failing = False
