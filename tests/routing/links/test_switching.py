"""
Applications, messages and streams notice nothing when their link is replaced, unless frames were lost.

The nodes are real, on a network in memory. A client has a link to the node that speaks for it; when it asks
for a link of its own another one takes the place of that.
"""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import ApplicationLink, LinkChanged, LinkGained, LinkLost, Message, Role, RoutingService
from routing_crust.crust.link.link import Link
from routing_crust.errors import CloseReason
from routing_crust.routing.links import handover
from routing_crust.streams import streams_of
from routing_crust.testing.memory.transport import end_of
from tests.streams.protocols import Keeping, Noting

from ..net import Net

KIND = 130


class SwitchingCase(SynchronousTestCase):
    settings: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        self.net = Net()
        self.addCleanup(self.stop)
        (self.node,) = self.net.grow(1, **self.settings)
        self.client = self.net.node(role=Role.CLIENT, listen=(), **self.settings)
        self.net.result(self.client.when_connected())
        self.net.settle(0.1)
        self.events: dict[RoutingService, list[Any]] = {self.node: [], self.client: []}
        self.heard: dict[RoutingService, list[int]] = {self.node: [], self.client: []}
        self.sent: dict[RoutingService, int] = {self.node: 0, self.client: 0}
        for service in (self.node, self.client):
            for kind in (LinkGained, LinkChanged, LinkLost):
                service.observe(kind, self.events[service].append)
            service.set_frame_handler(
                lambda link, kind, payload, service=service: self.frame(service, link, payload)
            )

    def stop(self) -> None:
        self.net.stop()
        self.assertEqual(self.net.clock.getDelayedCalls(), [])

    def frame(self, service: RoutingService, link: Any, payload: bytes) -> None:
        self.assertEqual(link, ApplicationLink(self.link(service)))
        self.heard[service].append(int(payload))

    def other(self, service: RoutingService) -> RoutingService:
        return self.client if service is self.node else self.node

    def link(self, service: RoutingService) -> Link:
        core = service._core
        assert core is not None
        link = core.links.link_to(self.other(service).node_name)
        assert isinstance(link, Link)
        return link

    def send(self, service: RoutingService, link: Any, count: int = 1) -> None:
        for _ in range(count):
            link.send(KIND, b"%d" % self.sent[service])
            self.sent[service] += 1

    def kinds(self, service: RoutingService) -> list[type]:
        return [type(event) for event in self.events[service]]


class WithoutLossTests(SwitchingCase):
    def test_application_frames_come_in_order_over_either_link(self) -> None:
        """An application may keep the link that it was given, and send on it before and after."""
        old = {service: self.link(service) for service in (self.node, self.client)}
        asked = self.client.connect(self.node.node_name)
        while not asked.called or not end_of(old[self.node]).gone:
            for service in (self.node, self.client):
                self.send(service, old[service], 3)
                self.send(service, self.link(service), 2)
            self.net.settle(0.003)
        self.assertIsNot(self.link(self.client), old[self.client])
        for service in (self.node, self.client):
            self.send(service, old[service], 3)
        self.net.settle(1)
        for service in (self.node, self.client):
            self.assertEqual(self.heard[self.other(service)], list(range(self.sent[service])))
            self.assertEqual(self.kinds(service), [LinkChanged])
            (event,) = self.events[service]
            self.assertEqual(event.old.connection, old[service].connection)
            self.assertEqual(event.new.connection, self.link(service).connection)
        self.assertEqual(len(self.net.network.links), 1)

    def test_messages_and_answers_arrive_once_without_another_try(self) -> None:
        """They are under way when the link is replaced."""
        got: list[Message] = []
        self.node.set_message_handler(got.append)
        self.client.set_request_handler(lambda message: message.body[::-1])
        self.net.network.hold(self.link(self.client))
        sent = [self.client.send(self.node.node_name, bytes([number]) * 50_000) for number in range(30)]
        asked = self.client.connect(self.node.node_name)
        requests = [self.node.request(self.client.node_name, b"abc%d" % number) for number in range(30)]
        old = self.link(self.client)
        self.net.settle(3)
        self.net.network.release(old)
        self.net.result(asked)
        for each in sent:
            self.net.result(each, timeout=3)
        answers = [self.net.result(each, timeout=3) for each in requests]
        self.assertEqual(answers, [(b"abc%d" % number)[::-1] for number in range(30)])
        self.assertEqual([message.body[0] for message in got], list(range(30)))
        self.assertEqual(self.kinds(self.client), [LinkChanged])
        self.assertIsNot(self.link(self.client), old)

    def test_stream_goes_on_in_both_directions(self) -> None:
        """The link under it is replaced while both ends write."""
        factory = Keeping(Noting)
        streams_of(self.node).listen("bulk", factory)
        mine = self.net.result(streams_of(self.client).open(self.node.node_name, "bulk", Keeping(Noting)))
        (theirs,) = factory.made
        data = {mine: b"", theirs: b""}
        old = self.link(self.client)
        asked = self.client.connect(self.node.node_name)
        while not asked.called or not end_of(old).gone:
            for protocol in data:
                more = self.net.random.randbytes(self.net.random.randrange(20_000))
                data[protocol] += more
                protocol.transport.write(more)
            self.net.settle(0.004)
        self.net.settle(20)
        self.assertTrue(theirs.received == data[mine])  # the difference would be long
        self.assertTrue(mine.received == data[theirs])
        self.assertEqual(self.kinds(self.node), [LinkChanged])


class BoundTests(SwitchingCase):
    def setUp(self) -> None:
        self.patch(handover, "MAX_HELD_BYTES", 64 * 1024)
        super().setUp()

    def test_sender_waits_when_more_than_switch_memory_is_held_back(self) -> None:
        """The frames wait with the sender until everything has come over the old link."""
        old = self.link(self.client)
        asked = self.client.connect(self.node.node_name)
        self.net.settle(0.025)  # the request is there, and no other link yet
        self.net.network.hold(old)
        self.send(self.client, old, 5)
        self.net.result(asked)
        new = self.link(self.client)
        for _ in range(10):
            self.send(self.client, old, 200)
            self.net.settle(0.05)
        self.assertEqual(self.heard[self.node], [])
        self.assertFalse(end_of(new).other.takes)
        self.assertGreater(end_of(new).in_flight, 5_000)
        self.net.network.release(old)
        self.net.settle(1)
        self.assertEqual(self.heard[self.node], list(range(2005)))
        self.assertTrue(end_of(new).other.takes)
        self.assertEqual(new.queued, 0)


class BrokenTests(SwitchingCase):
    def setUp(self) -> None:
        self.patch(handover, "HANDOVER_TIMEOUT_SECONDS", 2.0)
        super().setUp()

    def test_broken_old_link_ends_no_stream_and_resends_messages(self) -> None:
        """It breaks before everything has come; each message arrives once."""
        self.broken(self.net.network.cut)

    def test_old_link_that_stands_still_is_not_waited_for(self) -> None:
        """After C{HANDOVER_TIMEOUT_SECONDS} it is closed, with the same result."""
        self.broken(lambda old: None)

    def broken(self, make_it: Any) -> None:
        factory = Keeping(Noting)
        streams_of(self.node).listen("bulk", factory)
        mine = self.net.result(streams_of(self.client).open(self.node.node_name, "bulk", Keeping(Noting)))
        (theirs,) = factory.made
        got: list[Message] = []
        self.node.set_message_handler(got.append)
        old = self.link(self.client)
        asked = self.client.connect(self.node.node_name)
        self.net.settle(0.025)  # the request is there, and no other link yet
        self.assertIs(self.link(self.client), old)
        self.net.network.hold(old)
        self.send(self.client, old, 5)
        sent = [self.client.send(self.node.node_name, b"message %d" % number) for number in range(5)]
        self.net.result(asked)
        self.send(self.client, old, 5)
        self.assertIsNot(self.link(self.client), old)
        self.net.settle(0.05)
        self.assertNotEqual(self.link(self.node).binding, old.binding)
        make_it(old)
        for each in sent:
            self.net.result(each, timeout=4)
        self.net.settle(1)
        self.assertEqual(sorted(message.body for message in got), [b"message %d" % each for each in range(5)])
        self.assertEqual(self.heard[self.node], [])
        for service in (self.node, self.client):
            self.assertEqual(self.kinds(service), [LinkChanged, LinkLost, LinkGained])
            self.assertIs(self.events[service][1].reason, CloseReason.CONNECTION_LOST)
        mine.transport.write(b"goes on")
        self.net.run(lambda: theirs.received == b"goes on")
        self.assertEqual((mine.reason, theirs.reason), (None, None))
        # and what is sent from now on arrives
        self.send(self.client, old, 5)
        again = self.net.result(streams_of(self.client).open(self.node.node_name, "bulk", Keeping(Noting)))
        again.transport.write(b"again")
        self.net.settle(1)
        self.assertEqual(self.heard[self.node], list(range(10, 15)))
        self.assertEqual(factory.made[-1].received, b"again")
        self.net.network.release(old)
