"""
Openings: handshakes that we have begun, from the first flight until the peer is known to have the keys too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final, NamedTuple, Protocol, TypeAlias

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ...crust.interfaces import ILink
from ...names import Name
from ...timing.timers import cancel
from ...wire.messages import EnvelopeKind
from .handshake import Handshake

MAX_OPENINGS: Final = 512
"""Handshakes of our own at once; with more, the oldest is given up, and begun again if it is still wanted."""
FIRST_REPEAT_SECONDS: Final = 1.0
"""Until a flight is sent again; then twice as long each time."""
LEAST_REPEAT_SECONDS: Final = 0.25
"""Until a flight is sent again because somebody asks for it."""
MAX_REPEATS: Final = 5
"""How often a flight is sent again. Then the handshake is given up, unless it is complete."""


class WayBack(NamedTuple):
    """
    How a peer may be reached.

    @ivar proxy: the peer's proxy, as its own envelope has named it; empty if it has none or is not known.
    @ivar back: the link that its envelope came by.
    """

    proxy: bytes = b""
    back: ILink | None = None


ANY_WAY: Final = WayBack()


MakeBody: TypeAlias = Callable[[int, bytes], bytes]
"""Makes the body of an envelope from its id and our proxy, with which a packet is sealed."""


class SendFlight(Protocol):
    """Sends an envelope of a handshake, signed unless it is sealed."""

    def __call__(
        self, kind: EnvelopeKind, destination: Name, body: MakeBody, way: WayBack, attempt: int
    ) -> int | None:
        """
        @param attempt: how often it was sent before: each time another first hop is better.
        @return: the id of the envelope; C{None} without a first hop.
        """


@dataclass(slots=True)
class Opening:
    """
    A handshake that we have begun, until the peer is known to have the keys too.

    @ivar repeats: how often its last flight was sent again.
    @ivar attempt: how often any of its flights was sent.
    @ivar transmitted: when that was done last, in seconds, by a way that is not known to be broken.
    @ivar sent: the id of the envelope of its last flight; 0 if it had no first hop, or left with another
        packet of the session.
    @ivar sealed: whether the flight that completes it is in a packet already; a repetition takes another one.
    """

    peer: Name
    number: int
    handshake: Handshake
    way: WayBack
    repeats: int = 0
    attempt: int = 0
    transmitted: float = -inf
    sent: int = 0
    sealed: bool = False
    timer: IDelayedCall | None = None


class Openings:
    """Made by the C{Sessions}, discarded after L{stop}. There is at most one opening for each peer."""

    def __init__(self, clock: IReactorTime, send: Callable[[Opening], int | None]) -> None:
        """
        @param send: sends the last flight of an opening; returns as L{SendFlight} does.
        """
        self._clock = clock
        self._send = send
        self._openings: dict[Name, Opening] = {}
        self._sent: dict[int, Name] = {}

    def __len__(self) -> int:
        return len(self._openings)

    def find(self, peer: Name) -> Opening | None:
        """The opening for this peer."""
        return self._openings.get(peer)

    def add(self, opening: Opening) -> None:
        """Send the first flight, and send it again until the peer answers."""
        # dictionaries keep their order: the first is the oldest
        if len(self._openings) >= MAX_OPENINGS:
            self.end(next(iter(self._openings)))
        self._openings[opening.peer] = opening
        self.transmit(opening)

    def transmit_if_due(self, opening: Opening, again: bool) -> None:
        """
        Send the last flight once more, unless that was done just now: many may wait for the answer.

        @param again: whether something has waited for it for long.
        """
        least = LEAST_REPEAT_SECONDS if again else FIRST_REPEAT_SECONDS
        if opening.transmitted + least <= self._clock.seconds():
            self.transmit(opening)

    def transmit(self, opening: Opening) -> None:
        """Send the last flight of a handshake, once more if it was sent."""
        self.await_answer(opening)
        sent = self._send(opening)
        # without a first hop it does not count: it is sent at once when it is asked for next
        opening.sent = sent or 0
        if sent:
            self._sent[sent] = opening.peer
            opening.transmitted = self._clock.seconds()
        opening.attempt += 1

    def await_answer(self, opening: Opening) -> None:
        """The last flight of a handshake is sent now: send it again until the peer answers."""
        cancel(opening.timer)
        self._sent.pop(opening.sent, None)
        wait = FIRST_REPEAT_SECONDS * 2**opening.repeats
        opening.timer = self._clock.callLater(wait, self._repeat, opening)

    def end(self, peer: Name) -> None:
        """Send nothing more for this peer. One without an opening is no error."""
        opening = self._openings.pop(peer, None)
        if opening is not None:
            cancel(opening.timer)
            self._sent.pop(opening.sent, None)

    def undeliverable(self, envelope_id: int) -> Name | None:
        """A hint came that an envelope found no way on. Returns for whom it was, if it was a last flight."""
        peer = self._sent.pop(envelope_id, None)
        opening = None if peer is None else self._openings.get(peer)
        if opening is not None:
            # from now on it is sent again when somebody asks for it, and ends when nobody does
            cancel(opening.timer)
            opening.transmitted = -inf
            opening.repeats = MAX_REPEATS
            wait = FIRST_REPEAT_SECONDS * 2**MAX_REPEATS
            opening.timer = self._clock.callLater(wait, self._repeat, opening)
        return peer

    def link_lost(self) -> None:
        """Some link is gone, and perhaps what it was to carry."""
        for opening in self._openings.values():
            opening.transmitted = -inf

    def stop(self) -> None:
        """End all."""
        for peer in list(self._openings):
            self.end(peer)

    def _repeat(self, opening: Opening) -> None:
        if opening.repeats >= MAX_REPEATS:
            # a session stays without the peer's word that it has it: that word may not have been needed
            self.end(opening.peer)
            return
        opening.repeats += 1
        self.transmit(opening)
