"""
The session table: the sessions that there are, and which of them go when there are too many.

A name is free, and so is a session of each. So those that others have opened are shared out among the links
that their handshakes came by: of the link that holds most the least recently used goes. Those that we have
opened have a reserve, which no other can take.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ...names import Name
from ...timing.deadlines import Deadlines
from ...timing.shares import OURSELVES, Account, Amounts
from .session import Session

MAX_SESSIONS: Final = 1024
RESERVED_SESSIONS: Final = 512
"""Places of these that are reserved for sessions that we have opened."""
IDLE_SECONDS: Final = 600.0
"""How long a session is kept that seals and opens nothing."""
LAST_USE_SECONDS: Final = 540.0
"""How long such a session still seals: the other end may forget it a little earlier than we do."""
SESSIONS_PER_PEER: Final = 2
"""The latest, and the one before, of which packets may still be on their way."""


class SessionTable:
    """Made by the C{Sessions}, discarded after L{stop}."""

    def __init__(self, clock: IReactorTime, forgotten: Callable[[Session], object]) -> None:
        """
        @param forgotten: called with each session that goes because it is idle or there are too many.
        """
        self._clock = clock
        self._forgotten = forgotten
        self._of_peer: dict[Name, list[Session]] = {}  # the latest first
        self._of_account: dict[Account, OrderedDict[Session, None]] = {}
        self._others = Amounts()
        self._deadlines: Deadlines[Session] = Deadlines(clock, IDLE_SECONDS, self._idle)

    def __len__(self) -> int:
        return sum(map(len, self._of_account.values()))

    @property
    def latest_of_all(self) -> Iterator[Session]:
        """The session that is sealed with, of each peer that there is one with; the latest comes last."""
        return (sessions[0] for sessions in self._of_peer.values())

    def find(self, peer: Name, number: int) -> Session | None:
        """The session with this peer that has this number."""
        for session in self._of_peer.get(peer, ()):
            if session.number == number:
                return session
        return None

    def latest(self, peer: Name) -> Session | None:
        """
        The session to seal with; C{None} if there is none, or it has been idle for so long that the peer may
        have forgotten it.
        """
        sessions = self._of_peer.get(peer)
        if sessions is None or self._clock.seconds() - sessions[0].used > LAST_USE_SECONDS:
            return None
        return sessions[0]

    def of_peer(self, peer: Name) -> tuple[Session, ...]:
        """All sessions with a peer, the latest first."""
        return tuple(self._of_peer.get(peer, ()))

    def add(self, session: Session) -> None:
        """Seal with this session from now on. The one before can open packets for some time."""
        sessions = self._of_peer.setdefault(session.peer, [])
        sessions.insert(0, session)
        self._of_account.setdefault(session.account, OrderedDict())[session] = None
        if session.account != OURSELVES:
            self._others.add(session.account, 1)
        self._deadlines.add(session)
        # packets of it that are still on their way are lost, and sent again
        for old in sessions[SESSIONS_PER_PEER:]:
            self.remove(old)
        while len(self) > MAX_SESSIONS:
            self._make_room()

    def used(self, session: Session) -> None:
        """It has sealed or opened a packet: it goes after the others of its link."""
        self._of_account[session.account].move_to_end(session)

    def remove(self, session: Session) -> None:
        """Forget a session. One that is not there is no error."""
        of_account = self._of_account.get(session.account)
        if of_account is None or session not in of_account:
            return
        del of_account[session]
        if not of_account:
            del self._of_account[session.account]
        if session.account != OURSELVES:
            self._others.add(session.account, -1)
        self._deadlines.cancel(session)
        sessions = self._of_peer[session.peer]
        sessions.remove(session)
        if not sessions:
            del self._of_peer[session.peer]

    def stop(self) -> None:
        """Forget all, for good."""
        self._deadlines.stop()
        self._of_peer.clear()
        self._of_account.clear()
        self._others.clear()

    def _make_room(self) -> None:
        # what others hold beyond the reserve of ours goes first
        crowded = self._others.total > MAX_SESSIONS - RESERVED_SESSIONS
        account = self._others.fullest() if crowded else OURSELVES
        self._forget(next(iter(self._of_account[account])))

    def _idle(self, session: Session) -> None:
        # each use only notes the time: to move the deadline for each packet would cost more
        if self._clock.seconds() - session.used < IDLE_SECONDS:
            self._deadlines.add(session)
        else:
            self._forget(session)

    def _forget(self, session: Session) -> None:
        self.remove(session)
        self._forgotten(session)
