"""
What a behaviour is, and what it may use: its target, keys, connections, and an end.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from .keys import Key
from .peer import Closed, Peer

CLOSED_WITHIN_SECONDS: Final = 120.0
"""
What is to be closed is closed by then, on a busy machine too: the longest wait of the daemon is that for a
Hello, 10 s.
"""
KEPT_AFTER_SECONDS: Final = 3.0
"""What is still open by then is taken to be tolerated, of what is documented to be."""
KEPT: Final = "kept"
"""The reaction to a breach that the daemon ignores."""
SOURCES: Final = "127.66"
"""The first half of the addresses of hostile connections; honest peers use another /16."""
EXPOSED: Final = "discard"
"""The protocol of the program that the daemon exposes to everybody: it reads all, and says nothing."""
HONEST: Final = "127.88"
"""The first half of the addresses of connections that stand for honest ones within a behaviour."""


@dataclass(slots=True)
class Target:
    """
    The daemon that is attacked.

    @ivar address: where it listens.
    @ivar network: its network id.
    @ivar name: the 32 bytes of its name.
    @ivar other: the name of an honest node that is linked with it.
    @ivar end: when the behaviour has to be over, on the monotonic clock.
    @ivar source: the address that hostile connections come from, unless a behaviour uses several.
    @ivar open: the connections that were made; closed when the behaviour is over.
    @ivar reaction: what the daemon did, in words.
    @ivar proxy: where its proxy for local programs listens.
    @ivar forwarded: its UDP port, whose datagrams it is to carry to a peer that is off.
    @ivar patience: how long to wait for the daemon to close a connection, in seconds.
    """

    address: tuple[str, int]
    network: str
    name: bytes
    other: bytes
    end: float
    source: str = f"{SOURCES}.6.6"
    open: list[Peer] = field(default_factory=list)
    reaction: str = ""
    patience: float = CLOSED_WITHIN_SECONDS
    proxy: tuple[str, int] = ("127.0.0.1", 0)
    forwarded: tuple[str, int] = ("127.0.0.1", 0)

    def peer(self, key: Key | None = None, **how: Any) -> Peer:
        """A TCP connection. See L{Peer}."""
        how["source"] = how.get("source") or self.source
        peer = Peer(self.address, key or Key(), **how)
        self.open.append(peer)
        return peer

    def attached(self, key: Key | None = None, source: str | None = None, **hello: Any) -> Peer:
        """A confirmed link, as an honest newcomer has it."""
        return self.peer(key, source=source).attach(self.network, **hello)

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return self.end - time.monotonic()

    def paced(self, per_second: float) -> Iterator[int]:
        """Count up to the end, at most this many times a second."""
        began, number = time.monotonic(), 0
        while self.left > 0:
            yield number
            number += 1
            ahead = began + number / per_second - time.monotonic()
            if ahead > 0:
                time.sleep(min(ahead, max(0.0, self.left)))

    def expect_close(self, peer: Peer, seconds: float | None = None) -> None:
        """Note whether the daemon closes this connection."""
        closed = peer.closed_within(self.patience if seconds is None else seconds)
        said = "" if peer.reason is None else f", goodbye {peer.reason}"
        self.reaction = f"closed{said}" if closed else KEPT

    def expect_plain_close(
        self, data: bytes, seconds: float = CLOSED_WITHIN_SECONDS, to: tuple[str, int] | None = None
    ) -> None:
        """Send bytes without TLS, and note whether the daemon closes the connection."""
        with socket.socket() as plain:
            plain.bind((self.source, 0))
            plain.settimeout(seconds)
            plain.connect(to or self.address)
            plain.sendall(data)
            try:
                while plain.recv(4096):
                    pass
                self.reaction = "closed"
            except TimeoutError:
                self.reaction = KEPT

    def close(self) -> None:
        """Close all connections."""
        for peer in self.open:
            peer.close()
        self.open.clear()


Act = Callable[[Target], None]
BEHAVIOURS: Final[dict[str, Behaviour]] = {}
"""All behaviours by name, in the order in which their modules define them."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """
    Something that a hostile peer does.

    @ivar name: in a few words, with hyphens.
    @ivar what: a sentence.
    @ivar act: does it, until the target's end; L{Closed} ends it early.
    @ivar flood: whether it goes on to the end, so that an honest newcomer and pings are measured meanwhile.
    @ivar tolerated: whether the daemon ignores it instead of closing the connection.
    """

    name: str
    what: str
    act: Act
    flood: bool
    tolerated: bool

    def play(self, target: Target) -> str:
        """Do it. Returns what the daemon did."""
        if self.tolerated:
            target.patience = KEPT_AFTER_SECONDS
        try:
            self.act(target)
        except Closed as problem:
            target.reaction = target.reaction or f"closed, {problem}"
        except OSError as problem:
            target.reaction = target.reaction or f"closed, {problem.strerror or problem}"
        finally:
            target.close()
        return target.reaction or "nothing"


def behaviour(what: str, *, flood: bool = False, tolerated: bool = False) -> Callable[[Act], Act]:
    """Add a function to L{BEHAVIOURS}, under its own name. The arguments are those of L{Behaviour}."""

    def add(act: Act) -> Act:
        name = act.__name__.replace("_", "-")
        BEHAVIOURS[name] = Behaviour(name, what, act, flood, tolerated)
        return act

    return add
