"""
Guessing ports: how two nodes get a link when the NAT of one uses another port for each connection
(symmetric), and the NAT of the other lets nothing in but from where it has dialled (port-restricted).

The symmetric end opens many ports of its NAT by as many dials of the other's listening port. The other end
dials random ports of that NAT from its listening port. As soon as one of these is open, the two SYNs meet:
with 256 ports open, half of all attempts are done after some 180 guesses (the birthday paradox). It is done
only where both ends agree and a tunnel of theirs is in use, which stays until it is replaced.

A guess goes to nobody's machine but a router at the address where the relay of the tunnel sees the peer,
which the peer names as well. What a peer that lies together with the relay could have sent to somebody else
is bounded here: per peer, per address, and in all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...endpoints import Endpoint, is_local_only
from ...errors import CloseReason, LinkClosed
from ...names import Name
from ...timing.ratelimit import KeyedLimits, SlidingWindow
from ...timing.shares import Account, SharedWindow
from ...timing.timers import cancel
from ..interfaces import Guess

OPEN_PORTS: Final = 256
"""Ports that the symmetric end opens."""
MAX_GUESSES: Final = 1536
"""Ports that the other end dials, with which 998 of 1000 attempts succeed."""
BATCH_DIALS: Final = 24
BATCH_SECONDS: Final = 1 / 16
"""Dials that begin together, and seconds from one batch to the next."""
HEAD_START_SECONDS: Final = 0.5
"""The time by which the ports are opened before the first is guessed."""
HOLD_SECONDS: Final = 1.0
"""How long a guess is waited for; a round trip has to fit in."""
MAX_REFUSED: Final = 32
"""Refusals at the symmetric end that show that the other's router rejects what it has not asked for."""
MAX_CONNECTED: Final = 8
"""Connections at the symmetric end that show that a server takes them: few guesses of a peer are right."""
SAME_INTERVAL_SECONDS: Final = 3600.0
"""Seconds between two attempts with a peer, and between two at an address."""
MAX_PER_PREFIX: Final = 4
"""Attempts in that time at the addresses of one /24 or /48: a carrier's NAT has many nodes behind a few."""
MAX_ATTEMPTS: Final = 3
"""Attempts that begin within L{ATTEMPTS_SECONDS}, with all peers."""
ATTEMPTS_SECONDS: Final = 60.0
DESCRIPTORS: Final = 512
"""Descriptors that must be left for an attempt to begin."""
_PORTS: Final = range(1024, 65536)


class GuessLimits:
    """How often ports may be guessed."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        """
        @param seconds: the clock: C{IReactorTime.seconds}.
        """
        # few attempts begin, so there are not many keys
        self._all = SharedWindow(MAX_ATTEMPTS, ATTEMPTS_SECONDS, seconds)
        self._peers: KeyedLimits[Name] = KeyedLimits(lambda: SlidingWindow(1, SAME_INTERVAL_SECONDS, seconds))
        self._hosts: KeyedLimits[str] = KeyedLimits(lambda: SlidingWindow(1, SAME_INTERVAL_SECONDS, seconds))
        self._prefixes: KeyedLimits[str] = KeyedLimits(
            lambda: SlidingWindow(MAX_PER_PREFIX, SAME_INTERVAL_SECONDS, seconds)
        )

    def may(self, peer: Name, host: str, told_by: Account) -> bool:
        """
        Whether an attempt with this peer at this address may begin now.

        @param told_by: who is held to account for the address: a relay may see peers where it likes.
        """
        waits = (self._peers.wait(peer), self._hosts.wait(host), self._prefixes.wait(_prefix(host)))
        return max(waits) <= 0 and self._all.may_take(told_by)

    def began(self, peer: Name, host: str, told_by: Account) -> None:
        """An attempt has begun."""
        self._all.take(told_by)
        self._peers.take(peer)
        self._hosts.take(host)
        self._prefixes.take(_prefix(host))


class GuessDial(Protocol):
    """One dial; a L{PunchDial<routing_crust.crust.punch.punch_dial.PunchDial>}."""

    @property
    def is_connected(self) -> bool:
        """Whether the TCP connection was made."""

    def call_off(self) -> None:
        """End it, unless it has become a link."""


class PortGuess:
    """
    One attempt. Made by L{Puncher<routing_crust.crust.punch.puncher.Puncher>}, which ends it with the hole
    punch that it goes on beside. The meeting takes the connection on which the prefaces match.

    @ivar dials: how many have begun.
    """

    def __init__(
        self,
        clock: IReactorTime,
        random: Random,
        target: Endpoint,
        opens: bool,
        dial: Callable[[PortGuess, Endpoint], GuessDial],
    ) -> None:
        """
        @param target: where the peer listens; to guess, only its address counts.
        @param opens: whether we open ports; else we guess them.
        @param dial: begins one dial.
        """
        self._clock = clock
        self._opens = opens
        self._dial = dial
        # each dial of the same port leaves from another one of ours, and opens another one of our NAT
        ports = [target.port] * OPEN_PORTS if opens else random.sample(_PORTS, MAX_GUESSES)
        self._targets = [Endpoint(target.host, port) for port in ports]
        self._running: dict[int, GuessDial] = {}
        self._timers: dict[str | int, IDelayedCall] = {}
        self._refused = 0
        self._over = False
        self.dials = 0

    @property
    def in_words(self) -> str:
        """What was done, for the history."""
        return f"{self.dials} ports were {'opened for it' if self._opens else 'guessed'}"

    def start(self) -> None:
        """Dial port after port: the end that opens ports at once, the other when some are open."""
        self._later("next", 0.0 if self._opens else HEAD_START_SECONDS, self._next)

    def stop(self) -> None:
        """End all dials that are not taken yet."""
        self._over = True
        self._targets.clear()
        for timer in self._timers.values():
            cancel(timer)
        self._timers.clear()
        running, self._running = self._running, {}
        for each in running.values():
            each.call_off()

    def failed(self, endpoint: Endpoint, problem: BaseException | None) -> None:
        """A dial has failed, as nearly all do."""
        # what answers there is not the peer, or the peer's router rejects what comes; a connection that was
        # lost may be a guess that was right and let go
        self._refused += 1
        is_other = isinstance(problem, LinkClosed) and problem.reason is CloseReason.PROTOCOL_ERROR
        if self._opens and (is_other or self._refused >= MAX_REFUSED):
            self.stop()

    def refused(self, endpoint: Endpoint, reason: LinkClosed) -> None:
        """The peer was found, and the connection was of no use."""

    def _next(self) -> None:
        if self._opens and sum(each.is_connected for each in self._running.values()) >= MAX_CONNECTED:
            self.stop()
        for _ in range(min(BATCH_DIALS, len(self._targets))):
            # a dial that fails at once may end the attempt
            if self._over:
                return
            self._begin(self._targets.pop())
        if self._targets:
            self._later("next", BATCH_SECONDS, self._next)

    def _begin(self, endpoint: Endpoint) -> None:
        number = self.dials
        self.dials += 1
        dial = self._dial(self, endpoint)
        if self._over:
            dial.call_off()
            return
        self._running[number] = dial
        if not self._opens:
            # on a busy host the reactor has yet to see what came meanwhile, as it does before the next call
            let_go = partial(self._let_go, number)
            self._later(number, HOLD_SECONDS, partial(self._later, number, 0.0, let_go))

    def _let_go(self, number: int) -> None:
        # a guess that was right may take longer to show its preface
        if not self._running[number].is_connected:
            self._running.pop(number).call_off()

    def _later(self, which: str | int, seconds: float, call: Callable[[], None]) -> None:
        def run() -> None:
            del self._timers[which]
            call()

        self._timers[which] = self._clock.callLater(seconds, run)


def target_of(guess: Guess, endpoints: tuple[Endpoint, ...]) -> Endpoint | None:
    """What is dialled: one of the peer's own endpoints, at the address where its relay sees it."""
    fitting = (each for each in endpoints if each.host == guess.host and not is_local_only(each))
    return next(fitting, None)


def _prefix(host: str) -> str:
    return Endpoint(host, 1).prefix
