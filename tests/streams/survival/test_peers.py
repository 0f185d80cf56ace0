"""Streams of whole nodes outlive their links: what goes on, for how long, and what ends them."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger, LogPublisher, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from routing_crust import RoutingService
from routing_crust.config import KIB, MIB, Settings
from routing_crust.endpoints import Connection, Endpoint, Protocol
from routing_crust.errors import CloseReason, LinkClosed, PeerUnreachable
from routing_crust.limits import UNREACHABLE_SECONDS
from routing_crust.names import Name
from routing_crust.streams import (
    IStreamAcceptor,
    ISuspensionListener,
    NodeAddress,
    StreamLinkLost,
    StreamReason,
    StreamReset,
    streams_of,
)
from routing_crust.streams.errors import SessionEnded
from routing_crust.streams.frames import Ended, Resume, StreamFrame, pack_count, resume_frame
from routing_crust.streams.multiplexing.mux import MAX_SURVIVAL_ASKED_SECONDS
from routing_crust.streams.opening import STREAM_OPEN_TIMEOUT_SECONDS, EarlyData
from routing_crust.streams.survival import peers as peers_module
from routing_crust.streams.survival.peer import MAX_RESUMES_PER_LINK, PeerStreams

from ..case import StreamsCase
from ..protocols import Echo, HalfCloseable, Keeping, Noting


@implementer(ISuspensionListener)
class Listening(Noting):
    """Hears of suspensions."""

    def streamSuspended(self, reason: Exception) -> None:
        self.calls.append("suspended")

    def streamResumed(self) -> None:
        self.calls.append("resumed")


def of(node: RoutingService, peer: RoutingService) -> PeerStreams:
    """What a node has of the streams with a peer."""
    found = streams_of(node)._peers.get(peer.node_name)
    assert found is not None
    return found


@implementer(IStreamAcceptor)
class Undecided(Keeping):
    """Never decides."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[NodeAddress] = []

    def accept_stream(self, address: NodeAddress) -> Deferred[Any]:
        self.asked.append(address)
        return Deferred()


class SurvivingCase(StreamsCase):
    protocol: Any = Noting
    survival: float = 600

    def setUp(self) -> None:
        super().setUp()
        self.one, self.two_ = self.two(stream_survival=self.survival)
        self.served = Keeping(self.protocol)
        streams_of(self.one).listen("echo", self.served)
        self.mine = self.open(self.two_, self.one.node_name, kind=self.protocol)
        self.theirs = self.served.made[0]

    def cut(self) -> None:
        for each in list(self.net.network.links):
            self.net.network.cut(each)

    def suspended(self, node: RoutingService) -> dict[str, Any]:
        found: Any = streams_of(node).status()["suspended"]
        return dict(found)

    def partition(self, seconds: float) -> None:
        """Neither reaches the other for so long."""
        self.net.network.partition([[self.net.crust(self.one)], [self.net.crust(self.two_)]])
        self.net.settle(seconds)
        self.net.network.heal()


class ResumingTests(SurvivingCase):
    def test_bytes_of_both_directions_arrive_once_though_the_link_is_cut_again_and_again(self) -> None:
        data = bytes(range(256)) * 4 * KIB
        for protocol in (self.mine, self.theirs):
            protocol.transport.write(data)
        for _ in range(5):
            self.net.run(lambda: self.net.network.links, timeout=20)
            self.net.settle(0.03)
            self.cut()
        self.net.run(lambda: len(self.mine.received) == len(self.theirs.received) == MIB, timeout=60)
        self.assertEqual((self.mine.received, self.theirs.received), (data, data))
        self.assertEqual((self.mine.calls, self.theirs.calls), (["made"], ["made"]))

    def test_suspension_is_shown_and_ends_soon_after_the_path_is_back(self) -> None:
        self.net.network.partition([[self.net.crust(self.one)], [self.net.crust(self.two_)]])
        self.cut()
        self.net.settle(10)
        self.mine.transport.write(bytes(100 * KIB))
        shown = self.suspended(self.two_)[str(self.one.node_name)]
        self.assertEqual(shown["seconds"], 10.0)
        self.assertIn("the connection was lost", shown["because"])
        self.assertGreaterEqual(shown["kept"], 100 * KIB)
        self.assertEqual((shown["streams"], shown["left"]), (1, 590.0))
        self.assertRegex(shown["trying"], r"^a link (has been asked for|is asked for in)")
        explained = " ".join(self.two_.explain(self.one.node_name).next)
        self.assertIn("1 stream waiting for a link for 10.0 s, and for 590.0 s more at most", explained)
        self.assertIn(shown["trying"], explained)
        self.net.network.heal()
        self.net.run(lambda: len(self.theirs.received) == 100 * KIB, timeout=20)
        self.assertEqual((self.suspended(self.one), self.suspended(self.two_)), ({}, {}))

    def test_log_has_a_line_when_streams_wait_and_one_when_they_go_on(self) -> None:
        """And none for a peer without a stream that waits."""
        lines = self.log_lines()
        self.net.network.partition([[self.net.crust(self.one)], [self.net.crust(self.two_)]])
        self.mine.transport.write(bytes(1000))
        self.net.settle(0.5)
        self.cut()
        self.net.network.heal()
        self.net.run(lambda: len(self.theirs.received) == 1000, timeout=20)
        self.assertEqual(sum("1 stream waiting for another one" in each for each in lines), 2)
        self.assertEqual(sum("1 stream resumed, 1" in each for each in lines), 1)
        self.assertEqual(sum("1 stream resumed" in each for each in lines), 2)
        self.mine.transport.loseConnection()
        self.net.run(lambda: self.theirs.reason is not None, timeout=20)
        self.net.settle(5)
        lines.clear()
        self.cut()
        self.net.settle(20)
        self.assertEqual(lines, [])

    def test_log_has_one_line_where_another_link_is_there_at_once(self) -> None:
        """Nobody has waited, and nobody is back."""
        lines = self.log_lines()
        for here, there in ((self.one, self.two_), (self.two_, self.one)):
            link = of(here, there).link
            streams_of(here)._peers.link_lost(link, LinkClosed(CloseReason.CONNECTION_LOST))
            streams_of(here)._peers.link_gained(link)
        self.mine.transport.write(bytes(1000))
        self.net.run(lambda: len(self.theirs.received) == 1000, timeout=20)
        self.net.settle(1)
        self.assertEqual(sum("resumed over another link" in each for each in lines), 2)
        self.assertEqual(len(lines), 2)

    def log_lines(self) -> list[str]:
        """What both nodes log of their peers' streams from now on."""
        lines: list[str] = []
        observer = LogPublisher(lambda event: lines.append(formatEvent(event)))
        for node in (self.one, self.two_):
            self.patch(streams_of(node)._peers._quiet, "_log", Logger(observer=observer))
        return lines

    def test_what_was_acknowledged_is_not_kept(self) -> None:
        """An idle stream keeps nothing."""
        self.mine.transport.write(bytes(100))
        self.net.settle(5)
        for here, there in ((self.one, self.two_), (self.two_, self.one)):
            self.assertEqual(of(here, there).kept, 0)

    def test_stream_that_is_closed_while_it_waits_sends_everything_first(self) -> None:
        self.cut()
        self.mine.transport.write(b"the last words")
        self.mine.transport.loseConnection()
        self.net.run(lambda: self.theirs.reason is not None, timeout=20)
        self.assertEqual(self.theirs.received, b"the last words")
        self.net.settle(1)
        self.assertEqual(streams_of(self.one).numbers()[self.two_.node_name], ())

    def test_stream_that_is_aborted_while_it_waits_is_reset_at_the_other_end(self) -> None:
        """There may be nobody left who wants the link, but the other end does."""
        self.cut()
        self.mine.transport.abortConnection()
        self.net.run(lambda: self.theirs.reason is not None, timeout=20)
        self.assertIsInstance(self.theirs.reason, StreamReset)
        self.assertEqual(self.theirs.reason.reason, StreamReason.ABORTED)

    def test_streams_go_on_when_a_node_has_no_use_for_their_link(self) -> None:
        """As for a proxy that it has joined by; both ends had streams on it all the same."""
        for node in (self.one, self.two_):
            (link,) = self.net.crust(node).links
            link.close(CloseReason.NO_LONGER_NEEDED)
            self.net.settle(20)
        self.mine.transport.write(b"alive")
        self.net.run(lambda: self.theirs.received == b"alive", timeout=20)

    def test_link_is_asked_for_before_the_node_has_its_place_in_the_network(self) -> None:
        """Its proxy carries the request."""
        node = self.net.node()
        self.patch(node, "when_connected", Deferred)
        self.net.result(node.borrow(self.one.node_name, patient=True), timeout=60)

    def test_stream_may_be_opened_while_others_wait(self) -> None:
        self.cut()
        again = streams_of(self.two_).open(self.one.node_name, "echo", Keeping())
        self.net.result(again, timeout=20)
        self.assertEqual(len(self.served.made), 2)


class OpeningTests(SurvivingCase):
    """A stream is asked for, and its link is lost before the answer."""

    def ask(
        self,
        silently: bool = False,
        protocol: str = "echo",
        survival: float | None = None,
        early: EarlyData | None = None,
    ) -> tuple[list[Any], list[Any]]:
        """What the stream, and what the failure is, once it is known."""
        self.net.network.partition([[self.net.crust(self.one)], [self.net.crust(self.two_)]])
        opened: list[Any] = []
        failed: list[Any] = []
        opening = streams_of(self.two_).open(self.one.node_name, protocol, Keeping(), survival, early=early)
        opening.addCallbacks(opened.append, failed.append)
        if not silently:
            self.cut()
        return opened, failed

    def test_it_goes_on_with_the_next_link(self) -> None:
        opened, failed = self.ask()
        self.net.settle(80)
        self.assertEqual((opened, failed), ([], []))
        self.net.network.heal()
        self.net.run(lambda: opened, timeout=20)
        opened[0].transport.write(b"late")
        self.net.run(lambda: self.served.made[1].received == b"late")
        self.assertEqual(len(self.served.made), 2)

    def test_silent_link_gives_the_peer_no_less_time(self) -> None:
        """Nobody says that the link is dead, and the peer has not even heard of the stream."""
        opened, failed = self.ask(silently=True)
        self.net.settle(50)
        self.assertEqual((opened, failed), ([], []))
        self.net.network.heal()
        self.net.run(lambda: opened, timeout=20)

    def test_it_fails_with_the_reason_when_no_link_has_come_for_as_long_as_one_is_looked_for(self) -> None:
        """That is sooner than the streams that are open, which go on waiting."""
        _, failed = self.ask()
        self.net.settle(UNREACHABLE_SECONDS - 1)
        self.assertEqual(failed, [])
        self.net.settle(2)
        problem = failed[0].check(PeerUnreachable) and str(failed[0].value)
        self.assertIn("no other link came in time; the last one: the connection was lost", problem)
        self.assertEqual(self.suspended(self.two_)[str(self.one.node_name)]["streams"], 1)
        self.net.network.heal()
        self.mine.transport.write(b"still")
        self.net.run(lambda: self.theirs.received == b"still", timeout=20)
        self.assertTrue(all(each.reason for each in self.served.made[1:]))

    def test_it_fails_as_soon_as_the_peer_is_known_to_be_gone(self) -> None:
        """And those that are open go on waiting, for it may come back as it was."""
        _, failed = self.ask()
        self.net.crash(self.one)
        self.net.network.heal()
        self.net.run(lambda: failed, timeout=15)
        self.assertTrue(failed[0].check(PeerUnreachable))
        self.assertIn("connection refused", str(failed[0].value))
        self.assertIsNone(self.mine.reason)

    def test_short_survival_is_all_that_it_waits_for(self) -> None:
        _, failed = self.ask(survival=20)
        self.net.settle(22)
        self.assertEqual(len(failed), 1)

    def test_peer_that_has_restarted_is_asked_again(self) -> None:
        opened, failed = self.ask()
        self.net.crash(self.one)
        self.net.network.heal()
        self.net.settle(1)
        streams_of(self.net.restart(self.one)).listen("echo", self.served)
        self.net.run(lambda: opened or failed, timeout=60)
        self.assertEqual(failed, [])

    def test_first_bytes_arrive_once_over_the_next_link(self) -> None:
        """Some are written before there is a stream, some while it waits for a link."""
        early = EarlyData()
        early.write(b"one ")
        opened, failed = self.ask(early=early)
        early.write(b"two ")
        self.net.settle(5)
        self.net.network.heal()
        self.net.run(lambda: opened or failed, timeout=60)
        opened[0].transport.write(b"three")
        self.net.run(lambda: self.served.made[-1].received == b"one two three", timeout=10)

    def test_first_bytes_that_went_out_are_not_sent_again_to_a_peer_that_has_restarted(self) -> None:
        """Its program may have had them, and done what they ask for."""
        slow = Undecided()
        streams_of(self.one).listen("slow", slow)
        early = EarlyData()
        early.write(b"once")
        opening = streams_of(self.two_).open(self.one.node_name, "slow", Keeping(), early=early)
        failed: list[Any] = []
        opening.addErrback(failed.append)
        self.net.run(lambda: slow.asked)
        self.net.crash(self.one)
        self.net.settle(1)
        served = Keeping()
        streams_of(self.net.restart(self.one)).listen("slow", served)
        self.net.run(lambda: failed or served.made, timeout=60)
        self.assertTrue(failed[0].check(PeerUnreachable))
        self.assertEqual(served.made, [])

    def test_first_bytes_that_did_not_go_out_are_sent_to_a_peer_that_has_restarted(self) -> None:
        early = EarlyData()
        opened, _ = self.ask(early=early)
        self.net.settle(1)
        early.write(b"once")
        self.net.crash(self.one)
        self.net.network.heal()
        self.net.settle(1)
        served = Keeping()
        streams_of(self.net.restart(self.one)).listen("echo", served)
        self.net.run(lambda: opened, timeout=60)
        self.net.run(lambda: served.made[0].received == b"once", timeout=10)

    def test_peer_has_all_its_time_over_the_next_link(self) -> None:
        """And no more: one that hears of it and does not decide is too slow."""
        slow = Undecided()
        streams_of(self.one).listen("slow", slow)
        opened, failed = self.ask(protocol="slow")
        self.net.settle(STREAM_OPEN_TIMEOUT_SECONDS * 0.6)
        self.net.network.heal()
        self.net.settle(STREAM_OPEN_TIMEOUT_SECONDS * 0.9)
        self.assertEqual((len(slow.asked), opened, failed), (1, [], []))
        self.net.settle(STREAM_OPEN_TIMEOUT_SECONDS)
        self.assertIs(failed[0].value.reason, StreamReason.TOO_SLOW)


class HalfClosedTests(SurvivingCase):
    protocol = HalfCloseable

    def test_half_closed_stream_goes_on(self) -> None:
        self.mine.transport.loseWriteConnection()
        self.net.run(lambda: "read lost" in self.theirs.calls)
        self.cut()
        self.theirs.transport.write(b"still here")
        self.net.run(lambda: self.mine.received == b"still here", timeout=20)
        self.theirs.transport.loseConnection()
        self.net.run(lambda: self.mine.reason is not None, timeout=20)
        self.assertEqual(self.mine.calls, ["made", "write lost", "read lost", "lost"])

    def test_end_that_was_on_its_way_is_not_lost(self) -> None:
        self.mine.transport.write(b"all")
        self.mine.transport.loseWriteConnection()
        self.cut()
        self.net.run(lambda: "read lost" in self.theirs.calls, timeout=20)
        self.assertEqual(self.theirs.received, b"all")


class Wire:
    """A link that takes whatever is sent."""

    def __init__(self, peer: Name, host: str) -> None:
        self.peer = peer
        self.connection = Connection(Protocol.TCP, Endpoint(host, 5483), Endpoint("192.0.2.1", 5483))

    def send(self, kind: int, payload: bytes) -> None:
        pass

    def set_feeder(self, feeder: Any) -> None:
        pass

    def feed_soon(self) -> None:
        pass


class LaidAsideTests(SynchronousTestCase):
    def setUp(self) -> None:
        owner: Any = SimpleNamespace(
            name=Name(bytes(32)),
            settings=Settings(),
            clock=Clock(),
            random=Random(1),
            eventually=None,
            idle=lambda name: None,
        )
        self.peers = peers_module.Peers(owner)

    def come_and_go(self, number: int, host: str) -> PeerStreams:
        link: Any = Wire(Name(number.to_bytes(32, "big")), host)
        self.peers.link_gained(link)
        found = self.peers.get(link.peer)
        assert found is not None
        self.peers.link_lost(link, LinkClosed(CloseReason.CONNECTION_LOST))
        return found

    def test_crowd_of_one_prefix_that_comes_and_goes_pushes_out_its_own(self) -> None:
        """Each link has a session: free keys would have the ends of others' streams forgotten."""
        self.patch(peers_module, "MAX_LAID_ASIDE", 3)
        honest = self.come_and_go(1, "62.1.2.1")
        crowd = [self.come_and_go(number, f"81.5.6.{number}") for number in range(2, 9)]
        self.assertIs(self.come_and_go(1, "62.1.2.1"), honest)
        self.assertIs(self.come_and_go(8, "81.5.6.8"), crowd[-1])
        self.assertIsNot(self.come_and_go(2, "81.5.6.2"), crowd[0])


class UnsuspendedTests(SurvivingCase):
    survival = 0

    def test_node_that_suspends_nothing_is_not_talked_into_it(self) -> None:
        stream = self.net.result(streams_of(self.two_).open(self.one.node_name, "echo", Keeping(), 3600))
        self.cut()
        self.net.run(lambda: stream.reason is not None, timeout=1)
        self.assertEqual(self.suspended(self.one), {})


class ListenerTests(SurvivingCase):
    protocol = Listening

    def test_protocol_that_wants_to_know_hears_of_it(self) -> None:
        self.cut()
        self.net.settle(20)
        for each in (self.mine, self.theirs):
            self.assertEqual(each.calls, ["made", "suspended", "resumed"])

    def test_protocol_may_stop_its_node_when_it_hears_of_it(self) -> None:
        stopped: list[Any] = []
        self.mine.streamSuspended = lambda reason: stopped.append(self.two_.stopService())
        self.cut()
        self.net.run(lambda: stopped)
        self.net.result(stopped[0])
        self.assertEqual(self.mine.calls, ["made", "lost"])


class EndingTests(SurvivingCase):
    survival = 30

    def ended(self, protocol: Noting) -> SessionEnded:
        assert isinstance(protocol.reason, StreamLinkLost)
        problem = protocol.reason.problem
        assert isinstance(problem, SessionEnded)
        return problem

    def test_time_is_limited_and_both_ends_say_so(self) -> None:
        self.partition(31 + 70)
        for each in (self.mine, self.theirs):
            self.assertIs(self.ended(each).why, Ended.EXPIRED)
        self.assertIn("no other link came in time", str(self.mine.reason))
        self.net.settle(60)
        for node in (self.one, self.two_):
            self.assertEqual(streams_of(node).status()["open"], {})
        self.open(self.two_, self.one.node_name)

    def test_each_stream_has_a_time_of_its_own(self) -> None:
        """The longer one lives, and the link is looked for until then."""
        longer = self.net.result(streams_of(self.two_).open(self.one.node_name, "echo", Keeping(), 1000))
        self.partition(31 + 70)
        self.assertIs(self.ended(self.mine).why, Ended.EXPIRED)
        longer.transport.write(b"alive")
        self.net.run(lambda: self.served.made[1].received == b"alive", timeout=60)
        self.assertIs(self.ended(self.theirs).why, Ended.EXPIRED)

    def test_end_that_waits_for_longer_hears_of_it(self) -> None:
        for stream in of(self.one, self.two_).mux.streams.values():
            stream.survival = 1000
        self.net.result(streams_of(self.two_).open(self.one.node_name, "echo", Keeping(), 1000))
        self.partition(31 + 70)
        self.net.run(lambda: self.theirs.reason is not None, timeout=60)
        self.assertIsInstance(self.theirs.reason, StreamReset)
        self.assertIs(self.theirs.reason.reason, StreamReason.EXPIRED)

    def test_port_decides_for_its_streams(self) -> None:
        streams_of(self.one).listen("brief", Keeping(Echo), survival=0)
        brief = self.open(self.two_, self.one.node_name, "brief")
        self.cut()
        self.net.run(lambda: brief.reason is not None, timeout=1)
        self.assertIsInstance(brief.reason, StreamLinkLost)
        self.assertIsNone(self.mine.reason)

    def times(self, protocol: str, survival: float | None = None) -> set[float]:
        """For how long both ends suspend a stream that the second node asks for."""
        self.net.result(streams_of(self.two_).open(self.one.node_name, protocol, Keeping(), survival))
        return {
            list(of(here, there).mux.streams.values())[-1].survival
            for here, there in ((self.one, self.two_), (self.two_, self.one))
        }

    def test_both_ends_take_the_shorter_time(self) -> None:
        streams_of(self.one).listen("hour", Keeping(), survival=3600)
        self.assertEqual(self.times("hour"), {30})
        self.assertEqual(self.times("hour", 7200), {3600})
        self.assertEqual(self.times("hour", 0.5), {0.5, 1})
        self.assertEqual(self.times("echo", 7200), {7200})
        self.assertEqual(self.times("echo", 1e6), {MAX_SURVIVAL_ASKED_SECONDS})

    def test_restarted_peer_ends_them(self) -> None:
        self.net.crash(self.two_, silently=True)
        self.net.settle(1)
        self.net.restart(self.two_)
        self.net.run(lambda: self.theirs.reason is not None, timeout=300)
        self.assertIsInstance(self.theirs.reason, StreamLinkLost)

    def test_peer_that_stops_ends_them_at_once(self) -> None:
        self.net.result(self.two_.stopService())
        self.net.run(lambda: self.theirs.reason is not None, timeout=1)
        self.assertIs(self.theirs.reason.problem.reason, CloseReason.STOPPING)
        self.assertEqual(self.suspended(self.one), {})

    def test_peer_that_resumes_with_false_numbers_loses_its_streams_and_nothing_else(self) -> None:
        (link,) = self.net.crust(self.two_).links
        peer = of(self.two_, self.one)
        session = peer._session
        link.send(StreamFrame.RESUME, resume_frame(Resume(session.mine, session.theirs, 9, 1 << 40)))
        self.net.run(lambda: self.theirs.reason is not None and self.mine.reason is not None, timeout=5)
        for each, by_peer in ((self.theirs, False), (self.mine, True)):
            self.assertIs(self.ended(each).why, Ended.REFUSED)
            self.assertIs(self.ended(each).by_peer, by_peer)
        self.net.settle(10)
        self.assertTrue(link.is_open)
        self.open(self.two_, self.one.node_name)

    def test_resumes_without_end_close_the_link(self) -> None:
        """Those of sessions that the peer forgets as well."""
        (link,) = self.net.crust(self.two_).links
        for number in range(1, MAX_RESUMES_PER_LINK + 2):
            link.send(StreamFrame.RESUME, resume_frame(Resume(number, 0, 1, 0)))
        self.net.run(lambda: not link.is_open, timeout=5)

    def test_acknowledgement_that_cannot_be_closes_the_link(self) -> None:
        (link,) = self.net.crust(self.two_).links
        link.send(StreamFrame.ACK, pack_count(1 << 40))
        self.net.run(lambda: self.theirs.reason is not None, timeout=5)
        self.assertIs(self.theirs.reason.problem.reason, CloseReason.PROTOCOL_ERROR)

    def test_too_much_that_is_written_meanwhile_ends_the_oldest(self) -> None:
        self.patch(peers_module, "MAX_SUSPENDED_BYTES", 100 * KIB)
        self.net.network.partition([[self.net.crust(self.one)], [self.net.crust(self.two_)]])
        self.cut()
        self.net.settle(1)
        self.assertIsNone(self.mine.reason)
        self.mine.transport.write(bytes(200 * KIB))
        self.net.run(lambda: self.mine.reason is not None, timeout=10)
        self.assertIs(self.ended(self.mine).why, Ended.NO_ROOM)
        self.assertIsNone(self.theirs.reason)

    def test_too_much_that_is_kept_ends_the_oldest(self) -> None:
        self.patch(peers_module, "MAX_SUSPENDED_BYTES", 100 * KIB)
        self.net.network.partition([[self.net.crust(self.one)], [self.net.crust(self.two_)]])
        self.mine.transport.write(bytes(200 * KIB))
        self.net.settle(0.001)
        self.cut()
        self.net.run(lambda: self.mine.reason is not None, timeout=5)
        self.assertIs(self.ended(self.mine).why, Ended.NO_ROOM)
        self.assertIsNone(self.theirs.reason)
        self.net.network.heal()
        self.net.run(lambda: self.theirs.reason is not None, timeout=20)
        self.assertTrue(self.ended(self.theirs).by_peer)
        self.assertIs(self.ended(self.theirs).why, Ended.NO_ROOM)
