"""What the two ways to ask for a connection have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .bodies import Body
from .hosts import HostProblem


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    A connection that is asked for.

    @ivar head: what the program at the other end is sent first.
    @ivar body: what of the following bytes belongs to this request; C{None} if all do.
    """

    host: str
    port: int
    head: bytes = b""
    body: Body | None = None


@dataclass(frozen=True, slots=True)
class HandshakeStep:
    """
    What follows from some bytes.

    @ivar reply: to be sent.
    @ivar wanted: the connection that is to be made now.
    @ivar ends: whether to hang up after the reply.
    @ivar problem: what is wrong with the request, for the log; without the host that it names.
    """

    reply: bytes = b""
    wanted: Wanted | None = None
    ends: bool = False
    problem: str = ""


class ProxyHandshake(Protocol):
    """Bytes of a program, until it is known where it wants to go."""

    def feed(self, data: bytes) -> HandshakeStep:
        """Take bytes; not after it has wanted something or ended."""
        ...

    @property
    def rest(self) -> bytes:
        """The bytes behind the request."""
        ...

    def accepted(self) -> bytes:
        """What to say when the connection is there."""
        ...

    def refused(self, problem: HostProblem, text: str) -> bytes:
        """What to say when there is none."""
        ...
