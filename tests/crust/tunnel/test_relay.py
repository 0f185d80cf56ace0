"""The middle of tunnels on a fake clock: credit, rates, turns, time, and peers that misbehave."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from routing_crust.crust.tunnel.numbers import TUNNEL_LIFETIME_SECONDS
from routing_crust.crust.tunnel.relay import (
    MAX_OPENS_AT_ONCE,
    MAX_QUEUED_BYTES,
    MAX_UNEXPECTED_AT_ONCE,
    RECHECK_SECONDS,
)
from routing_crust.crust.tunnel.room import LEAST_TUNNEL_BYTES
from routing_crust.crust.tunnel.transport import number_of
from routing_crust.crust.tunnel.windows import QUIET_SECONDS
from routing_crust.errors import WireError
from routing_crust.wire.codec import encode
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.tunnels import TunnelClosed, TunnelCredit, TunnelOpen, TunnelOpened, TunnelReason

from .relay_case import PROOF, WINDOW, RelayCase, WritingLink


class RelayTests(RelayCase):
    # What goes through.

    def test_offer_and_answer_reach_the_two_ends(self) -> None:
        """Each with the address at which the relay sees the other end."""
        self.b = self.link(2, "198.51.100.9:1")
        self.ask(self.a, self.b, 7)
        (offer,) = self.b.take(FrameKind.TUNNEL_OPEN, TunnelOpen)
        seen = ip_address("192.0.2.1").packed
        self.assertEqual(offer, TunnelOpen(2, True, self.a.peer.raw, PROOF, WINDOW, False, seen))
        self.assertEqual(self.a.frames, [])
        self.frame(self.b, FrameKind.TUNNEL_OPENED, TunnelOpened(2, 5, 0))
        self.assertEqual(
            self.a.take(FrameKind.TUNNEL_OPENED, TunnelOpened),
            [TunnelOpened(7, WINDOW, TUNNEL_LIFETIME_SECONDS, ip_address("198.51.100.9").packed)],
        )
        self.data(self.a, 7, 9)
        (payload,) = self.b.take(FrameKind.TUNNEL_DATA)
        self.assertEqual((number_of(payload), len(payload)), (2, 9))
        self.frame(self.b, FrameKind.TUNNEL_CREDIT, TunnelCredit(2, 100, False))
        self.assertEqual(self.b.received(), 4)
        self.assertEqual(self.tunnels.carried, 1)
        self.frame(self.b, FrameKind.TUNNEL_CLOSED, TunnelClosed(2, TunnelReason.CLOSED))
        self.assertEqual(self.closed(self.a), [TunnelReason.CLOSED])
        self.assertEqual(self.tunnels.carried, 0)

    def test_tunnel_that_exceeds_its_credit_is_closed(self) -> None:
        """So no more waits in the relay than there was credit for."""
        number = self.open(self.a, self.b)
        self.frame(self.b, FrameKind.TUNNEL_CREDIT, TunnelCredit(number, 1, False))
        self.data(self.a, 1, 1)
        self.clock.advance(1)  # without hurry, so that the window stays as it is
        self.data(self.a, 1, WINDOW - 1)
        self.assertEqual(self.b.received(), WINDOW)
        granted = sum(each.amount for each in self.a.take(FrameKind.TUNNEL_CREDIT, TunnelCredit))
        self.assertEqual(granted, WINDOW)
        self.data(self.a, 1, WINDOW)
        self.clock.advance(1)
        self.assertEqual(self.b.received(), 1)
        self.assertEqual(self.a.take(FrameKind.TUNNEL_CREDIT), [])
        self.data(self.a, 1, 1)
        self.assertEqual(self.closed(self.a), [TunnelReason.PROTOCOL_ERROR])
        self.assertEqual(self.closed(self.b), [TunnelReason.PROTOCOL_ERROR])
        self.data(self.a, 1, 1)
        self.assertEqual(self.b.received(), 0)

    def test_more_credit_than_there_was_cannot_be_given_back(self) -> None:
        """What was given back is gone: to send it all the same ends the tunnel too."""
        self.open(self.a, self.b)
        self.frame(self.a, FrameKind.TUNNEL_CREDIT, TunnelCredit(1, 10, True))
        self.data(self.a, 1, WINDOW - 10)
        self.assertEqual(self.tunnels.carried, 1)
        self.frame(self.a, FrameKind.TUNNEL_CREDIT, TunnelCredit(1, WINDOW, True))
        self.assertEqual(self.closed(self.a), [TunnelReason.PROTOCOL_ERROR])

    def test_relay_gives_back_credit_of_an_end_that_gets_little(self) -> None:
        self.open(self.a, self.b, credit=4 * WINDOW)
        self.clock.advance(QUIET_SECONDS)
        self.data(self.a, 1, 100)
        (back,) = self.b.take(FrameKind.TUNNEL_CREDIT, TunnelCredit)
        self.assertEqual((back.amount, back.returned), (3 * WINDOW - 100, True))

    def test_large_windows_leave_half_of_the_memory_for_new_tunnels(self) -> None:
        """A tunnel that is closed gives its windows back."""
        self.fill(100)
        memory = self.tunnels._relay.memory
        number = self.open(self.a, self.b)
        self.clock.advance(0.1)
        self.data(self.a, 1, 1)
        for _ in range(12):
            half: Any = self.tunnels._relay.numbers.leg(self.a, 1)
            self.data(self.a, 1, half.window.left)
            size = self.b.received()
            self.frame(self.b, FrameKind.TUNNEL_CREDIT, TunnelCredit(number, max(size, 1), False))
            self.clock.advance(0.1)
        self.assertGreater(memory.taken, 0)
        self.assertLessEqual(memory.taken, 50 * LEAST_TUNNEL_BYTES)
        self.frame(self.b, FrameKind.TUNNEL_CLOSED, TunnelClosed(number, TunnelReason.CLOSED))
        self.assertEqual((self.tunnels.carried, memory.taken), (0, 0))

    def test_data_before_the_tunnel_is_open_closes_it(self) -> None:
        """The end that requested it may not send yet."""
        self.ask(self.a, self.b)
        self.data(self.a, 1, 1)
        self.assertEqual(self.closed(self.a), [TunnelReason.PROTOCOL_ERROR])

    def carry_on(self, seconds: float, links: list[Any], numbers: list[int]) -> dict[int, int]:
        """Let time pass, with ends that send and take as much as they may."""
        through = dict.fromkeys(numbers, 0)
        for _ in range(round(seconds / 0.01)):
            for a, b, number in links:
                for credit in a.take(FrameKind.TUNNEL_CREDIT, TunnelCredit):
                    self.data(a, credit.number, credit.amount)
                size = sum(
                    len(each) - 4 for each in b.take(FrameKind.TUNNEL_DATA) if number_of(each) == number
                )
                if size:
                    through[number] += size
                    self.frame(b, FrameKind.TUNNEL_CREDIT, TunnelCredit(number, size, False))
            self.clock.advance(0.01)
        return through

    def test_tunnels_together_keep_to_relay_rate(self) -> None:
        """One alone may have it all."""
        rate = 256 * 1024
        self.make(relay_rate=rate)
        number = self.open(self.a, self.b)
        self.data(self.a, 1, WINDOW)
        alone = self.carry_on(4, [(self.a, self.b, number)], [number])[number]
        self.assertGreater(alone, 3.9 * rate)
        self.assertLess(alone, 4.5 * rate)

    def test_networks_take_turns_whatever_tunnels_they_have(self) -> None:
        """Three busy tunnels of one do not get more than one of another."""
        rate = 256 * 1024
        self.make(relay_rate=rate)
        ends = []
        for seed in (10, 11, 12):
            near, far = self.link(seed), self.link(seed + 10)
            ends.append((near, far, self.open(near, far)))
        honest = self.link(5, "203.0.113.1:1"), self.link(6)
        other = (*honest, self.open(*honest))
        for near, _, _ in (*ends, other):
            self.data(near, 1, WINDOW)
        got = {far.peer: 0 for _, far, _ in (*ends, other)}
        for _ in range(400):
            for near, far, number in (*ends, other):
                for credit in near.take(FrameKind.TUNNEL_CREDIT, TunnelCredit):
                    self.data(near, 1, credit.amount)
                size = far.received()
                if size:
                    got[far.peer] += size
                    self.frame(far, FrameKind.TUNNEL_CREDIT, TunnelCredit(number, size, False))
            self.clock.advance(0.01)
        total = sum(got.values())
        self.assertGreater(got[honest[1].peer], 0.45 * total)
        self.assertLess(got[honest[1].peer], 0.55 * total)

    def test_two_tunnels_share_a_full_link_fairly(self) -> None:
        """Two tunnels to one peer whose link has little room get the same."""
        self.make(relay_rate=64 << 20)
        c = self.link(3)
        ends = [(self.a, self.b, self.open(self.a, self.b)), (c, self.b, self.open(c, self.b))]
        self.b.queued = MAX_QUEUED_BYTES
        for link, _, _ in ends:
            self.data(link, 1, WINDOW)
        self.assertEqual(self.b.frames, [])
        self.b.queued = 0
        room = 2
        send = self.b.send

        def fill(kind: int, payload: bytes) -> None:
            nonlocal room
            room -= 1
            self.b.queued = 0 if room else MAX_QUEUED_BYTES
            send(kind, payload)

        self.b.send = fill
        self.clock.advance(0.01)
        numbers = [number_of(each) for each in self.b.take(FrameKind.TUNNEL_DATA)]
        self.assertEqual(sorted(numbers), sorted(number for _, _, number in ends))

    def test_busy_link_gets_nothing_of_a_tunnel(self) -> None:
        """Its queue is checked again later."""
        self.open(self.a, self.b)
        self.b.queued = MAX_QUEUED_BYTES
        self.data(self.a, 1, 100)
        self.clock.advance(1)
        self.assertEqual(self.b.received(), 0)
        self.b.queued = 0
        self.clock.advance(0.01)
        self.assertEqual(self.b.received(), 100)

    # How it ends.

    def many_to_a_slow_link(self) -> int:
        """More comes in one turn, through several tunnels, than a link's queue takes. Returns how much."""
        self.b = self.links[self.b.peer] = WritingLink(2, self.clock)
        numbers = range(1, 2 * 5 * MAX_QUEUED_BYTES // WINDOW, 2)
        for number in numbers:
            self.open(self.a, self.b, number)
        for number in numbers:
            self.data(self.a, number, WINDOW)
        return WINDOW * len(numbers)

    def test_link_that_writes_in_each_turn_is_given_more_in_each(self) -> None:
        """No time has to pass between two turns, however little a queue may hold."""
        size = self.many_to_a_slow_link()
        self.clock.advance(0)
        self.assertEqual(self.b.received(), size)
        self.assertLess(self.b.most_queued, 2 * MAX_QUEUED_BYTES)

    def test_link_that_writes_nothing_is_not_looked_at_in_each_turn(self) -> None:
        size = self.many_to_a_slow_link()
        self.b.is_stuck = True
        self.clock.advance(0)
        (look,) = (each for each in self.clock.getDelayedCalls() if each.getTime() < 1)
        self.assertEqual(look.getTime(), RECHECK_SECONDS)
        self.b.is_stuck = False
        self.b.write()
        self.clock.advance(RECHECK_SECONDS)
        self.assertEqual(self.b.received(), size)

    def test_data_before_a_close_is_still_delivered(self) -> None:
        """The same holds if the link is lost; the TUNNEL_CLOSED comes last."""
        for lose in (False, True):
            self.open(self.a, self.b)
            self.b.queued = MAX_QUEUED_BYTES
            self.data(self.a, 1, 100)
            if lose:
                self.tunnels.link_lost(self.a)
            else:
                self.frame(self.a, FrameKind.TUNNEL_CLOSED, TunnelClosed(1, TunnelReason.CLOSED))
            self.assertEqual(self.b.frames, [])
            self.b.queued = 0
            self.clock.advance(0.01)
            kinds = [kind for kind, _ in self.b.frames]
            self.assertEqual(kinds, [FrameKind.TUNNEL_DATA, FrameKind.TUNNEL_CLOSED])
            self.assertEqual(self.closed(self.b), [TunnelReason.LINK_LOST if lose else TunnelReason.CLOSED])
            self.b.frames.clear()
            self.assertEqual(self.tunnels.carried, 0)

    def test_end_that_takes_nothing_is_not_waited_for(self) -> None:
        self.open(self.a, self.b)
        self.b.queued = MAX_QUEUED_BYTES
        self.data(self.a, 1, 100)
        self.tunnels.link_lost(self.a)
        self.clock.pump([0.1] * 101)
        self.assertEqual(self.closed(self.b), [TunnelReason.TIMED_OUT])
        self.assertEqual(self.tunnels.carried, 0)

    def test_loss_of_both_links_leaves_nothing(self) -> None:
        self.open(self.a, self.b)
        self.tunnels.link_lost(self.a)
        self.tunnels.link_lost(self.b)
        self.assertEqual(self.tunnels.carried, 0)

    def test_unanswered_offer_of_a_tunnel_times_out(self) -> None:
        self.ask(self.a, self.b)
        self.clock.advance(self.settings.hello_timeout)
        self.assertEqual(self.closed(self.a), [TunnelReason.TIMED_OUT])
        self.assertEqual(self.closed(self.b), [TunnelReason.TIMED_OUT])

    def test_refusal_of_the_far_peer_is_handed_on(self) -> None:
        self.ask(self.a, self.b)
        self.frame(self.b, FrameKind.TUNNEL_CLOSED, TunnelClosed(2, TunnelReason.NOT_EXPECTED))
        self.assertEqual(self.closed(self.a), [TunnelReason.NOT_EXPECTED])
        self.assertEqual(self.tunnels.carried, 0)

    def test_tunnel_lives_while_it_is_used(self) -> None:
        """A tunnel lives as long as something goes through it now and then."""
        limit = 2 * self.settings.inactivity_timeout
        number = self.open(self.a, self.b)
        for link, its in ((self.a, 1), (self.b, number)) * 3:
            self.clock.advance(limit - 1)
            self.data(link, its, 1)
        self.assertEqual(self.tunnels.carried, 1)
        self.clock.advance(limit)
        self.assertEqual(self.closed(self.a), [TunnelReason.TIMED_OUT])

    def test_tunnel_ends_after_its_time_unless_renewed(self) -> None:
        """A renewal needs both links."""
        number = self.open(self.a, self.b)
        self.keep_alive(TUNNEL_LIFETIME_SECONDS - 60, number)
        self.ask(self.a, self.b)
        self.assertEqual(len(self.a.take(FrameKind.TUNNEL_OPENED)), 1)
        self.keep_alive(TUNNEL_LIFETIME_SECONDS - 60, number)
        self.assertEqual(self.tunnels.carried, 1)
        del self.links[self.b.peer]
        self.ask(self.a, self.b)
        self.assertEqual(self.a.take(FrameKind.TUNNEL_OPENED), [])
        self.keep_alive(60, number)
        self.assertEqual(self.closed(self.a), [TunnelReason.EXPIRED])
        self.assertEqual(self.closed(self.b), [TunnelReason.EXPIRED])

    def keep_alive(self, seconds: float, number: int) -> None:
        for _ in range(round(seconds / 20)):
            self.clock.advance(20)
            self.data(self.b, number, 1)

    # Who misbehaves.

    def test_peer_that_requests_too_often_is_refused(self) -> None:
        """The far end gets no offer then."""
        for number in range(1, 2 * MAX_OPENS_AT_ONCE + 1, 2):
            self.ask(self.a, self.b, number)
            self.frame(self.a, FrameKind.TUNNEL_CLOSED, TunnelClosed(number, TunnelReason.CLOSED))
        self.b.frames.clear()
        self.ask(self.a, self.b, 1001)
        self.assertEqual(self.closed(self.a), [TunnelReason.TOO_OFTEN])
        self.assertEqual(self.b.frames, [])
        self.clock.advance(1)
        self.ask(self.a, self.b, 1003)
        self.assertEqual(len(self.b.take(FrameKind.TUNNEL_OPEN)), 1)

    def test_tunnels_that_nobody_expects_are_soon_refused(self) -> None:
        """The peer they are offered to is not bothered with many."""
        refused = self.bother(self.a, MAX_OPENS_AT_ONCE)
        expected = MAX_UNEXPECTED_AT_ONCE
        self.assertEqual(refused[:expected], [TunnelReason.NOT_EXPECTED] * expected)
        self.assertEqual(set(refused[expected:]), {TunnelReason.TOO_OFTEN})
        self.clock.advance(1)
        self.assertEqual(self.bother(self.a, 2, 1001), [TunnelReason.NOT_EXPECTED, TunnelReason.TOO_OFTEN])

    def bother(self, near: Any, tunnels: int, first: int = 1) -> list[TunnelReason]:
        """Request tunnels that the far end does not expect. Returns what becomes of them."""
        for number in range(first, first + 2 * tunnels, 2):
            self.ask(near, self.b, number)
            for offer in self.b.take(FrameKind.TUNNEL_OPEN, TunnelOpen):
                refusal = TunnelClosed(offer.number, TunnelReason.NOT_EXPECTED)
                self.frame(self.b, FrameKind.TUNNEL_CLOSED, refusal)
        return self.closed(near)

    def test_keys_of_one_prefix_bother_a_peer_no_more_than_one_does(self) -> None:
        """Nor do they keep others from requesting tunnels."""
        crowd = [self.link(10 + number, f"81.5.6.{number}:1") for number in range(10)]
        refused = [reason for each in crowd for reason in self.bother(each, 8)]
        self.assertEqual(refused.count(TunnelReason.NOT_EXPECTED), MAX_UNEXPECTED_AT_ONCE)
        other = self.link(30, "62.1.2.3:1")
        self.assertEqual(self.bother(other, 1), [TunnelReason.NOT_EXPECTED])

    def test_new_link_brings_no_new_rate_of_requests(self) -> None:
        for _ in range(3):
            for number in range(1, 2 * MAX_OPENS_AT_ONCE + 1, 2):
                self.ask(self.a, self.b, number)
                self.frame(self.a, FrameKind.TUNNEL_CLOSED, TunnelClosed(number, TunnelReason.CLOSED))
            self.tunnels.link_lost(self.a)
            self.a = self.link(1)
        self.assertEqual(len(self.b.take(FrameKind.TUNNEL_OPEN)), MAX_OPENS_AT_ONCE)

    def test_tunnel_memory_zero_carries_none(self) -> None:
        self.make(tunnel_memory=0)
        self.ask(self.a, self.b)
        self.assertEqual(self.closed(self.a), [TunnelReason.NOT_ALLOWED])

    def test_tunnel_to_the_requester_itself_is_refused(self) -> None:
        self.ask(self.a, self.a)
        self.assertEqual(self.closed(self.a), [TunnelReason.NO_LINK])

    def test_frame_out_of_place_is_a_protocol_error(self) -> None:
        number = self.open(self.a, self.b)
        opened = FrameKind.TUNNEL_OPENED
        for link, kind, payload in (
            (self.a, FrameKind.TUNNEL_DATA, b"abc"),
            (self.a, FrameKind.TUNNEL_OPEN, encode(TunnelOpen(2, False, self.b.peer.raw, PROOF, 1, False))),
            (self.a, FrameKind.TUNNEL_OPEN, encode(TunnelOpen(1, True, self.b.peer.raw, PROOF, 1, False))),
            (self.b, opened, encode(TunnelOpened(number, 1, 0))),
            (self.a, opened, encode(TunnelOpened(1, 1, 0))),
            (self.a, FrameKind.TUNNEL_CREDIT, b"\x00"),
            (self.a, FrameKind.TUNNEL_CLOSED, b"\x00"),
        ):
            with self.assertRaises(WireError):
                self.tunnels.frame_received(link, kind, payload)
        with self.assertRaises(WireError):
            # ours, at the far end
            self.frame(
                self.b, FrameKind.TUNNEL_OPEN, TunnelOpen(number, False, self.a.peer.raw, PROOF, 1, False)
            )

    def test_frame_that_crosses_with_the_close_is_ignored(self) -> None:
        self.data(self.a, 5, 1)
        self.frame(self.a, FrameKind.TUNNEL_CREDIT, TunnelCredit(5, 1, False))
        self.frame(self.a, FrameKind.TUNNEL_OPENED, TunnelOpened(5, 1, 0))
        self.frame(self.a, FrameKind.TUNNEL_CLOSED, TunnelClosed(5, TunnelReason.CLOSED))
        self.assertEqual((self.a.frames, self.b.frames), ([], []))

    def test_late_answer_does_not_prolong_a_closing_tunnel(self) -> None:
        number = self.open(self.a, self.b)
        self.a.queued = MAX_QUEUED_BYTES
        self.data(self.b, number, 10)
        self.frame(self.b, FrameKind.TUNNEL_CLOSED, TunnelClosed(number, TunnelReason.CLOSED))
        self.ask(self.a, self.b)
        self.data(self.a, 1, 10)
        self.assertEqual((self.a.frames, self.b.received()), ([], 0))
        self.a.queued = 0
        self.clock.advance(0.01)
        self.assertEqual(self.a.received(), 10)
        self.assertEqual(self.closed(self.a), [TunnelReason.CLOSED])
