"""
The two meetings of a rendezvous, with real TLS and no sockets: which connection becomes the link.

L{World} holds both ends; each connection was dialled by one of them, or by both, and has a queue of bytes
each way. Hypothesis chooses what happens next.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.link.factories import link_of
from routing_crust.crust.link.link import Link
from routing_crust.crust.link.negotiation import Negotiation
from routing_crust.crust.link.plan import LinkPlan
from routing_crust.crust.link.preface import Preface
from routing_crust.crust.punch.meeting import MAX_CONNECTIONS, STALL_SECONDS, Meeting
from routing_crust.endpoints import Direction, PathKind
from routing_crust.errors import CloseReason, LinkClosed

from ..support import Owner

TOKEN = b"sixteen bytes of"
REQUESTER, RESPONDER = 0, 1
GONE = b""


class Transport:
    """One end of a connection."""

    protocol: Protocol
    bufferSize = 0
    disconnecting = False

    def __init__(self, clock: Clock, host: IPv4Address, peer: IPv4Address) -> None:
        self.clock = clock
        self.host, self.peer = host, peer
        self.inbox: deque[bytes] = deque()
        self.other: Transport
        self.gone = False

    def getHost(self) -> IPv4Address:
        return self.host

    def getPeer(self) -> IPv4Address:
        return self.peer

    def write(self, data: bytes) -> None:
        if not self.gone:
            self.other.inbox.append(data)

    def writeSequence(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        pass

    def unregisterProducer(self) -> None:
        pass

    def loseConnection(self) -> None:
        self.end(ConnectionDone())

    def abortConnection(self) -> None:
        self.end(ConnectionAborted())

    def end(self, why: Exception) -> None:
        """This end goes away; the other hears of it when it gets there."""
        if not self.gone:
            self.gone = True
            self.inbox.clear()
            self.other.inbox.append(GONE)
            self.clock.callLater(0, self.lost, why)

    def lost(self, why: Exception) -> None:
        self.protocol.connectionLost(Failure(why))

    def deliver(self) -> None:
        """The next bytes arrive."""
        data = self.inbox.popleft()
        if self.gone:
            return
        if data:
            self.protocol.dataReceived(data)
        else:
            self.gone = True
            self.inbox.clear()
            self.lost(ConnectionLost())


class Host:
    """One end: its meeting, and what becomes of its negotiations."""

    def __init__(self, clock: Clock, number: int, peer: Owner | None = None) -> None:
        self.owner = Owner(clock, seed=number + 1)
        self.requester = number == REQUESTER
        self.won: list[Link] = []
        self.up: list[Negotiation] = []
        self.gone: list[tuple[Negotiation, LinkClosed]] = []
        self.meeting: Meeting

    def meet(self, other: Host) -> None:
        self.meeting = Meeting(
            self.owner,
            self.owner.tls,
            other.owner.identity.name,
            TOKEN,
            self.requester,
            self.won.append,
        )

    def negotiation(self, dialled: bool, host: str) -> Negotiation:
        """A connection's beginning, as the listening port or the puncher makes it."""
        mine = None
        if dialled:
            self.meeting.dialling(host)
            mine = self.meeting.preface_for(host)
        link = link_of(self.owner)
        negotiation = Negotiation(self.owner, link, self.decide, mine)
        link.addCallbacks(
            self.came_up,
            lambda failure: self.gone.append((negotiation, failure.value)),
            callbackArgs=(negotiation,),
        )
        return negotiation

    def came_up(self, link: Link, negotiation: Negotiation) -> Link:
        self.up.append(negotiation)
        return link

    def decide(self, negotiation: Negotiation, first: bytes) -> None:
        if negotiation.preface is None:
            plan = LinkPlan(Direction.ACCEPTED, initiator=False)
            negotiation.begin_tls(self.owner.tls.wrap(plan, self.owner), first)
        elif negotiation.preface.proof == self.meeting.theirs:
            self.meeting.came(negotiation, first)
        else:
            negotiation.abort(CloseReason.PROTOCOL_ERROR, "not the one")


class World:
    """Both ends, joined by connections."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.hosts = [Host(self.clock, number) for number in (REQUESTER, RESPONDER)]
        for number in (REQUESTER, RESPONDER):
            self.hosts[number].meet(self.hosts[1 - number])
        self.wires: list[tuple[Transport, Transport]] = []

    @property
    def meetings(self) -> list[Meeting]:
        return [each.meeting for each in self.hosts]

    def connect(self, by: int | None) -> int:
        """A connection is made, dialled by one end or (C{None}) by both. Returns its number."""
        number = len(self.wires)
        addresses = [IPv4Address("TCP", f"192.0.2.{end + 1}", 5000 + number) for end in (0, 1)]
        ends = tuple(Transport(self.clock, addresses[end], addresses[1 - end]) for end in (0, 1))
        ends[0].other, ends[1].other = ends[1], ends[0]
        self.wires.append((ends[0], ends[1]))
        for end, transport in enumerate(ends):
            transport.protocol = self.hosts[end].negotiation(by is None or by == end, addresses[1 - end].host)
        for transport in ends:
            transport.protocol.makeConnection(transport)  # type: ignore[arg-type]
        return number

    def deliver(self, choice: int) -> None:
        ready = [end for wire in self.wires for end in wire if end.inbox]
        if ready:
            ready[choice % len(ready)].deliver()
            self.clock.advance(0)

    def deliver_all(self) -> None:
        self.clock.advance(0)
        while any(end.inbox for wire in self.wires for end in wire):
            self.deliver(0)

    def settle(self) -> None:
        """Everything arrives, and every wait is over, but those of links that are up."""
        for _ in range(40):
            self.deliver_all()
            self.clock.advance(0.3)

    def links(self, end: int) -> list[Link]:
        """The links that are up and not gone, of one end."""
        owner = self.hosts[end].owner
        lost = [link for link, _ in owner.of("lost")]
        return [link for (link,) in owner.of("up") if link not in lost]

    def verify(self) -> None:
        """Routing finds its Hellos good, so that time does not cut the links."""
        for end in (0, 1):
            for link in self.links(end):
                link.verified()


class MeetingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()

    def one_link(self, world: World) -> tuple[Link, Link]:
        """Both ends have one link, the same, and nothing else."""
        (link,), (other,) = world.links(REQUESTER), world.links(RESPONDER)
        self.assertEqual(link.binding, other.binding)
        self.assertEqual(link.connection.peer, other.connection.local)
        self.assertEqual((link.initiator, other.initiator), (True, False))
        self.assertEqual((link.token, other.token), (TOKEN, TOKEN))
        self.assertEqual(link.path_kind, other.path_kind)
        self.assertEqual([each.won for each in world.hosts], [[link], [other]])
        return link, other

    def test_simultaneous_open_gives_one_punched_link(self) -> None:
        """A simultaneous open: two dialling ends, one TLS client."""
        self.world.connect(None)
        self.world.deliver_all()
        link, other = self.one_link(self.world)
        self.assertEqual((link.direction, other.direction), (Direction.CONNECTED,) * 2)
        self.assertIs(link.path_kind, PathKind.PUNCHED)

    def test_requester_is_the_tls_client_on_any_connection(self) -> None:
        """Where only one end has dialled, the link is direct."""
        for by in (REQUESTER, RESPONDER):
            world = World()
            world.connect(by)
            world.deliver_all()
            link, other = self.one_link(world)
            self.assertEqual([link.direction, other.direction][by], Direction.CONNECTED)
            self.assertEqual([link.direction, other.direction][1 - by], Direction.ACCEPTED)
            self.assertIs(link.path_kind, PathKind.DIRECT)

    def test_connection_accepted_through_our_own_hole_is_punched(self) -> None:
        """The end that accepted had dialled the same address."""
        self.world.meetings[RESPONDER].dialling("192.0.2.1")
        self.world.connect(REQUESTER)
        self.world.deliver_all()
        link, _ = self.one_link(self.world)
        self.assertIs(link.path_kind, PathKind.PUNCHED)

    def test_first_connection_is_nominated_and_the_others_are_cut(self) -> None:
        """The first is the one whose prefaces are exchanged first."""
        for by in (REQUESTER, None, RESPONDER):
            self.world.connect(by)
        self.world.deliver_all()
        self.one_link(self.world)
        self.assertEqual(sum(end.gone for wire in self.world.wires for end in wire), 4)
        for host in self.world.hosts:
            self.assertEqual(len(host.gone), 2)

    def test_connection_after_the_link_is_up_is_cut(self) -> None:
        self.world.connect(None)
        self.world.deliver_all()
        self.world.connect(REQUESTER)
        self.world.deliver_all()
        self.one_link(self.world)

    def test_next_connection_has_its_turn_after_a_stall(self) -> None:
        """If TLS on the nominated connection is not done within a second, the next has its turn too."""
        slow = self.world.wires[self.world.connect(None)]
        slow[REQUESTER].deliver()
        slow[RESPONDER].deliver()
        held = [list(end.inbox) for end in slow]
        for end in slow:
            end.inbox.clear()
        self.world.connect(RESPONDER)
        self.world.deliver_all()
        self.assertEqual(self.world.links(REQUESTER), [])
        self.world.clock.advance(STALL_SECONDS)
        self.world.deliver_all()
        self.one_link(self.world)
        self.assertTrue(any(held))
        self.assertTrue(slow[REQUESTER].gone)

    def test_next_connection_has_its_turn_after_a_failure(self) -> None:
        """If the nominated connection breaks, the next has its turn at once."""
        first = self.world.wires[self.world.connect(None)]
        first[REQUESTER].deliver()
        first[RESPONDER].deliver()
        second = self.world.wires[self.world.connect(None)]
        second[REQUESTER].deliver()
        first[REQUESTER].end(ConnectionLost())
        self.world.deliver_all()
        link, _ = self.one_link(self.world)
        self.assertEqual(link.connection.local.port, 5001)

    def test_number_of_connections_is_bounded(self) -> None:
        for _ in range(MAX_CONNECTIONS + 3):
            end = self.world.wires[self.world.connect(RESPONDER)][REQUESTER]
            end.deliver()
        self.world.clock.advance(0)
        reasons = [reason.reason for _, reason in self.world.hosts[REQUESTER].gone]
        self.assertEqual(reasons, [CloseReason.TOO_MANY_LINKS] * 3)

    def test_responder_that_speaks_out_of_turn_is_cut(self) -> None:
        """A responder that says more than its preface before it is nominated is cut."""
        negotiation, transport = self.bare(REQUESTER, Direction.CONNECTED)
        theirs = Preface.of(TOKEN, False, True).octets
        negotiation.dataReceived(theirs + b"more")
        self.assertTrue(transport.gone)
        # and so is one that waits until it was its neighbour's turn
        nominated, _ = self.bare(REQUESTER, Direction.CONNECTED)
        nominated.dataReceived(theirs)
        waiting, transport = self.bare(REQUESTER, Direction.CONNECTED)
        waiting.dataReceived(theirs)
        waiting.dataReceived(b"more")
        self.assertTrue(transport.gone)
        waiting.dataReceived(b"and more")
        self.world.clock.advance(0)
        self.assertEqual(
            [reason.reason for _, reason in self.world.hosts[REQUESTER].gone],
            [CloseReason.PROTOCOL_ERROR] * 2,
        )

    def test_connection_without_a_preface_is_cut(self) -> None:
        """So is one that begins TLS where a preface is due."""
        echo = Preface.of(TOKEN, True, True).octets
        for direction, data in (
            (Direction.ACCEPTED, b"GET / HTTP/1.1\r\n"),
            (Direction.CONNECTED, b"\x16\x03\x01"),
            (Direction.CONNECTED, echo),
            (Direction.ACCEPTED, Preface.of(b"other", False, True).octets),
        ):
            negotiation, transport = self.bare(REQUESTER, direction)
            negotiation.dataReceived(data)
            self.assertTrue(transport.gone)

    def test_silent_connection_is_cut_after_hello_timeout(self) -> None:
        """One that says nothing, or not all, is cut after hello_timeout; after TLS began it counts on."""
        self.bare(RESPONDER, Direction.ACCEPTED)
        slow, _ = self.bare(RESPONDER, Direction.ACCEPTED)
        half, _ = self.bare(RESPONDER, Direction.ACCEPTED)
        half.dataReceived(Preface.of(TOKEN, True, True).octets[:20])
        clock = self.world.clock
        clock.advance(9)
        slow.dataReceived(Preface.of(TOKEN, True, True).octets)
        self.assertEqual(self.world.hosts[RESPONDER].gone, [])
        clock.advance(0.9)
        self.assertEqual(self.world.hosts[RESPONDER].gone, [])
        clock.pump([0.2, 0])
        gone = self.world.hosts[RESPONDER].gone
        self.assertEqual({reason.reason for _, reason in gone}, {CloseReason.HELLO_TIMEOUT})
        self.assertEqual(len(gone), 3)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_connection_to_itself_is_cut(self) -> None:
        here = IPv4Address("TCP", "192.0.2.1", 5000)
        _, transport = self.bare(REQUESTER, Direction.CONNECTED, here, here)
        self.assertTrue(transport.gone)
        self.world.clock.advance(0)
        ((_, reason),) = self.world.hosts[REQUESTER].gone
        self.assertIs(reason.reason, CloseReason.SELF)

    def test_closing_the_meeting_cuts_what_is_no_link(self) -> None:
        for _ in range(2):
            self.world.connect(None)
        for end in (REQUESTER, RESPONDER):
            for wire in self.world.wires:
                wire[end].deliver()
        for meeting in self.world.meetings:
            meeting.close()
        self.world.deliver_all()
        self.assertEqual([len(each.gone) for each in self.world.hosts], [2, 2])
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def bare(
        self,
        end: int,
        direction: Direction,
        here: IPv4Address = IPv4Address("TCP", "192.0.2.1", 5000),  # noqa: B008
        there: IPv4Address = IPv4Address("TCP", "192.0.2.2", 5000),  # noqa: B008
    ) -> tuple[Negotiation, Transport]:
        """One end of a connection, to whose other end the test is."""
        transport = Transport(self.world.clock, here, there)
        transport.other = Transport(self.world.clock, there, here)
        negotiation = self.world.hosts[end].negotiation(direction is Direction.CONNECTED, there.host)
        transport.protocol = negotiation
        negotiation.makeConnection(transport)  # type: ignore[arg-type]
        return negotiation, transport


step = st.tuples(st.integers(0, 9), st.integers(0, 255))


class EveryOrderTests(SynchronousTestCase):
    """What must hold in every order of connecting, accepting, prefaces, breaking and waiting."""

    def play(self, world: World, steps: list[tuple[int, int]], cuts: bool) -> None:
        for what, which in steps:
            if what == 0 and len(world.wires) < 6:
                world.connect((REQUESTER, RESPONDER, None)[which % 3])
            elif what == 1 and cuts and world.wires:
                wire = world.wires[which % len(world.wires)]
                wire[which >> 7].end(ConnectionLost())
                world.clock.advance(0)
            elif what == 2 and cuts:
                world.clock.advance((which % 16) / 10)
            else:
                world.deliver(which)

    def check_ends(self, world: World) -> None:
        """Each connection is a link at both ends or at none, and every negotiation has ended once."""
        for wire in world.wires:
            ports = [end.host.port for end in wire]
            up = [
                [link for link in world.links(end) if link.connection.local.port == ports[end]]
                for end in (0, 1)
            ]
            self.assertEqual(len(up[0]), len(up[1]))
        for end, host in enumerate(world.hosts):
            self.assertEqual(len(host.up) + len(host.gone), len(world.wires))
            self.assertEqual(
                len({id(negotiation) for negotiation in (*host.up, *(each for each, _ in host.gone))}),
                len(world.wires),
            )
            self.assertEqual(len(host.won), 1 if host.up else 0, end)

    @settings(deadline=None, derandomize=True, max_examples=150)
    @given(st.lists(step, max_size=50))
    def test_both_ends_agree_on_one_link_in_every_order(self, steps: list[tuple[int, int]]) -> None:
        """If no connection breaks, both ends agree on one link, and every other connection is gone."""
        world = World()
        self.play(world, steps, cuts=False)
        world.deliver_all()
        world.verify()
        world.settle()
        self.check_ends(world)
        if world.wires:
            MeetingTests.one_link(self, world)  # type: ignore[arg-type]
        for wire in world.wires:
            self.assertEqual(wire[0].gone, wire[1].gone)
        self.assertEqual(sum(not wire[0].gone for wire in world.wires), 1 if world.wires else 0)

    @settings(deadline=None, derandomize=True, max_examples=250)
    @given(st.lists(step, max_size=70))
    def test_no_end_keeps_a_connection_that_the_other_lost(self, steps: list[tuple[int, int]]) -> None:
        """This holds for any order of breaks and stalls."""
        world = World()
        self.play(world, steps, cuts=True)
        world.deliver_all()
        world.verify()
        world.settle()
        self.check_ends(world)
        for meeting in world.meetings:
            meeting.close()
        for end in (0, 1):
            for link in world.links(end):
                link.abort(CloseReason.STOPPING)
        world.settle()
        self.assertEqual(world.clock.getDelayedCalls(), [])
