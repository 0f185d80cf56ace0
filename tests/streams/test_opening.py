"""Streams are opened, and refused."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger, LogPublisher, formatEvent
from zope.interface.verify import verifyObject

from routing_crust import Name, RoutingService
from routing_crust.config import MIB
from routing_crust.errors import (
    CannotListen,
    LimitReached,
    NotConnected,
    PeerUnreachable,
    ServiceStopped,
)
from routing_crust.quietlog import QuietLog
from routing_crust.routing.state import State
from routing_crust.streams import (
    NodeAddress,
    StreamReason,
    StreamRefused,
    Streams,
    streams_of,
)

from .case import StreamsCase
from .protocols import Echo, Keeping

STATUS: dict[str, Any] = {"offered": ["echo"], "open": {}, "suspended": {}}


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

    def test_all_streams_share_one_link(self) -> None:
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

    def test_streams_of_a_service_are_there_before_its_start(self) -> None:
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

    def test_refusals_of_one_peer_do_not_hide_those_of_another(self) -> None:
        lines: list[str] = []
        log = Logger(observer=LogPublisher(lambda event: lines.append(formatEvent(event))))
        streams_of(self.one)._offers._quiet = QuietLog(log, self.net.clock.seconds)
        other = self.net.grow(1)[-1]
        for each in (self.two_, self.two_, self.two_, other):
            self.fails(streams_of(each).open(self.one.node_name, "nix", self.factory), StreamRefused)
        self.assertEqual(
            [line.split()[1] for line in lines], [str(self.two_.node_name), str(other.node_name)]
        )

    def test_both_ends_log_it(self) -> None:
        """Quietly: one line a second for each reason."""
        from twisted.logger import globalLogPublisher

        lines: list[str] = []

        def note(event: Any) -> None:
            if "stream" in (event.get("log_format") or ""):
                lines.append(str(event["log_format"]).format(**event))

        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        self.one.directory.change_nicknames({"home": self.two_.node_name})
        self.two_.directory.change_nicknames({"desk": self.one.node_name})
        for _ in range(2):
            self.fails(streams_of(self.two_).open(self.one.node_name, "nix", self.factory), StreamRefused)
        self.assertEqual(len(lines), 2)
        here, there = self.two_.node_name, self.one.node_name
        self.assertIn(
            f"refused home ({here.short}) a stream of nix: nobody offers this protocol there", lines
        )
        self.assertIn(
            f"desk ({there.short}) refused a stream of nix: nobody offers this protocol there", lines
        )
