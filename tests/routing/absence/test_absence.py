"""Peers that are gone, and peers that only look so, in a simulated network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Role
from routing_crust.crust.reachability import Knock, Presence
from routing_crust.errors import CloseReason, NotConnected, PeerUnreachable, ServiceStopped
from routing_crust.limits import UNREACHABLE_SECONDS
from routing_crust.names import Name
from routing_crust.routing.absence.absence_watch import FIRST_LOOK_SECONDS, LOOK_APART_SECONDS
from routing_crust.streams import streams_of
from routing_crust.testing import SimulatedNetwork
from routing_crust.testing.host import SimulatedNode
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import LinkUse

EARLY_SECONDS = 5.0


class AbsenceCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = SimulatedNetwork(seed=11)
        self.addCleanup(self.net.stop)
        self.nodes = self.net.nodes(8)
        self.net.run_until(self.net.joined)
        self.one, self.two = self.nodes[1], self.nodes[6]

    def outcome(self, waiting: Deferred[Any]) -> tuple[float, Any]:
        """After how many seconds it has a result, and that or the exception."""
        began = self.net.clock.seconds()
        results: list[Any] = []
        waiting.addBoth(results.append)
        self.net.run_until(lambda: results, 300)
        (result,) = results
        return self.net.clock.seconds() - began, result.value if isinstance(result, Failure) else result

    def ways(self, node: SimulatedNode, name: Name) -> Iterator[Deferred[Any]]:
        """All ways of wanting something of a peer, each begun when it is asked for."""
        yield node.service.connect(name)
        yield streams_of(node.service).open(name, "echo", Factory.forProtocol(Protocol))
        yield node.service.send(name, b"hello")
        yield node.service.request(name, b"hello")

    def core(self, node: SimulatedNode) -> Any:
        core = node.core
        assert core is not None
        return core

    def nearest(self, name: Name) -> list[SimulatedNode]:
        others = [each for each in self.net.alive if each is not self.one and each.name != name]
        return sorted(others, key=lambda each: name.distance(each.name))


class GoneTests(AbsenceCase):
    def test_killed_peer_is_given_up_early_whatever_is_wanted_of_it(self) -> None:
        """With the reason, as one of Twisted's errors of connecting."""
        at, who = str(self.two.endpoint), f"two \\({self.two.name.short}\\)"
        self.one.service.directory.change_nicknames({"two": self.two.name})
        self.two.crash()
        self.net.run_for(0.1)
        for waiting in self.ways(self.one, self.two.name):
            seconds, error = self.outcome(waiting)
            self.assertIsInstance(error, PeerUnreachable)
            self.assertIsInstance(error, ConnectError)
            self.assertGreaterEqual(seconds, FIRST_LOOK_SECONDS / 2 + LOOK_APART_SECONDS)
            self.assertLess(seconds, EARLY_SECONDS)
            self.assertEqual(error.tried, ((at, "connection refused"),))
            self.assertEqual(error.asked, "none of the 6 nodes nearest to its name knows of it")
            self.assertRegex(
                str(error), f"^{who} cannot be reached: is it running.*{at}: connection refused; none"
            )

    def test_peer_whose_addresses_nobody_knows_is_given_up_early(self) -> None:
        for waiting in self.ways(self.one, self.net.new_identity().name):
            seconds, error = self.outcome(waiting)
            self.assertIsInstance(error, PeerUnreachable)
            self.assertLess(seconds, EARLY_SECONDS)

    def test_client_learns_early_that_a_peer_is_gone(self) -> None:
        client = self.net.node(role=Role.CLIENT, listen=())
        self.net.run_until(lambda: client.service.bootstrapped)
        self.two.crash()
        self.net.run_for(0.1)
        for waiting in self.ways(client, self.two.name):
            seconds, error = self.outcome(waiting)
            self.assertIsInstance(error, PeerUnreachable)
            self.assertLess(seconds, EARLY_SECONDS)

    def test_client_that_is_gone_is_given_up_early_although_its_record_is_kept(self) -> None:
        client = self.net.node(role=Role.CLIENT, listen=())
        self.net.run_until(lambda: client.service.bootstrapped)
        self.net.run_for(5)
        self.net.result_of(self.one.service.connect(client.name))
        client.crash()
        self.net.run_for(0.5)
        self.assertTrue(any(client.name in self.core(each).clients._records for each in self.nodes))
        for waiting in self.ways(self.one, client.name):
            seconds, error = self.outcome(waiting)
            self.assertIsInstance(error, PeerUnreachable)
            self.assertLess(seconds, EARLY_SECONDS)

    def test_others_do_not_learn_with_whom_an_application_has_a_link(self) -> None:
        """But the proxy of a client says that it is there, whatever else their link is for."""
        core = self.core(self.one)
        speaker_of = core.neighbourhood.speaker_of
        self.assertEqual(speaker_of(self.two.name), self.one.name)
        peer = replace(core.links.peer(self.two.name), use=LinkUse.DIRECT)
        self.patch(core.links, "peer", lambda name: peer)
        self.assertIsNone(speaker_of(self.two.name))
        peer = replace(peer, facts=replace(peer.facts, is_client=True))
        self.assertEqual(speaker_of(self.two.name), self.one.name)

    def test_first_sign_of_absence_is_logged_at_once(self) -> None:
        self.two.crash()
        self.net.run_for(0.1)
        waiting = self.one.service.connect(self.two.name)
        with capturedLogs() as events:
            self.net.run_for(1)
        lines = [each for each in events if "does not seem to be there" in each["log_format"]]
        self.assertEqual([each["peer"] for each in lines], [self.two.name])
        self.assertIn("connection refused", lines[0]["found"])
        self.outcome(waiting)

    def test_host_that_its_router_reports_after_three_seconds_is_given_up_early(self) -> None:
        """As the last router does that gets no answer to its ARP."""
        self.two.crash()
        self.net.run_for(0.1)
        crust = self.core(self.one).crust
        crust.knock = lambda endpoints, name: tuple(
            deferLater(self.net.clock, 3.1, Knock, each, Presence.GONE, "no route to host")
            for each in endpoints
        )
        seconds, error = self.outcome(self.one.service.connect(self.two.name))
        self.assertIsInstance(error, PeerUnreachable)
        self.assertLess(seconds, EARLY_SECONDS)
        self.assertIn("no route to host", str(error))

    def test_host_that_is_off_is_given_up_at_the_documented_time(self) -> None:
        """The same for all: its address is silent, which is no proof."""
        self.two.crash(silently=True)
        self.net.run_for(70)
        for waiting in self.ways(self.one, self.two.name):
            seconds, error = self.outcome(waiting)
            self.assertIsInstance(error, PeerUnreachable)
            self.assertAlmostEqual(seconds, UNREACHABLE_SECONDS, 3)
            self.assertIn("no answer", str(error))


class AloneTests(AbsenceCase):
    """Two nodes: when one of them is off nobody is left that the other could ask."""

    def setUp(self) -> None:
        self.net = SimulatedNetwork(seed=3)
        self.addCleanup(self.net.stop)
        self.one, self.two = self.net.nodes(2)
        self.net.run_until(self.net.joined)

    def open(self) -> Deferred[Any]:
        """What a daemon does for a program that connects to a forward."""
        factory = Factory.forProtocol(Protocol)
        return streams_of(self.one.service).open(self.two.name, "echo", factory, patient=True)

    def assert_early(self, waiting: Deferred[Any]) -> None:
        seconds, error = self.outcome(waiting)
        self.assertIsInstance(error, PeerUnreachable)
        self.assertLess(seconds, EARLY_SECONDS)
        self.assertIn("connection refused; there is no other node to ask", str(error))

    def test_request_that_is_under_way_fails_early(self) -> None:
        self.two.service.set_request_handler(lambda request: Deferred())
        waiting = self.one.service.request(self.two.name, b"hello")
        self.net.run_for(1)
        self.two.crash()
        self.assert_early(waiting)

    def test_whatever_is_wanted_of_the_only_other_node_fails_early(self) -> None:
        """There is no network then, and nobody to ask; but the address of the peer is known."""
        self.two.crash()
        self.net.run_for(1)
        self.assertFalse(self.one.service.bootstrapped)
        for waiting in self.ways(self.one, self.two.name):
            self.assertNoResult(waiting)
            self.assert_early(waiting)

    def test_message_to_the_only_other_node_arrives_once_that_is_back(self) -> None:
        self.two.crash()
        self.net.run_for(1)
        self.assertFalse(self.one.service.bootstrapped)
        sent = self.one.service.send(self.two.name, b"hello")
        self.net.run_for(0.5)
        self.two.restart()
        seconds, result = self.outcome(sent)
        self.assertIsNone(result)
        self.assertLess(seconds, 2 * EARLY_SECONDS)

    def test_node_of_which_no_address_is_known_is_not_waited_for_without_a_network(self) -> None:
        self.two.crash()
        self.net.run_for(1)
        for waiting in self.ways(self.one, Name(bytes(32))):
            self.failureResultOf(waiting, NotConnected)

    def test_patient_open_fails_early(self) -> None:
        self.two.crash()
        self.net.run_for(1)
        self.assertFalse(self.one.service.bootstrapped)
        self.assert_early(self.open())
        self.assert_early(self.open())

    def test_patient_open_waits_for_the_network(self) -> None:
        """Where nothing is refused, such as behind a broken cable."""
        streams_of(self.two.service).listen("echo", Factory.forProtocol(Protocol))
        self.net.partition([self.one], [self.two])
        self.net.run_for(70)
        self.assertFalse(self.one.service.bootstrapped)
        opened = self.open()
        self.net.run_for(20)
        self.assertNoResult(opened)
        self.net.heal()
        self.assertNotIsInstance(self.outcome(opened)[1], Exception)

    def test_patient_open_ends_at_the_documented_time(self) -> None:
        self.two.crash(silently=True)
        self.net.run_for(70)
        seconds, error = self.outcome(self.open())
        self.assertIsInstance(error, PeerUnreachable)
        self.assertAlmostEqual(seconds, UNREACHABLE_SECONDS, 3)

    def test_patient_open_ends_with_the_service(self) -> None:
        self.two.crash()
        self.net.run_for(1)
        opened = self.open()
        self.net.result_of(self.one.service.stopService())
        self.failureResultOf(opened, ServiceStopped)
        self.failureResultOf(self.open(), ServiceStopped)


class ThereTests(AbsenceCase):
    def waits(self, seconds: float = 3 * EARLY_SECONDS) -> None:
        """A wait for C{two} does not end early."""
        results: list[Any] = []
        for waiting in self.ways(self.one, self.two.name):
            waiting.addBoth(results.append)
        self.net.run_for(seconds)
        self.assertEqual(results, [])

    def silence(self, *nodes: SimulatedNode) -> None:
        for node in nodes:
            self.core(node).links.handle_frames((FrameKind.ENVELOPE,), lambda *_: None)

    def test_peer_that_restarts_is_reached(self) -> None:
        self.two.crash()
        self.net.run_for(0.1)
        waiting = list(self.ways(self.one, self.two.name))
        self.net.run_for(1.5)
        self.two.restart()
        streams_of(self.two.service).listen("echo", Factory.forProtocol(Protocol))
        self.two.service.set_request_handler(lambda request: b"yes")
        for each in waiting:
            self.assertNotIsInstance(self.outcome(each)[1], Exception)

    def test_one_node_that_knows_of_a_peer_is_enough(self) -> None:
        """It may lie: then the peer is waited for as long as any that is silent."""
        self.two.crash()
        self.net.run_for(0.1)
        liar = self.nearest(self.two.name)[3]
        self.core(liar).neighbourhood.speaker_of = lambda name: liar.name
        self.waits()

    def test_group_that_does_not_answer_proves_nothing(self) -> None:
        """Their answers may be lost."""
        self.two.crash()
        self.net.run_for(0.1)
        self.silence(*self.nearest(self.two.name)[2:])
        self.waits()

    def test_peer_beyond_a_partition_is_waited_for(self) -> None:
        """All that is left of its group denies it, but its address is silent."""
        self.net.partition([self.two])
        self.net.run_for(70)
        self.waits()

    def test_refused_address_of_a_peer_that_the_group_knows_proves_nothing(self) -> None:
        """Such as one behind a router that refuses what it does not expect."""
        self.silence(self.two)
        core = self.core(self.one)
        core.links.drop(self.two.name, CloseReason.NO_LONGER_NEEDED)
        core.joiner.rest()
        core.crust.knock = lambda endpoints, name: tuple(
            Deferred.fromCoroutine(_refused(each)) for each in endpoints
        )
        self.waits(2 * EARLY_SECONDS)

    def test_verdict_needs_two_looks(self) -> None:
        self.two.crash()
        self.net.run_for(0.1)
        self.waits(LOOK_APART_SECONDS)

    def test_peer_that_answers_where_it_was_is_waited_for(self) -> None:
        """Although no other node has a link with it any more."""
        self.two.crash()
        self.net.run_for(0.1)
        self.core(self.one).crust.knock = lambda endpoints, name: tuple(
            Deferred.fromCoroutine(_there(each)) for each in endpoints
        )
        self.waits()


class CancelTests(AbsenceCase):
    def setUp(self) -> None:
        super().setUp()
        self.two.crash()
        self.net.run_for(0.1)
        self.watch = self.core(self.one).absence

    def test_cancelled_wait_ends_the_watch(self) -> None:
        for waiting in self.ways(self.one, self.two.name):
            self.net.run_for(0.6)
            self.assertEqual(len(self.watch), 1)
            waiting.addErrback(lambda _: None)
            waiting.cancel()
            self.assertEqual(len(self.watch), 0)

    def test_waits_for_one_peer_share_a_watch(self) -> None:
        """The end of one does not end it for the others."""
        first, second = (self.one.service.connect(self.two.name) for _ in range(2))
        self.net.run_for(1)
        self.assertEqual(len(self.watch), 1)
        first.addErrback(lambda _: None)
        first.cancel()
        seconds, error = self.outcome(second)
        self.assertIsInstance(error, PeerUnreachable)
        self.assertLess(seconds, EARLY_SECONDS)
        self.assertEqual(len(self.watch), 0)

    def test_wait_that_ends_another_does_not_tell_it(self) -> None:
        results: list[Any] = []
        first, second = (self.one.service.connect(self.two.name) for _ in range(2))
        first.addErrback(lambda _: second.cancel())
        second.addErrback(lambda failure: results.append(failure.type))
        self.outcome(first)
        self.assertNotIn(PeerUnreachable, results)
        self.assertEqual(len(results), 1)

    def test_stop_ends_a_watch(self) -> None:
        for seconds in (0.1, 0.55, 1.0):
            waiting = list(self.ways(self.one, self.two.name))
            self.net.run_for(seconds)
            self.net.result_of(self.one.service.stopService())
            for each in waiting:
                self.assertIsInstance(self.outcome(each)[1], ServiceStopped)
            self.one.start()
            self.net.run_until(lambda: self.one.service.bootstrapped)


async def _refused(endpoint: Any) -> Knock:
    return Knock(endpoint, Presence.GONE, "connection refused")


async def _there(endpoint: Any) -> Knock:
    return Knock(endpoint, Presence.THERE, "it answered")
