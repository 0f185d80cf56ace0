"""
The ledger of a daemon: the invitations that were made here, and copies of those of other admins and inviters;
in memory, on the disk, and on its way between members.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from twisted.logger import Logger

from ...names import Name
from ...quietlog import QuietLog
from ...trust.certificate import Certificate
from ...trust.ledger import Ledger
from ...trust.ledger_file import load_ledger, save_ledger
from ...trust.ledger_sharing import frames_for, taking
from .surroundings import Credentials

MAX_USERS_IN_A_LINE: Final = 16
"""Users of an invitation that a line of the log names."""


class KeptLedger:
    """
    Made with the daemon's start, discarded with its stop.

    @ivar ledger: as it is now, on the disk too once L{save} was called.
    """

    log = Logger()

    def __init__(
        self,
        state_dir: Path,
        credentials: Credentials,
        describe: Callable[[Name], str],
        now: Callable[[], float],
    ) -> None:
        """
        @param describe: a member, as text for people.
        @raise TrustFileError: the file cannot be used.
        """
        self._state_dir = state_dir
        self._credentials = credentials
        self._describe = describe
        self._now = now
        self._quiet = QuietLog(self.log, now)
        self.ledger: Ledger = load_ledger(state_dir, credentials.network)
        self._is_saved = True

    def keep(self, ledger: Ledger) -> None:
        """
        Put this one in the place of the present one.

        @raise OSError: it cannot be written, and the present one stays.
        """
        # first: what memory alone knows could be used again after a crash
        save_ledger(self._state_dir, self._credentials.network, ledger)
        self.ledger, self._is_saved = ledger, True

    def told_to(self, peer: Certificate) -> Iterable[bytes]:
        """What a member that may issue should know of invitations."""
        return frames_for(self.ledger, self._own(), peer, self._now())

    def take(self, peer: Certificate, payload: bytes) -> bool:
        """
        Take what such a member tells of invitations.

        @return: whether any of it is new.
        @raise WireError: the payload does not hold.
        """
        before = self.ledger
        after = taking(before, self._own(), peer, payload, self._now())
        if after is before:
            return False
        self._warn_of_overuse(before, after)
        # in memory first, unlike what happens here: it would be told again after a crash
        self.ledger, self._is_saved = after, False
        return True

    def save(self) -> None:
        """Write what was taken since the last time; if that fails, the next time tries again."""
        if self._is_saved:
            return
        try:
            self.keep(self.ledger)
        except OSError as error:
            self._quiet.warn(
                "unsaved", "cannot write what others tell of invitations: {problem}", problem=error
            )

    def _own(self) -> Certificate:
        return self._credentials.certificate.certificate

    def _warn_of_overuse(self, before: Ledger, after: Ledger) -> None:
        used = {each.id: len(each.used_by) for each in before.entries}
        for each in after.entries:
            if len(each.used_by) > max(each.uses, used.get(each.id, 0)):
                # quietly, since an inviter may tell of users that there are not
                self._quiet.warn(
                    "overuse",
                    "an invitation for {uses} was redeemed by {users}, since the admins could not reach each "
                    "other: ban those that should not be here",
                    by=str(each.inviter or self._own().name),
                    uses=each.uses,
                    users=self._some_of(each.used_by),
                )

    def _some_of(self, names: tuple[Name, ...]) -> str:
        shown = ", ".join(map(self._describe, names[:MAX_USERS_IN_A_LINE]))
        more = len(names) - MAX_USERS_IN_A_LINE
        return f"{shown} and {more} more" if more > 0 else shown
