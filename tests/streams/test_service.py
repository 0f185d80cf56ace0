"""Streams of whole nodes: opened by name, refused, limited, and lost with their links."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError, NoProtocol
from twisted.internet.interfaces import IListeningPort
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from routing_crust import Name, Role, RoutingService
from routing_crust.config import KIB, MIB
from routing_crust.endpoints import Connection, Endpoint, Protocol
from routing_crust.errors import (
    CannotListen,
    CloseReason,
    LimitReached,
    NotConnected,
    PeerUnreachable,
    ServiceStopped,
)
from routing_crust.routing.links.stream_layer import FIRST_STREAM_KIND, LAST_STREAM_KIND
from routing_crust.routing.state import State
from routing_crust.streams import (
    IStreamAcceptor,
    NodeAddress,
    StreamLinkLost,
    StreamReason,
    StreamRefused,
    StreamReset,
    Streams,
    streams_of,
)
from routing_crust.streams.frames import Resume, StreamFrame, open_frame, pack_number, resume_frame
from tests.routing.net import Net

from .protocols import Echo, HalfCloseable, Keeping, Noting

STATUS: dict[str, Any] = {"offered": ["echo"], "open": {}, "suspended": {}}


class StreamsCase(SynchronousTestCase):
    """A network in memory. What is left at the end of a test is looked for."""

    def setUp(self) -> None:
        self.net = Net()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        everyone = [streams_of(node) for node in self.net.nodes]
        self.net.stop()
        for each in everyone:
            self.assertEqual(len(each._peers), 0)
        self.assertEqual(self.net.clock.getDelayedCalls(), [])

    def two(self, **options: Any) -> tuple[RoutingService, RoutingService]:
        one, two = self.net.grow(2, **options)
        return one, two

    def client(self, **options: Any) -> RoutingService:
        client = self.net.node(role=Role.CLIENT, listen=(), **options)
        self.net.result(client.when_connected())
        return client

    def open(self, here: RoutingService, there: Name, protocol: str = "echo", kind: Any = Noting) -> Any:
        return self.net.result(streams_of(here).open(there, protocol, Keeping(kind)))

    def fails(self, deferred: Deferred[Any], *kinds: type[Exception]) -> Any:
        error: Any = self.assertRaises(kinds, self.net.result, deferred)
        return error


class OpenTests(StreamsCase):
    def test_stream_opens_by_name(self) -> None:
        """Bytes both ways; each end knows the other's name and the protocol; factories start and stop."""
        one, two = self.two()
        served, opened = Keeping(Echo), Keeping()
        port = streams_of(one).listen("echo", served)
        verifyObject(IListeningPort, port)
        self.assertEqual(port.getHost(), NodeAddress(one.node_name, "echo"))
        mine = self.net.result(streams_of(two).open(one.node_name, "echo", opened))
        self.assertEqual(mine.calls, ["made"])
        theirs = served.made[0]
        self.assertEqual(mine.transport.getPeer(), NodeAddress(one.node_name, "echo"))
        self.assertEqual(theirs.transport.getPeer(), NodeAddress(two.node_name, "echo"))
        self.assertEqual(theirs.transport.getHost(), mine.transport.getPeer())
        self.assertEqual(
            (served.addresses, opened.addresses), ([theirs.transport.getPeer()], [port.getHost()])
        )
        self.assertEqual((served.running, opened.running), (1, 1))
        mine.transport.write(bytes(MIB))
        self.net.run(lambda: len(mine.received) == MIB)
        self.assertEqual(streams_of(one).status(), STATUS | {"open": {str(two.node_name): 1}})
        mine.transport.loseConnection()
        self.net.run(lambda: theirs.reason is not None)
        self.assertIsInstance(theirs.reason, ConnectionDone)
        self.assertEqual((served.running, opened.running), (1, 0))
        self.net.settle(1)
        self.assertEqual(streams_of(one).status(), STATUS)
        port.stopListening()
        self.assertEqual((served.running, streams_of(one).status()["offered"]), (0, []))

    def test_one_link_for_all(self) -> None:
        """A hundred streams, in both directions, over the link that there is."""
        one, two = self.two()
        for node in (one, two):
            streams_of(node).listen("echo", Keeping(Echo))
        links = len(self.net.network.links)
        made = [
            self.open(here, there.node_name) for here, there in ((one, two), (two, one)) for _ in range(50)
        ]
        for number, each in enumerate(made):
            each.transport.write(b"%d" % number)
        self.net.run(lambda: all(each.received for each in made))
        self.assertEqual([each.received for each in made], [b"%d" % number for number in range(100)])
        self.assertEqual(len(self.net.network.links), links)

    def test_before_the_start_and_once(self) -> None:
        """The streams of a service are always the same ones, and can be had before it is started."""
        first = self.net.node()
        two = self.net.make(self.net.identity(), first.settings)
        self.assertIs(streams_of(two), streams_of(two))
        self.assertIsInstance(streams_of(first), Streams)
        self.assertRaises(ValueError, first.set_stream_layer, streams_of(two))
        self.failureResultOf(streams_of(two).open(first.node_name, "echo", Keeping()), ServiceStopped)

    def test_links_that_were_there_before(self) -> None:
        """Streams that are asked for late know of the links that there are."""
        one, two = self.two()
        self.assertIsNone(one.stream_layer)
        streams_of(one).listen("echo", Keeping(Echo))
        mine = self.open(two, one.node_name)
        self.assertEqual(mine.calls, ["made"])

    def test_makes_a_link_and_gives_it_up(self) -> None:
        """To a node without a link one is made; it goes again when it has been idle, for both ends."""
        nodes = self.net.grow(3)
        client = self.client()
        proxy = client.status()["proxy"]
        other = next(each for each in nodes if str(each.node_name) != proxy)
        streams_of(other).listen("echo", Keeping(Echo))
        mine = self.open(client, other.node_name)
        again = self.open(client, other.node_name)
        self.assertTrue(self.linked(client, other))
        mine.transport.loseConnection()
        self.net.settle(100)
        self.assertTrue(self.linked(client, other))
        again.transport.loseConnection()
        self.net.settle(50)
        self.assertTrue(self.linked(client, other))
        self.net.settle(15)
        self.assertFalse(self.linked(client, other))
        self.assertFalse(self.linked(other, client))
        self.assertIs(client.state, State.CONNECTED)

    def linked(self, here: RoutingService, there: RoutingService) -> bool:
        links: Any = here.status()["links"]
        return str(there.node_name) in [each["peer"] for each in links]

    def test_link_that_is_used_otherwise_stays(self) -> None:
        """What an application asked for itself stays, as does what is used for messages or another stream."""
        nodes = self.net.grow(4)
        client = self.client()
        proxy = client.status()["proxy"]
        kept, used, reopened = [each for each in nodes if str(each.node_name) != proxy]
        used.set_message_handler(lambda message: None)
        for each in (kept, used, reopened):
            streams_of(each).listen("echo", Keeping(Echo))
            self.open(client, each.node_name).transport.loseConnection()
        self.net.result(client.connect(kept.node_name))
        for _ in range(4):
            self.net.settle(40)
            self.net.result(client.send(used.node_name, b"still here"))
        self.assertEqual([self.linked(client, each) for each in (kept, used, reopened)], [True, True, False])
        self.open(client, reopened.node_name).transport.loseConnection()
        self.net.settle(50)
        mine = self.open(client, reopened.node_name)
        self.net.settle(100)
        self.assertTrue(self.linked(client, reopened))
        # a stream that the other end has opened keeps it as well
        streams_of(client).listen("echo", Keeping(Echo))
        theirs = self.open(reopened, client.node_name)
        mine.transport.loseConnection()
        self.net.settle(100)
        self.assertTrue(self.linked(client, reopened))
        theirs.transport.loseConnection()
        self.net.settle(100)
        self.assertFalse(self.linked(client, reopened))

    def test_client_reaches_its_proxy(self) -> None:
        """A client's only link is as good as any, and stays."""
        (node,) = self.net.grow(1)
        client = self.client()
        streams_of(node).listen("echo", Keeping(Echo))
        links = len(self.net.network.links)
        self.open(client, node.node_name).transport.loseConnection()
        self.net.settle(200)
        self.assertEqual(len(self.net.network.links), links)
        self.assertIs(client.state, State.CONNECTED)

    def test_unreachable_name_fails_the_open(self) -> None:
        """A name without a node, our own, and none at all."""
        one, _ = self.two()
        factory = Keeping()
        self.fails(streams_of(one).open(self.net.identity().name, "echo", factory), PeerUnreachable)
        self.fails(streams_of(one).open(one.node_name, "echo", factory), NotConnected)
        self.assertRaises(ValueError, streams_of(one).open, one.node_name, "not a name", factory)
        self.assertRaises(ValueError, streams_of(one).listen, "not/a/name", factory)
        self.assertEqual((factory.running, factory.made), (0, []))


class RefusalTests(StreamsCase):
    def setUp(self) -> None:
        super().setUp()
        self.one, self.two_ = self.two()
        streams_of(self.one)
        self.factory = Keeping()

    def refused(self, protocol: str = "echo") -> StreamRefused:
        error: StreamRefused = self.fails(
            streams_of(self.two_).open(self.one.node_name, protocol, self.factory), StreamRefused
        )
        self.assertEqual((self.factory.made, self.factory.running), ([], 0))
        self.net.settle(1)
        self.assertFalse(streams_of(self.one).in_use(self.two_.node_name))
        return error

    def test_unknown_protocol_is_refused(self) -> None:
        error = self.refused()
        self.assertIs(error.reason, StreamReason.NOT_OFFERED)
        self.assertEqual(str(error), "nobody offers this protocol there")

    def test_withdrawn_protocol_is_refused(self) -> None:
        port = streams_of(self.one).listen("echo", Keeping())
        self.assertRaises(CannotListen, streams_of(self.one).listen, "echo", Keeping())
        self.successResultOf(port.stopListening())
        self.successResultOf(port.stopListening())
        self.assertIs(self.refused().reason, StreamReason.NOT_OFFERED)
        port.startListening()
        self.open(self.two_, self.one.node_name)

    def test_only_allowed_names_are_accepted(self) -> None:
        """The decision is by proven name."""
        asked: list[Name] = []
        allowed: list[Name] = []
        streams_of(self.one).listen(
            "echo", Keeping(), lambda name: bool(asked.append(name)) or name in allowed
        )
        self.assertIs(self.refused().reason, StreamReason.NOT_ALLOWED)
        self.assertEqual(asked, [self.two_.node_name])
        allowed.append(self.two_.node_name)
        self.open(self.two_, self.one.node_name)

    def test_who_is_allowed_cannot_be_told(self) -> None:
        """Then nobody is."""
        streams_of(self.one).listen("echo", Keeping(), lambda name: bool(1 // 0))
        self.assertIs(self.refused().reason, StreamReason.NOT_ALLOWED)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_factory_can_refuse_a_stream(self) -> None:
        """Without a word, with one, and by mistake, which is not told."""

        class Refusing(Keeping):
            problem: Exception | None = None

            def buildProtocol(self, addr: Any) -> None:
                if self.problem is not None:
                    raise self.problem

        factory = Refusing()
        streams_of(self.one).listen("echo", factory)
        error = self.refused()
        self.assertEqual((error.reason, error.detail), (StreamReason.FAILED, ""))
        factory.problem = StreamRefused(StreamReason.NOT_ALLOWED, "on Sundays only")
        error = self.refused()
        self.assertEqual(str(error), "this protocol is not for this peer: on Sundays only")
        factory.problem = ZeroDivisionError("a secret")
        error = self.refused()
        self.assertEqual((error.reason, error.detail), (StreamReason.FAILED, ""))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_own_streams_are_limited(self) -> None:
        """Of ours; they are all over when the link is."""
        settings_limit = 256
        streams_of(self.one).listen("echo", Keeping())
        opens = [
            streams_of(self.two_).open(self.one.node_name, "echo", Keeping()) for _ in range(settings_limit)
        ]
        error = self.failureResultOf(
            streams_of(self.two_).open(self.one.node_name, "echo", self.factory), LimitReached
        )
        self.assertIn("max_streams", str(error.value))
        for each in opens:
            self.net.result(each)
        self.assertEqual(self.factory.running, 0)

    def test_both_ends_log_it(self) -> None:
        """Quietly: one line a second for each reason."""
        from twisted.logger import globalLogPublisher

        lines: list[str] = []

        def note(event: Any) -> None:
            if "stream" in (event.get("log_format") or ""):
                lines.append(str(event["log_format"]).format(**event))

        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        for _ in range(2):
            self.fails(streams_of(self.two_).open(self.one.node_name, "nix", self.factory), StreamRefused)
        self.assertEqual(len(lines), 2)
        here, there = self.two_.node_name, self.one.node_name
        self.assertIn(f"refused {here} a stream of nix: nobody offers this protocol there", lines)
        self.assertIn(f"{there} refused a stream of nix: nobody offers this protocol there", lines)


@implementer(IStreamAcceptor)
class Hesitant(Keeping):
    """Accepts later."""

    def __init__(self) -> None:
        super().__init__()
        self.decisions: list[Deferred[Any]] = []
        self.cancelled = 0

    def accept_stream(self, address: NodeAddress) -> Deferred[Any]:
        decision: Deferred[Any] = Deferred(self.cancel)
        self.decisions.append(decision)
        return decision

    def cancel(self, decision: Deferred[Any]) -> None:
        self.cancelled += 1


class AcceptorTests(StreamsCase):
    def setUp(self) -> None:
        super().setUp()
        self.one, self.two_ = self.two()
        self.factory = Hesitant()
        streams_of(self.one).listen("echo", self.factory)
        self.opened: list[Any] = []
        self.opening = streams_of(self.two_).open(self.one.node_name, "echo", Keeping())
        self.opening.addBoth(self.opened.append)
        self.net.run(lambda: self.factory.decisions)

    def test_acceptor_may_accept_later(self) -> None:
        self.net.settle(10)
        self.assertEqual(self.opened, [])
        theirs = Echo()
        self.factory.decisions[0].callback(theirs)
        self.net.run(lambda: self.opened)
        self.opened[0].transport.write(b"hello")
        self.net.run(lambda: self.opened[0].received == b"hello")

    def test_acceptor_may_refuse_later_with_a_text(self) -> None:
        """The text of a failed connection is told: it is what an operator looks for."""
        self.factory.decisions[0].errback(ConnectionRefusedError())
        self.net.run(lambda: self.opened)
        error = self.opened[0].value
        self.assertIs(error.reason, StreamReason.FAILED)
        self.assertIn("Connection was refused by other side", str(error))

    def test_slow_acceptor_refuses_the_stream(self) -> None:
        """Both ends give up."""
        self.net.settle(31)
        self.assertEqual(self.opened[0].value.reason, StreamReason.TOO_SLOW)
        self.assertEqual(self.factory.cancelled, 1)

    def test_stream_is_asked_for_again_over_the_link_that_replaces_a_dead_one(self) -> None:
        """Nothing comes over the first link, so a second one is made, long before the time is over."""
        self.net.network.half_open(self.net.network.links[0])
        self.opening.cancel()
        self.opened.clear()
        streams_of(self.two_).open(self.one.node_name, "echo", Keeping()).addBoth(self.opened.append)
        self.net.run(lambda: len(self.factory.decisions) == 2, timeout=8)
        theirs = Echo()
        self.factory.decisions[1].callback(theirs)
        self.net.run(lambda: self.opened)
        self.opened[0].transport.write(b"hello")
        self.net.run(lambda: self.opened[0].received == b"hello")

    def test_cancelled_open_cancels_the_acceptor(self) -> None:
        """The opener gives up, and the acceptor hears of it."""
        self.opening.cancel()
        self.assertIsInstance(self.opened[0].value, CancelledError)
        self.net.run(lambda: self.factory.cancelled)
        self.net.settle(1)
        self.assertFalse(streams_of(self.two_).in_use(self.one.node_name))
        self.assertFalse(streams_of(self.one).in_use(self.two_.node_name))

    def test_opening_goes_on_over_another_link(self) -> None:
        """The acceptor decides while there is no link, and the answer comes with the next."""
        self.net.network.cut(self.net.network.links[0])
        self.net.settle(0.1)
        theirs = Echo()
        self.factory.decisions[0].callback(theirs)
        self.net.run(lambda: self.opened, timeout=10)
        self.opened[0].transport.write(b"hello")
        self.net.run(lambda: self.opened[0].received == b"hello")

    def test_late_decision_has_no_effect(self) -> None:
        """A decision after the peer has given up is of no effect."""
        decision: Deferred[Any] = Deferred(lambda cancelled: cancelled.callback(Noting()))
        self.factory.accept_stream = lambda address: decision  # type: ignore[method-assign]
        other = streams_of(self.two_).open(self.one.node_name, "echo", Keeping())
        self.net.settle(1)
        other.cancel()
        self.failureResultOf(other, CancelledError)
        self.net.settle(1)
        self.assertEqual(streams_of(self.one).status()["open"], {str(self.two_.node_name): 1})


class OwnFactoryTests(StreamsCase):
    """Our own factory may change its mind when the peer has accepted."""

    def test_factory_without_protocol_fails_the_open(self) -> None:
        one, two = self.two()
        served = Keeping()
        streams_of(one).listen("echo", served)

        class Nothing(Keeping):
            def buildProtocol(self, addr: Any) -> None:
                return None

        class Failing(Keeping):
            def buildProtocol(self, addr: Any) -> None:
                raise ZeroDivisionError

        for factory, error in ((Nothing(), NoProtocol), (Failing(), ZeroDivisionError)):
            self.fails(streams_of(two).open(one.node_name, "echo", factory), error)
            self.assertEqual(factory.running, 0)
        self.net.settle(1)
        self.assertEqual([type(each.reason) for each in served.made], [StreamReset, StreamReset])
        self.assertEqual(streams_of(two).status()["open"], {})


class FlowTests(StreamsCase):
    def setUp(self) -> None:
        super().setUp()
        self.one, self.two_ = self.two()
        self.served = Keeping()
        streams_of(self.one).listen("sink", self.served)

    def open_both(self) -> tuple[Any, Any]:
        mine = self.open(self.two_, self.one.node_name, "sink")
        return mine, self.served.made[-1]

    def test_unread_stream_stops_only_its_sender(self) -> None:
        """That stream's sender stops, and no other; when it reads again all comes."""
        slow, reader = self.open_both()
        quick, other = self.open_both()
        reader.transport.pauseProducing()
        slow.transport.write(bytes(4 * MIB))
        quick.transport.write(bytes(4 * MIB))
        self.net.run(lambda: len(other.received) == 4 * MIB)
        self.net.settle(100)
        self.assertEqual(reader.received, b"")
        self.assertEqual(slow.transport._stream.send_window, 0)
        self.net.result(self.two_.request(self.one.node_name, b"x").addErrback(lambda failure: None))
        reader.transport.resumeProducing()
        self.net.run(lambda: len(reader.received) == 4 * MIB)

    def test_messages_and_small_streams_go_ahead(self) -> None:
        """Counted in frames: beside eight bulk streams, a message and a few bytes of another come soon."""
        bulk = [self.open_both()[0] for _ in range(8)]
        small, reader = self.open_both()
        frames: list[tuple[int, bytes]] = []
        (sender,) = self.net.crust(self.two_).links
        send = sender.send
        sender.send = lambda kind, payload: (frames.append((kind, payload)), send(kind, payload))[1]  # type: ignore[method-assign]
        heard: list[bytes] = []
        self.one.set_message_handler(lambda message: heard.append(message.body))
        for each in bulk:
            each.transport.write(bytes(4 * MIB))
        self.net.run(lambda: len(frames) > 100)
        self.assertLess(sender.queued, 200 * KIB)
        at = len(frames)
        small.transport.write(b"hello")
        self.net.run(lambda: reader.received)
        number = small.transport._stream.head
        sent = next(i for i, (_, payload) in enumerate(frames) if i >= at and payload[:4] == number) - at
        self.assertLessEqual(sent, 4)
        at = len(frames)
        self.two_.send(self.one.node_name, b"message")
        self.net.run(lambda: heard)
        sent = next(i for i, (kind, _) in enumerate(frames) if i >= at and kind < FIRST_STREAM_KIND) - at
        self.assertLessEqual(sent, 1)
        del sender.send
        self.net.run(lambda: all(len(each.received) == 4 * MIB for each in self.served.made[:8]))


class LossTests(StreamsCase):
    def setUp(self) -> None:
        super().setUp()
        self.one, self.two_ = self.two(stream_survival=0)
        self.served = Keeping(HalfCloseable)
        streams_of(self.one).listen("echo", self.served)
        self.mine = self.open(self.two_, self.one.node_name)
        self.theirs = self.served.made[0]

    def ends(self, *kinds: type[Exception]) -> None:
        for each in (self.mine, self.theirs):
            self.assertIsInstance(each.reason, ConnectionLost)
            self.assertEqual(each.calls, ["made", "lost"])
        for streams in (streams_of(self.one), streams_of(self.two_)):
            self.assertEqual(streams.status()["open"], {})

    def test_cut_link_ends_streams_that_may_not_be_suspended(self) -> None:
        """All end at once, with the reason; new ones come over a new link."""
        self.mine.transport.write(bytes(MIB))
        self.net.network.cut(self.net.network.links[0])
        self.net.run(lambda: self.mine.reason and self.theirs.reason, timeout=1)
        self.ends()
        self.assertIn("the link to the peer is gone: the connection was lost", str(self.mine.reason))
        self.net.run(lambda: self.two_.state is State.CONNECTED, timeout=300)
        self.open(self.two_, self.one.node_name)

    def test_stopped_peer_ends_all_streams(self) -> None:
        self.net.result(self.one.stopService())
        self.net.run(lambda: self.mine.reason, timeout=1)
        self.ends()
        self.assertIn("the service is stopping", str(self.mine.reason))
        self.assertIn("the service has been stopped", str(self.theirs.reason))

    def test_we_stop_and_start(self) -> None:
        """What is pending ends, what is aborted just now hears of it, and ports last until the next start."""
        aborted = self.open(self.two_, self.one.node_name)
        pending = streams_of(self.two_).open(self.one.node_name, "echo", Keeping())
        aborted.transport.abortConnection()
        self.net.result(self.two_.stopService())
        self.failureResultOf(pending, ServiceStopped)
        self.assertEqual(aborted.calls, ["made", "lost"])
        self.failureResultOf(
            streams_of(self.two_).open(self.one.node_name, "echo", Keeping()), ServiceStopped
        )
        streams_of(self.two_).listen("echo", Keeping(Echo))
        self.two_.startService()
        self.net.run(lambda: self.two_.state is State.CONNECTED, timeout=300)
        self.net.settle(5)
        self.open(self.one, self.two_.node_name)
        self.open(self.two_, self.one.node_name)

    def test_restarted_peer_knows_no_old_streams(self) -> None:
        """A new incarnation knows nothing of the old one's streams."""
        self.net.crash(self.two_, silently=True)
        again = self.net.restart(self.two_)
        self.net.run(lambda: self.theirs.reason, timeout=300)
        self.net.run(lambda: again.group_connected, timeout=300)
        self.open(again, self.one.node_name)

    def test_protocol_may_stop_the_node_when_it_is_lost(self) -> None:
        """A protocol that stops the whole node when it loses its stream."""
        stopped: list[Any] = []
        self.mine.connectionLost = lambda reason: stopped.append(self.two_.stopService())
        self.theirs.transport.abortConnection()
        self.net.run(lambda: stopped)
        self.net.result(stopped[0])

    def test_protocol_error_ends_the_link(self) -> None:
        """A peer that sends what it may not loses the link; frames without a layer are dropped."""
        (mine,) = self.net.crust(self.two_).links
        mine.send(StreamFrame.DATA, pack_number(99) + b"x")
        self.net.run(lambda: self.mine.reason and self.theirs.reason, timeout=1)
        self.ends()
        reason: Any = self.theirs.reason
        self.assertIs(reason.problem.reason, CloseReason.PROTOCOL_ERROR)

    def test_node_without_streams_drops_their_frames(self) -> None:
        """A node that has no streams drops their frames, so an opener hears nothing and gives up."""
        net = self.net
        other = net.node()
        net.until_joined()
        link = next(each for each in net.crust(self.two_).links if each.peer == other.node_name)
        link.send(LAST_STREAM_KIND, b"")
        link.send(StreamFrame.OPEN, open_frame(77, 1, 0, "echo"))
        error = self.fails(streams_of(self.two_).open(other.node_name, "echo", Keeping()), StreamRefused)
        self.assertIs(error.reason, StreamReason.TOO_SLOW)
        # and when it has some later, all is well
        streams_of(other).listen("echo", Keeping(Echo))
        net.settle(1)
        self.open(self.two_, other.node_name)


class FakeLink:
    """A link of which one can see what is done with it."""

    connection = Connection(Protocol.TCP, Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 2))

    def __init__(self, peer: Name) -> None:
        self.peer = peer
        self.sent: list[tuple[int, bytes]] = []
        self.feeder: Any = None
        self.hungry = False

    def send(self, kind: int, payload: bytes) -> None:
        self.sent.append((kind, payload))

    def set_feeder(self, feeder: Any) -> None:
        self.feeder = feeder

    def feed_soon(self) -> None:
        self.hungry = True


class SwapTests(SynchronousTestCase):
    """The link of a peer takes the place of another."""

    def test_streams_go_on_over_a_replaced_link(self) -> None:
        """Each frame is sent once, over the one link or the other, in order; nothing is forgotten."""
        net = Net()
        node = net.make(net.identity(), net.node().settings)
        streams = streams_of(node)
        peer = net.identity().name
        old, new = FakeLink(peer), FakeLink(peer)
        served = Keeping()
        streams.listen("echo", served)
        streams.link_gained(old)  # type: ignore[arg-type]
        self.assertEqual([kind for kind, _ in old.sent], [StreamFrame.RESUME])
        old.sent.clear()
        streams.frame_received(old, StreamFrame.RESUME, resume_frame(Resume(7, 0, 1, 0)))  # type: ignore[arg-type]
        theirs = 1 if peer < node.node_name else 2
        streams.frame_received(old, StreamFrame.OPEN, open_frame(theirs, 1 << 20, 600, "echo"))  # type: ignore[arg-type]
        protocol = served.made[0]
        self.assertEqual([kind for kind, _ in old.sent], [StreamFrame.OPENED])
        protocol.transport.write(b"one")
        old.feeder(1000)
        protocol.transport.write(b"two")
        streams.link_changed(old, new)  # type: ignore[arg-type]
        self.assertEqual((old.feeder, new.hungry), (None, True))
        new.feeder(1000)
        streams.frame_received(new, StreamFrame.DATA, pack_number(theirs) + b"back")  # type: ignore[arg-type]
        self.assertEqual(old.sent[1:], [(StreamFrame.DATA, pack_number(theirs) + b"one")])
        self.assertEqual(new.sent, [(StreamFrame.DATA, pack_number(theirs) + b"two")])
        self.assertEqual(protocol.received, b"back")
        streams.stopped()
        self.assertIsInstance(protocol.reason, StreamLinkLost)
        self.assertIsNone(new.feeder)
        # a frame that is still on its way is nobody's
        streams.frame_received(new, StreamFrame.DATA, pack_number(theirs) + b"late")  # type: ignore[arg-type]
        net.stop()


class TlsTests(StreamsCase):
    """TLS inside a stream, as for any other transport."""

    def test_tls_runs_over_a_stream(self) -> None:
        one, two = self.two()
        pem = CERTIFICATE.encode()
        both = PrivateCertificate.loadPEM(pem)
        served, opened = Keeping(Echo), Keeping()
        clock: Any = self.net.clock
        streams_of(one).listen("tls", TLSMemoryBIOFactory(both.options(), False, served, clock))
        options = optionsForClientTLS("example.net", trustRoot=Certificate(both.original))
        wrapped = TLSMemoryBIOFactory(options, True, opened, clock)
        self.net.result(streams_of(two).open(one.node_name, "tls", wrapped))
        mine = opened.made[0]
        data = bytes(range(256)) * 4096
        mine.transport.write(data)
        self.net.run(lambda: mine.received == data)
        self.assertEqual(mine.transport.getPeer(), NodeAddress(one.node_name, "tls"))
        mine.transport.loseConnection()
        self.net.run(lambda: mine.reason and served.made[0].reason)
        self.assertIsInstance(mine.reason, ConnectionDone)
        self.net.settle(1)
        self.assertEqual(streams_of(one).status()["open"], {})


def _certificate() -> str:
    from datetime import datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "example.net")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1))
        .not_valid_after(datetime(2020, 1, 1) + timedelta(days=20_000))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("example.net")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (made.public_bytes(Encoding.PEM) + private).decode()


CERTIFICATE = _certificate()
