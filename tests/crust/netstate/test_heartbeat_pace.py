"""The pace of heartbeats: it follows what becomes of idle links."""

from __future__ import annotations

from typing import cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.interfaces import ILink
from routing_crust.crust.netstate.heartbeat_pace import (
    MIN_HEARTBEAT_SECONDS,
    ONE_CAUSE_SECONDS,
    REMEMBERED_SECONDS,
    HeartbeatPace,
)
from routing_crust.endpoints import Connection, Endpoint, PathKind, Protocol
from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.names import Name

RESET = LinkClosed(CloseReason.CONNECTION_LOST)
HOME, OFFICE = "192.168.1.2", "192.168.7.2"
LONGEST = 20.0


class FakeLink:
    """A link that has died after it was idle."""

    def __init__(self, peer: int, local: str = HOME, at: str = "5.5.1.1") -> None:
        self.peer = Name(bytes([peer]) * 32)
        self.connection = Connection(Protocol.TCP, Endpoint(at, 5483), Endpoint(local, 5483))
        self.path_kind = PathKind.DIRECT
        self.died_idle = True


class HeartbeatPaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.pace = HeartbeatPace(self.clock.seconds, LONGEST)

    def of(self, local: str = HOME) -> float:
        return self.pace.of(Endpoint(local, 5483).prefix)

    def die(self, link: FakeLink, reason: LinkClosed = RESET, again: float | None = 1.0) -> None:
        """A link dies, and its peer is linked again after some seconds, or never."""
        self.pace.link_lost(cast(ILink, link), reason, ())
        if again is not None:
            self.clock.advance(again)
            self.pace.link_up(cast(ILink, link))
        self.clock.advance(ONE_CAUSE_SECONDS)

    def test_pace_doubles_where_idle_links_have_died_twice(self) -> None:
        """Down to the shortest, and only in that network, which is remembered."""
        self.die(FakeLink(1))
        self.assertEqual(self.of(), LONGEST)
        self.die(FakeLink(1))
        self.assertEqual((self.of(), self.of(OFFICE)), (LONGEST / 2, LONGEST))
        for number in range(10):
            self.die(FakeLink(number))
        self.assertEqual((self.of(), self.of(OFFICE)), (MIN_HEARTBEAT_SECONDS, LONGEST))
        self.clock.advance(86400)
        self.assertEqual(self.of(), MIN_HEARTBEAT_SECONDS)

    def test_second_link_that_was_there_before_the_first_died_counts_as_well(self) -> None:
        for _ in range(2):
            link, other = FakeLink(1), FakeLink(1)
            self.pace.link_lost(cast(ILink, link), RESET, (cast(ILink, other),))
            self.clock.advance(ONE_CAUSE_SECONDS)
        self.assertEqual(self.of(), LONGEST / 2)

    def test_links_that_die_at_once_have_one_cause(self) -> None:
        """A router that restarts forgets all connections, idle or not."""
        links = [FakeLink(number) for number in range(8)]
        for each in links:
            self.pace.link_lost(cast(ILink, each), RESET, ())
        for each in links:
            self.clock.advance(1)
            self.pace.link_up(cast(ILink, each))
        self.assertEqual(self.of(), LONGEST)

    def test_peers_that_die_themselves_change_nothing(self) -> None:
        """They are not linked again, or much later."""
        for number in range(4):
            self.die(FakeLink(number), again=None)
        for number in range(4, 8):
            self.die(FakeLink(number), again=REMEMBERED_SECONDS)
        self.assertEqual(self.of(), LONGEST)

    def test_other_ends_of_links_change_nothing(self) -> None:
        """Those that were in use, that were closed for a reason, or that never left the local network."""
        used, tunnel = FakeLink(1), FakeLink(2)
        used.died_idle = False
        tunnel.path_kind = PathKind.TUNNEL
        for _ in range(3):
            for each in (used, tunnel, FakeLink(3, at="192.168.1.9")):
                self.die(each)
            for number, reason in enumerate((CloseReason.STOPPING, CloseReason.SUPERSEDED), 4):
                self.die(FakeLink(number), LinkClosed(reason))
            self.die(FakeLink(6), LinkClosed(CloseReason.CONNECTION_LOST, by_peer=True))
        self.assertEqual(self.of(), LONGEST)

    def test_deaths_far_apart_change_nothing(self) -> None:
        for _ in range(4):
            self.die(FakeLink(1))
            self.clock.advance(REMEMBERED_SECONDS)
        self.assertEqual(self.of(), LONGEST)
