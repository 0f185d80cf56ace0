"""
Transfers over streams of a simulated network: what one end sends, and how much the other has received.

The node that opens a stream sends bytes of which both ends know, in this process, what they must be. The
other one sends them back (C{echo}; C{simple} is one that knows nothing of half-closed connections), or says
how many they were and what their hash is (C{count}). Either may pause its reading, close, or give up in the
middle. How the ends do that is in L{routing_crust.testing.play.transfer_ends}.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final, Protocol, TypeVar

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from ...names import Name
from ...routing.service import RoutingService
from ...streams import NodeAddress

ECHO: Final = "echo"
COUNT: Final = "count"
SIMPLE: Final = "simple"
NUMBER_BYTES: Final = 8
"""What a node sends begins with the number of its transfer."""
MAX_PIECE_BYTES: Final = 40_000
SIZES: Final = (0, 50, 3000, 3000, 60_000, 60_000, 400_000)
MAX_LINGERING_BYTES: Final = 16 * 1024
"""Bytes that go out in any case, even after their protocol is over: no more than the smallest window."""
MAX_PAUSE_SECONDS: Final = 10.0
"""Seconds for which an end may read nothing."""

_Answer = TypeVar("_Answer")


class TransferEnding(Enum):
    """How the node that opened a stream ends it."""

    HALF = "half"
    """It closes its half, and reads all that comes."""
    CLOSE = "close"
    """It closes, and reads nothing more."""
    ABORT = "abort"
    """It gives up, somewhere."""


@dataclass(frozen=True, slots=True)
class Manner:
    """
    How an end behaves.

    @ivar pause_at: bytes after which it stops reading for a while.
    @ivar pause: for how many seconds; 0 is not at all.
    @ivar abort_at: bytes read or written after which it gives up; C{None} is never.
    """

    pause_at: int
    pause: float
    abort_at: int | None

    @classmethod
    def drawn(cls, random: Random, size: int, aborts: bool) -> Manner:
        """Any of them, for a transfer of this size."""
        pause = random.random() * MAX_PAUSE_SECONDS if random.random() < 0.2 else 0.0
        return cls(random.randint(0, size), pause, random.randint(0, size) if aborts else None)


PLAIN: Final = Manner(0, 0.0, None)


class Flow:
    """
    What one end sends to the other.

    @ivar source: the bytes, as far as they are known.
    @ivar written: how many of them have been given to the transport.
    @ivar arrived: how many have come out at the other end.
    @ivar complete: whether the sender has said that these are all.
    """

    __slots__ = ("arrived", "complete", "source", "written")

    def __init__(self, source: bytes = b"") -> None:
        self.source = bytearray(source)
        self.written = self.arrived = 0
        self.complete = False

    def take(self, size: int) -> bytes:
        """The next bytes to write, up to C{size}."""
        piece = bytes(self.source[self.written : self.written + size])
        self.written += len(piece)
        return piece

    def arrive(self, data: bytes) -> bool:
        """These have come out. Returns whether they are what was sent next."""
        start, self.arrived = self.arrived, self.arrived + len(data)
        return self.arrived <= self.written and self.source[start : self.arrived] == data


class TransferEnd(Protocol):
    """
    One end of a transfer, as the transfer and its observer see it.

    @ivar title: which of the two ends it is, in words.
    @ivar service: the service of its node.
    @ivar host: the name of its node.
    @ivar peer: the address of the other end.
    @ivar reason: why it is over; C{None} as long as it is not.
    @ivar quits: whether it has closed or given up of its own accord.
    """

    title: str
    service: RoutingService
    host: Name
    peer: NodeAddress
    reason: BaseException | None
    quits: bool


class Transfer:
    """
    One stream, from before it is opened.

    @ivar number: which it is.
    @ivar protocol: what is spoken.
    @ivar there: what the node that opens it sends.
    @ivar back: what the other one does.
    @ivar opener: the end of the node that opens it; C{None} as long as the stream is not open.
    @ivar acceptor: the other one; C{None} as long as nothing has come there.
    @ivar answer: the stream's opening or the failure of it, as its node heard; C{None} before that.
    """

    def __init__(self, number: int, random: Random, plain: bool = False) -> None:
        """
        @param plain: whether neither end pauses or gives up.
        """
        self.number = number
        self.protocol = random.choice((ECHO, COUNT, SIMPLE))
        size = NUMBER_BYTES + random.choice(SIZES)
        # a simple end is over once it has read all: only so much of its echo is sure to go out after that
        if plain and self.protocol == SIMPLE:
            size = min(size, MAX_LINGERING_BYTES)
        self.there = Flow(number.to_bytes(NUMBER_BYTES, "big") + random.randbytes(size - NUMBER_BYTES))
        self.back = Flow()
        self.ending = TransferEnding.HALF if plain else random.choices(tuple(TransferEnding), (6, 2, 1))[0]
        self.opener_manner = Manner.drawn(random, size, self.ending is TransferEnding.ABORT)
        self.acceptor_manner = Manner.drawn(random, size, random.random() < 0.1)
        if plain:
            self.opener_manner = self.acceptor_manner = PLAIN
        self.streaming = random.random() < 0.5
        self.piece = random.randint(1000, MAX_PIECE_BYTES)
        self._size = size
        self.opener: TransferEnd | None = None
        self.acceptor: TransferEnd | None = None
        self.answer: object = None

    @property
    def ends(self) -> tuple[TransferEnd, ...]:
        """The ends that there are."""
        return tuple(each for each in (self.opener, self.acceptor) if each is not None)

    @property
    def done(self) -> bool:
        """Whether each end has sent all that it had, and got all of the other's, and both are over."""
        over = len(self.ends) == 2 and all(isinstance(each.reason, ConnectionDone) for each in self.ends)
        return over and all(
            each.complete and each.arrived == each.written for each in (self.there, self.back)
        )

    def has_an_answer(self, answer: _Answer) -> _Answer:
        """A callback, which passes on what it is given: the stream is open, or will not be."""
        self.answer = answer
        return answer

    def __str__(self) -> str:
        return f"transfer {self.number} ({self.protocol}, {self._size} bytes, {self.ending.value})"

    def forget_the_bytes(self) -> None:
        """If both ends are over, only how many bytes there were matters any more."""
        if len([each for each in self.ends if each.reason is not None]) == 2:
            self.there.source = bytearray()
            self.back.source = bytearray()

    @property
    def problem(self) -> BaseException | None:
        """Why the stream was not opened, or why it ended for its opener; C{None} as long as it has not."""
        if self.opener is not None:
            return self.opener.reason
        return self.answer.value if isinstance(self.answer, Failure) else None

    @property
    def state(self) -> str:
        """How far it has come, in words."""
        how_far = f"{self.there.arrived} there, {self.back.arrived} back"
        return f"{self}: {how_far}, {'no problem' if self.problem is None else self.problem!r}"
