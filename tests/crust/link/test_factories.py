"""Links over real sockets and real TLS: how they come up, carry frames and end."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from routing_crust.config import Settings
from routing_crust.crust.interfaces import ILink
from routing_crust.crust.link import liveness
from routing_crust.crust.link.factories import LinkAcceptFactory, LinkConnectFactory
from routing_crust.crust.link.link import Link
from routing_crust.crust.link.plan import LinkPlan
from routing_crust.crust.link.sendqueue import QUEUE_PAUSE_BYTES
from routing_crust.endpoints import Direction, Endpoint
from routing_crust.errors import CloseReason, LinkClosed

from ..sockets import SocketTests, reactor
from ..support import Owner, StrangerFactory

DIAL = LinkPlan(Direction.CONNECTED, initiator=True)


class ComingUpTests(SocketTests):
    """Two nodes."""

    async def test_both_ends_report_the_link(self) -> None:
        """Both ends report the link, with each other's proven names and with what they share."""
        link, other = await self.pair(expected=self.theirs.identity.name, bootstrap=True, token=b"nonce")
        self.assertEqual(self.ours.of("up"), [(link,)])
        verifyObject(ILink, link)
        self.assertEqual((link.peer, other.peer), (self.theirs.identity.name, self.ours.identity.name))
        self.assertEqual(link.peer, self.theirs.identity.name)
        self.assertEqual(link.binding, other.binding)
        self.assertEqual((link.direction, other.direction), (Direction.CONNECTED, Direction.ACCEPTED))
        self.assertEqual((link.initiator, other.initiator), (True, False))
        self.assertEqual((link.bootstrap, link.token), (True, b"nonce"))
        self.assertEqual((other.bootstrap, other.token), (False, b""))
        self.assertEqual(link.connection.peer, other.connection.local)
        self.assertEqual(link.connection.local, other.connection.peer)
        self.assertEqual(self.theirs.asked, link.connection.local)
        await self.part()

    async def test_frames_arrive_in_order_before_the_goodbye(self) -> None:
        """Frames arrive in order; a Goodbye says the same reason at both ends, and both are closed."""
        link, other = await self.pair()
        for each in (link, other):
            each.verified()
        big = bytes(range(256)) * 256
        link.send(6, b"one")
        link.send(200, big)
        other.send(7, b"two")
        link.send(8, b"")
        await self.ours.next("frame")
        link.close(CloseReason.NO_LONGER_NEEDED, "for us only")
        (_, reason), (_, reason_there) = await self.ours.next("lost"), await self.theirs.next("lost")
        self.assertEqual(self.theirs.of("frame"), [(other, 6, b"one"), (other, 200, big), (other, 8, b"")])
        self.assertEqual(self.ours.of("frame"), [(link, 7, b"two")])
        self.assertEqual(
            (reason.reason, reason.detail, reason.by_peer),
            (CloseReason.NO_LONGER_NEEDED, "for us only", False),
        )
        self.assertEqual(
            (reason_there.reason, reason_there.detail, reason_there.by_peer),
            (CloseReason.NO_LONGER_NEEDED, "", True),
        )

    async def test_accepting_end_can_be_the_tls_client(self) -> None:
        port = self.listen(self.theirs, initiator=True, expected=self.ours.identity.name)
        link = await self.dial(self.ours, port, self.theirs.identity.name, initiator=False)
        (other,) = await self.theirs.next("up")
        self.assertEqual((link.initiator, other.initiator), (False, True))
        self.assertEqual((link.direction, other.direction), (Direction.CONNECTED, Direction.ACCEPTED))
        self.assertEqual(link.binding, other.binding)
        await self.part()

    async def test_link_closed_by_link_up_is_lost_once(self) -> None:
        """A link that its owner closes from within C{link_up} is still reported, and lost once."""
        self.theirs.handlers["up"] = lambda link: link.close(CloseReason.TOO_MANY_LINKS)
        link = await self.dial(self.ours, self.listen(self.theirs))
        (_, reason), (_, there) = await self.ours.next("lost"), await self.theirs.next("lost")
        self.assertEqual((reason.reason, reason.by_peer), (CloseReason.TOO_MANY_LINKS, True))
        self.assertEqual((there.reason, there.by_peer), (CloseReason.TOO_MANY_LINKS, False))
        self.assertEqual(len(self.ours.of("lost")), 1)
        link.send(6, b"nobody hears this")
        self.assertEqual(link.queued, 0)

    async def test_connection_that_the_owner_declines_is_closed(self) -> None:
        """The owner gets no further event for it."""
        self.theirs.lets_in = False
        error = await self.closed(self.dial(self.ours, self.listen(self.theirs)))
        self.assertIs(error.reason, CloseReason.CONNECTION_LOST)
        self.assertIn("before the TLS handshake", error.detail)
        self.assertEqual(self.theirs.events, [])

    async def test_refused_connection_fails_the_dial(self) -> None:
        port = reactor.listenTCP(0, StrangerFactory(), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        error = await self.closed(self.dial(self.ours, number))
        self.assertIs(error.reason, CloseReason.CONNECTION_LOST)
        self.assertIn("refused", error.detail)

    def test_failed_connect_tcp_fails_the_link(self) -> None:
        factory = LinkConnectFactory(self.ours, self.ours.tls, DIAL)
        factory.over_tls().clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        self.assertIs(
            self.failureResultOf(factory.link, LinkClosed).value.reason, CloseReason.CONNECTION_LOST
        )
        self.assertIsNone(factory.over_tls().buildProtocol(None))

    async def test_exception_in_link_up_closes_the_link(self) -> None:
        """A mistake of the owner in C{link_up} is logged and closes the link; the dial still ends."""

        def mistaken(link: Link) -> None:
            raise ZeroDivisionError

        self.ours.handlers["up"] = mistaken
        link = await self.dial(self.ours, self.listen(self.theirs))
        (_, reason) = await self.ours.next("lost")
        self.assertIs(reason.reason, CloseReason.PROTOCOL_ERROR)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.ours.of("up"), [(link,)])
        await self.theirs.next("lost")

    async def test_cancelled_dial_is_cut_without_an_event(self) -> None:
        clock = Clock()
        silent = StrangerFactory()
        port = reactor.listenTCP(0, silent, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        ours = Owner(clock)
        factory = LinkConnectFactory(ours, ours.tls, DIAL)
        tcp: Deferred[Any] = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port).connect(
            factory.over_tls()
        )
        await tcp
        factory.link.cancel()
        self.assertIs((await self.closed(factory.link)).reason, CloseReason.NO_LONGER_NEEDED)
        await silent.stranger.lost
        self.assertEqual((ours.events, clock.getDelayedCalls()), ([], []))

    async def test_dial_cancelled_before_connecting_fails(self) -> None:
        dial = self.dial(self.ours, self.listen(self.theirs))
        dial.cancel()
        self.assertIs((await self.closed(dial)).reason, CloseReason.NO_LONGER_NEEDED)

    def test_cancelled_factory_builds_no_protocol(self) -> None:
        factory = LinkConnectFactory(self.ours, self.ours.tls, DIAL)
        factory.link.cancel()
        self.failureResultOf(factory.link, LinkClosed)
        self.assertIsNone(factory.buildProtocol(None))


class BrokenLinkTests(SocketTests):
    """Links that were up."""

    async def test_bytes_that_are_not_tls_end_the_link(self) -> None:
        link, other = await self.pair()
        for each in (link, other):
            each.verified()
        link.transport.transport.write(b"this is not a TLS record, and will not become one")
        _, reason = await self.theirs.next("lost")
        self.assertIs(reason.reason, CloseReason.CONNECTION_LOST)
        self.assertIn("record", reason.detail)
        _, reason = await self.ours.next("lost")
        self.assertIs(reason.reason, CloseReason.CONNECTION_LOST)
        self.assertEqual(len(self.ours.of("lost")), 1)

    async def test_peer_that_ends_tls_without_goodbye_is_lost(self) -> None:
        link, _ = await self.pair()
        link.transport.unregisterProducer()
        link.transport.loseConnection()
        _, reason = await self.theirs.next("lost")
        self.assertEqual((reason.reason, reason.by_peer), (CloseReason.CONNECTION_LOST, True))
        self.assertIn("without a Goodbye", reason.detail)
        await self.ours.next("lost")

    async def test_link_to_a_peer_that_never_reads_is_cut(self) -> None:
        """The queue fills, producers wait, and in the end the link is cut; so is a link being closed."""
        clock = Clock()
        self.patch(liveness, "STALL_TIMEOUT_SECONDS", 8.0)
        ours = Owner(clock, Settings(inactivity_timeout=30))
        dial = self.dial(ours, self.listen(self.theirs))
        link = await dial
        (other,) = await self.theirs.next("up")
        link.verified()
        other.transport.transport.pauseProducing()
        while link.writable:
            link.send(6, bytes(60_000))
            clock.advance(0)
        waiting = link.when_writable()
        self.assertGreaterEqual(link.queued, QUEUE_PAUSE_BYTES)
        clock.pump([1] * 15)
        _, reason = await ours.next("lost")
        self.assertIs(reason.reason, CloseReason.STALLED)
        self.assertIs(self.failureResultOf(waiting, LinkClosed).value, reason)
        self.assertEqual(clock.getDelayedCalls(), [])
        other.abort(CloseReason.STALLED)
        await self.theirs.next("lost")

    async def test_many_megabytes_arrive_in_order(self) -> None:
        """Many megabytes with a pausing producer: all of it arrives, in order."""
        link, other = await self.pair()
        for each in (link, other):
            each.verified()
        most = 0
        for number in range(200):
            if not link.writable:
                await link.when_writable()
            link.send(6, number.to_bytes(4, "big") * 16_000)
            most = max(most, link.queued)
        link.close(CloseReason.NO_LONGER_NEEDED)
        await DeferredList([self.ours.next("lost"), self.theirs.next("lost")])
        got = [int.from_bytes(payload[:4], "big") for _, _, payload in self.theirs.of("frame")]
        self.assertEqual(got, list(range(200)))
        self.assertLess(most, QUEUE_PAUSE_BYTES + 64_004)

    async def test_connection_to_itself_is_refused(self) -> None:
        factory = LinkAcceptFactory(self.ours, self.ours.tls)
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        dial = LinkConnectFactory(self.ours, self.ours.tls, DIAL)
        dial.connect(TCP4ClientEndpoint(reactor, "127.0.0.1", number, bindAddress=("127.0.0.1", number)))
        error = await self.closed(dial.link)
        self.assertIs(error.reason, CloseReason.SELF)
        self.assertEqual(error.detail, "the connection's two ends are one")
        self.assertEqual(Endpoint("127.0.0.1", number).port, number)
