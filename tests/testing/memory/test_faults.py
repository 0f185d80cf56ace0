"""The network in memory: its faults, and how a test moves its time."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from routing_crust.crust.interfaces import ANSWER_WITHIN_SECONDS
from routing_crust.crust.link.link import Link
from routing_crust.errors import CloseReason, ConnectFailed
from routing_crust.testing.memory.crust import MemoryCrust

from .memory_case import KIND, MemoryTestCase

LOST = [(CloseReason.CONNECTION_LOST, False)]
INACTIVE = [(CloseReason.INACTIVE, False)]


class FaultTests(MemoryTestCase):
    """What the network does to links and dials."""

    def losses(self, *ends: Link) -> list[list[tuple[CloseReason, bool]]]:
        return [self.recorder(end).losses for end in ends]

    def test_both_ends_hear_of_a_cut(self) -> None:
        """Both ends hear that the connection was lost, and what was on its way is."""
        here, there = self.pair()
        here.send(KIND, b"lost")
        self.network.cut(there)
        self.assertEqual(self.losses(here, there), [[], []])
        self.network.settle(100)
        self.assertEqual(self.losses(here, there), [LOST, LOST])
        self.assertEqual(self.recorder(there).payloads, [])
        self.assertEqual((self.network.links, self.left()), ([], []))

    def test_idle_links_live(self) -> None:
        """A link that is idle stays, as if it had heartbeats."""
        here, there = self.pair()
        self.network.settle(3600)
        self.assertEqual(self.losses(here, there), [[], []])

    def test_probed_link_survives_an_answer_in_time(self) -> None:
        """A link whose other end is asked goes on if that can answer within the time, one way and back."""
        here, there = self.pair()
        one, other = self.crust_of(here), self.crust_of(there)
        for end in (here, there):
            end.verified()
        for sender, receiver in ((one, other), (other, one)):
            here.must_answer(ANSWER_WITHIN_SECONDS)
            self.network.shut(sender, receiver)
            here.must_answer(ANSWER_WITHIN_SECONDS)
            here.must_answer(ANSWER_WITHIN_SECONDS)
            self.network.settle(ANSWER_WITHIN_SECONDS - 1)
            self.network.heal()
            self.network.settle(2)
            self.assertEqual(self.losses(here, there), [[], []])
        self.network.partition([[one], [other]])
        here.must_answer(ANSWER_WITHIN_SECONDS)
        self.network.settle(ANSWER_WITHIN_SECONDS + 0.1)
        self.assertEqual(self.losses(here, there), [INACTIVE, []])

    def test_mended_link_to_a_crashed_end_stays_dead(self) -> None:
        """A link that stalls, and whose other end goes down meanwhile, does not come to life again."""
        here, there = self.pair()
        self.network.half_open(here)
        self.network.crash(self.crust_of(there), silently=True)
        self.network.mend(here)
        self.network.settle(61)
        self.assertEqual(self.losses(here), [INACTIVE])

    def test_tunnel_to_a_dead_peer_fails(self) -> None:
        """As long as the relay does not know that the peer is down, a tunnel there fails."""
        one, middle, other = (self.crust() for _ in range(3))
        self.dial(one, middle)
        self.dial(middle, other)
        self.network.run_until(lambda: one.links and other.links)
        way = next(link for link in middle.links if link.peer == other.identity.name)
        middle.carry_tunnels(lambda link, name: way)
        other.expect(one.identity.name, b"token", False)
        self.network.crash(other, silently=True)
        opened = one.tunnel(one.links[0], other.identity.name, b"token", True)
        self.network.settle(one.settings.hello_timeout + 1)
        self.failureResultOf(opened, ConnectFailed)

    def test_tunnel_through_a_partition_fails(self) -> None:
        """Where either leg is cut off for long there is no tunnel, even once all is well again."""
        one, middle, other = (self.crust() for _ in range(3))
        self.dial(one, middle)
        self.dial(middle, other)
        self.network.run_until(lambda: one.links and other.links)
        way = next(link for link in middle.links if link.peer == other.identity.name)
        middle.carry_tunnels(lambda link, name: way)
        other.expect(one.identity.name, b"token", False)
        for cut_off in (one, other):
            self.network.partition([[cut_off]])
            opened = one.tunnel(one.links[0], other.identity.name, b"token", True)
            self.network.settle(one.settings.hello_timeout - 1)
            self.assertNoResult(opened)
            self.network.settle(2)
            self.failureResultOf(opened, ConnectFailed)
            self.network.heal()
            self.network.settle(2)
            self.assertEqual((len(one.links), len(other.links)), (1, 1))

    def test_cancelled_tunnel_leaves_no_waiter(self) -> None:
        """Nobody waits on for an answer that is not wanted any more."""
        one, middle = self.crust(), self.crust()
        self.dial(one, middle)
        self.network.run_until(lambda: one.links)
        self.network.partition([[one]])
        opened = one.tunnel(one.links[0], self.crust().identity.name, b"token", True)
        self.network.settle(2)
        opened.cancel()
        self.failureResultOf(opened, CancelledError)
        self.assertTrue(one._tunnels.idle)

    def test_half_open_link_ends_by_inactivity_at_each_end(self) -> None:
        """Nothing passes, and each end finds out after its own inactivity_timeout."""
        one, other = self.crust(inactivity_timeout=30), self.crust()
        self.dial(one, other)
        self.network.run_until(lambda: one.links and other.links)
        here, there = one.links[0], other.links[0]
        start = self.clock.seconds()
        self.network.half_open(here)
        here.send(KIND, b"lost")
        self.network.settle(29)
        self.assertEqual(self.losses(here, there), [[], []])
        self.network.settle(100)
        self.assertEqual(self.losses(here, there), [INACTIVE, INACTIVE])
        for end, seconds in ((here, 30), (there, 60)):  # which is looked at every ten seconds
            self.assertApproximates(self.recorder(end).times[-1] - start, seconds, 10)
        self.assertEqual(self.recorder(there).payloads, [])
        self.assertEqual((self.network.links, self.left()), ([], []))

    def test_nothing_passes_between_groups_of_a_partition(self) -> None:
        """Between groups nothing passes, and dials time out; within one, and in the rest, all is well."""
        here, there = self.pair()
        rest, more = self.crust(), self.crust()
        self.network.partition([[self.crust_of(here)], [self.crust_of(there)]])
        here.send(KIND, b"late")
        across, within = self.dial(self.crust_of(here), rest), self.dial(rest, more)
        self.network.settle(11)
        self.assertIn("no answer", str(self.failureResultOf(across, ConnectFailed).value))
        self.successResultOf(within)
        self.assertEqual(self.recorder(there).payloads, [])
        self.network.heal()
        self.network.settle(100)
        self.assertEqual(self.recorder(there).payloads, [b"late"])
        self.assertEqual(self.losses(here, there), [[], []])

    def test_long_partition_costs_the_links_across_it(self) -> None:
        """A partition longer than inactivity_timeout costs the links across it, at both ends."""
        here, there = self.pair()
        self.network.partition([[self.crust_of(here)]])
        self.network.settle(61)
        self.network.heal()
        self.network.settle(1)
        self.assertEqual(self.losses(here, there), [INACTIVE, INACTIVE])

    def test_partition_in_the_handshake_fails_the_dial(self) -> None:
        """A handshake that a partition interrupts is a failed dial, and no event at either end."""
        one, other = self.crust(), self.crust()
        dialled = self.dial(one, other)
        self.network.run_until(lambda: self.network.links)
        self.network.partition([[one]])
        self.network.settle(61)
        self.failureResultOf(dialled, ConnectFailed)
        self.assertEqual([len(self.recorders[each].events) for each in (one, other)], [1, 1])
        self.assertEqual(self.network.links, [])

    def test_what_goes_one_way_can_be_held(self) -> None:
        """What goes one way is kept, over all links; it comes out one by one, oldest first, or all."""
        one, other = self.crust(), self.crust()
        for token in (b"a", b"b"):
            self.dial(one, other, token)
        self.network.run_until(lambda: len(one.links) == len(other.links) == 2)
        way = (one, other)
        self.network.hold(way)
        for number in range(4):
            one.links[number % 2].send(KIND, bytes([number]))
            self.network.settle(0.001)
        other.links[0].send(KIND, b"back")
        self.network.settle(20)
        self.assertEqual(self.recorders[other].payloads, [])
        self.assertEqual(self.recorders[one].payloads, [b"back"])
        self.assertGreaterEqual(self.network.waiting(way), 4)  # and heartbeats
        self.at_once(lambda: self.network.release(way, 2))
        self.assertEqual(self.recorders[other].payloads, [b"\0", b"\1"])
        self.network.settle(1)
        self.assertEqual(self.recorders[other].payloads, [b"\0", b"\1"])
        self.network.release(way)
        self.network.settle(0)
        self.assertEqual(self.recorders[other].payloads, [b"\0", b"\1", b"\2", b"\3"])
        self.assertRaises(ValueError, self.network.release, way)
        self.assertRaises(ValueError, self.network.release, way, 1)

    def test_what_one_end_sends_can_be_held(self) -> None:
        """What one end of one link sends can be kept, so that another link's frames overtake it."""
        here, there = self.pair()
        self.dial(self.crust_of(there), self.crust_of(here))
        self.network.run_until(lambda: len(self.crust_of(here).links) == len(self.crust_of(there).links) == 2)
        here.send(KIND, b"on its way")
        self.network.settle(0)
        self.network.hold(here)
        here.send(KIND, b"first")
        self.network.settle(0)
        self.crust_of(here).links[1].send(KIND, b"second")
        self.network.settle(0.5)  # not so long that the link is probed
        self.assertEqual(self.recorder(there).payloads, [b"second"])
        self.at_once(lambda: self.network.release(here, 2))
        self.assertRaises(ValueError, self.network.release, here, 1)
        self.assertEqual(self.recorder(there).payloads, [b"second", b"on its way", b"first"])

    def test_peers_hear_of_a_crash_and_dials_are_refused(self) -> None:
        """Peers of a crashed crust hear that the connection was lost, and dials to it are refused."""
        here, there = self.pair()
        crust, other = self.crust_of(here), self.crust_of(there)
        self.network.crash(crust)
        here.send(KIND, b"from the dead")
        again = self.dial(other, crust)
        self.network.settle(1)
        self.assertIn("refused", str(self.failureResultOf(again, ConnectFailed).value))
        self.assertEqual(self.losses(there), [LOST])
        self.assertEqual(self.recorder(there).payloads, [])
        stopping = crust.stop()
        self.network.settle(6)
        self.successResultOf(stopping)
        self.assertEqual((self.network.links, self.left()), ([], []))

    def test_peers_notice_a_silent_crash_by_silence(self) -> None:
        """After a silent crash peers find out by the silence, and dials time out, until it is back."""
        here, there = self.pair()
        crust, other = self.crust_of(here), self.crust_of(there)
        recorder = self.recorder(there)
        self.network.crash(crust, silently=True)
        again = self.dial(other, crust)
        self.network.settle(59)
        self.assertIn("no answer", str(self.failureResultOf(again, ConnectFailed).value))
        self.assertEqual(recorder.losses, [])
        self.network.settle(2)
        self.assertEqual(recorder.losses, INACTIVE)
        self.assertEqual((self.network.links, self.left()), ([], []))
        restarted = MemoryCrust(self.network, crust.settings, crust.identity, crust.endpoints)
        restarted.start(self.recorder(here))
        back = self.dial(other, crust, b"again")
        self.network.settle(1)
        self.assertEqual(self.successResultOf(back).peer, crust.identity.name)


class TimeTests(MemoryTestCase):
    """C{run_until} and C{settle}."""

    def test_run_until_goes_no_further_than_it_must(self) -> None:
        """It goes no further than it must."""
        seen: list[int] = []
        for seconds in (3, 1, 2):
            self.clock.callLater(seconds, seen.append, seconds)
        self.network.run_until(lambda: 2 in seen)
        self.assertEqual((seen, self.clock.seconds()), ([1, 2], 2))

    def test_run_until_says_why_it_fails(self) -> None:
        """It says at what time, and whether waiting longer could help."""
        self.clock.callLater(5, int)
        error = self.assertRaises(AssertionError, self.network.run_until, lambda: False, 4)
        self.assertEqual(str(error), "it does not hold at 0 s, and 4 s are over")
        error = self.assertRaises(AssertionError, self.network.run_until, lambda: False)
        self.assertEqual(str(error), "it does not hold at 5 s, and nothing more will happen")

    def test_settle_runs_each_call_at_its_time(self) -> None:
        """Each call runs at its own time, those that calls make as well, and all the time passes."""
        seen: list[float] = []

        def tick() -> None:
            seen.append(self.clock.seconds())
            self.clock.callLater(2, tick)

        self.clock.callLater(1, tick)
        self.network.settle(6)
        self.assertEqual((seen, self.clock.seconds()), ([1, 3, 5], 6))
