"""The middle of tunnels on a fake clock: credit, rates, turns, time, and peers that misbehave."""

from __future__ import annotations

from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.link.tls import LinkTls
from routing_crust.crust.tunnel.carried import IDLE_SECONDS, QUIET_BYTES
from routing_crust.crust.tunnel.dispatch import TunnelDispatch
from routing_crust.crust.tunnel.numbers import TUNNEL_LIFETIME_SECONDS
from routing_crust.crust.tunnel.relay import (
    MAX_OPENS_AT_ONCE,
    MAX_QUEUED_BYTES,
    RECHECK_SECONDS,
    UNEXPECTED_OPENS,
)
from routing_crust.crust.tunnel.room import LEAST_TUNNEL_BYTES
from routing_crust.crust.tunnel.transport import data_frame, number_of
from routing_crust.crust.tunnel.windows import QUIET_SECONDS, TUNNEL_WINDOW_BYTES
from routing_crust.endpoints import Connection, PathKind, Protocol
from routing_crust.errors import WireError
from routing_crust.names import Name
from routing_crust.quietlog import QuietLog
from routing_crust.wire.codec import decode, encode
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.tunnels import TunnelClosed, TunnelCredit, TunnelOpen, TunnelOpened, TunnelReason

from ..addresses import at, identity, name

WINDOW = TUNNEL_WINDOW_BYTES
PROOF = bytes(32)


class FakeLink:
    """Writes down what is sent."""

    writable = True
    queued = 0
    path_kind = PathKind.DIRECT
    connection = Connection(Protocol.TCP, at("192.0.2.1:1"), at("198.51.100.1:1"))

    def __init__(self, seed: int, initiator: bool = False) -> None:
        self.peer = name(seed)
        self.initiator = initiator
        self.frames: list[tuple[int, bytes]] = []

    def send(self, kind: int, payload: bytes) -> None:
        self.frames.append((kind, payload))

    def when_writable(self) -> Deferred[None]:
        return succeed(None)

    def take(self, kind: FrameKind, message: Any = None) -> list[Any]:
        """What came of one kind, which is forgotten."""
        found = [payload for each, payload in self.frames if each == kind]
        self.frames = [each for each in self.frames if each[0] != kind]
        return found if message is None else [decode(message, payload) for payload in found]

    def received(self) -> int:
        """How many bytes came through tunnels, which are forgotten."""
        return sum(len(each) - 4 for each in self.take(FrameKind.TUNNEL_DATA))


class WritingLink(FakeLink):
    """
    A link that writes in the next turn what it was given in this one, as real ones do.

    @ivar is_stuck: whether its transport takes nothing.
    @ivar most_queued: how many bytes waited at most.
    """

    is_stuck = False
    most_queued = 0

    def __init__(self, seed: int, clock: Clock) -> None:
        super().__init__(seed)
        self.clock = clock

    def send(self, kind: int, payload: bytes) -> None:
        super().send(kind, payload)
        if kind == FrameKind.TUNNEL_DATA:
            if not self.queued:
                self.clock.callLater(0, self.write)
            self.queued += len(payload)
            self.most_queued = max(self.most_queued, self.queued)

    def write(self) -> None:
        """Write all that waits."""
        if not self.is_stuck:
            self.queued = 0


class RelayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.make()

    def make(self, **settings: Any) -> None:
        self.settings = Settings(**settings)
        owner = SimpleNamespace(clock=self.clock, settings=self.settings)
        quiet = QuietLog(Logger(), self.clock.seconds)
        tls = LinkTls(identity(9))
        self.tunnels = TunnelDispatch(
            owner,  # type: ignore[arg-type]
            tls,
            quiet,
            lambda proof: None,
            lambda link: None,
            lambda: None,
        )
        self.links: dict[Name, Any] = {}
        self.tunnels.carry(lambda link, peer: self.links.get(peer))
        self.a, self.b = self.link(1), self.link(2)

    def tearDown(self) -> None:
        self.tunnels.stop()
        self.assertEqual(self.tunnels.carried, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def link(self, seed: int, address: str = "192.0.2.1:1") -> Any:
        link = FakeLink(seed)
        link.connection = Connection(Protocol.TCP, at(address), at("198.51.100.1:1"))
        self.links[link.peer] = link
        return link

    def frame(self, link: Any, kind: FrameKind, message: Any) -> None:
        self.tunnels.frame_received(link, kind, encode(message))

    def ask(self, link: Any, peer: Any, number: int = 1, credit: int = WINDOW, awaited: bool = False) -> None:
        message = TunnelOpen(number, False, peer.peer.raw, PROOF, credit, awaited)
        self.frame(link, FrameKind.TUNNEL_OPEN, message)

    def open(self, a: Any, b: Any, number: int = 1, credit: int = WINDOW, awaited: bool = False) -> int:
        """Open a tunnel, and return its number at the far end."""
        self.ask(a, b, number, credit, awaited)
        (offer,) = b.take(FrameKind.TUNNEL_OPEN, TunnelOpen)
        self.frame(b, FrameKind.TUNNEL_OPENED, TunnelOpened(offer.number, credit, 0))
        a.take(FrameKind.TUNNEL_OPENED)
        return int(offer.number)

    def data(self, link: Any, number: int, size: int) -> None:
        while size:
            chunk = min(size, QUIET_BYTES)
            self.tunnels.frame_received(link, FrameKind.TUNNEL_DATA, data_frame(number, bytes(chunk)))
            size -= chunk

    def closed(self, link: Any) -> list[TunnelReason]:
        return [each.reason for each in link.take(FrameKind.TUNNEL_CLOSED, TunnelClosed)]

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
        self.data(self.a, 1, WINDOW)
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
        for number in range(1, 2 * MAX_OPENS_AT_ONCE + 1, 2):
            self.ask(self.a, self.b, number)
            for offer in self.b.take(FrameKind.TUNNEL_OPEN, TunnelOpen):
                refusal = TunnelClosed(offer.number, TunnelReason.NOT_EXPECTED)
                self.frame(self.b, FrameKind.TUNNEL_CLOSED, refusal)
        refused = self.closed(self.a)
        expected = MAX_OPENS_AT_ONCE // UNEXPECTED_OPENS
        self.assertEqual(refused[:expected], [TunnelReason.NOT_EXPECTED] * expected)
        self.assertEqual(set(refused[expected:]), {TunnelReason.TOO_OFTEN})

    # Who makes room.

    def fill(self, count: int) -> None:
        """A relay with memory for this many."""
        self.make(tunnel_memory=count * LEAST_TUNNEL_BYTES)

    def test_tunnel_beyond_tunnel_memory_is_refused(self) -> None:
        """The far end is not told, and holds nothing by being the far end."""
        self.fill(2)
        c = self.link(3)
        self.open(self.a, self.b)
        self.open(self.b, self.a)
        self.b.frames.clear()
        self.ask(c, self.b)
        self.assertEqual(self.closed(c), [TunnelReason.NO_MEMORY])
        self.assertEqual((self.tunnels.carried, self.b.frames), (2, []))

    def test_holder_of_most_tunnels_makes_room(self) -> None:
        """Tunnels that others open to a peer take nothing of its share."""
        self.fill(4)
        for number in (1, 3, 5, 7):
            self.open(self.a, self.b, number)
        self.open(self.b, self.a)
        self.assertEqual(self.closed(self.a), [TunnelReason.NO_MEMORY])
        self.open(self.b, self.a, 3)
        self.assertEqual(len(self.closed(self.a)), 1)
        self.ask(self.b, self.a, 5)
        self.assertEqual(self.closed(self.b)[-1:], [TunnelReason.NO_MEMORY])
        self.assertEqual(self.tunnels.carried, 4)

    def test_many_keys_of_one_network_make_room_for_another(self) -> None:
        self.fill(20)
        keys = [self.link(seed) for seed in range(10, 30)]
        for one, other in zip(keys, keys[1:] + keys[:1], strict=True):
            self.open(one, other)
        honest = self.link(50, "203.0.113.1:1"), self.link(51, "203.0.113.2:1")
        self.open(*honest)
        self.open(honest[1], honest[0])
        self.assertEqual([self.closed(each) for each in honest], [[], []])
        self.assertEqual(sum(len(self.closed(each)) for each in keys), 4)

    def test_unanswered_offer_makes_room_before_a_tunnel_in_use(self) -> None:
        self.fill(3)
        self.open(self.a, self.b, 1)
        self.ask(self.a, self.link(5), 3)
        self.open(self.a, self.link(3), 5)
        self.open(self.link(4, "203.0.113.1:1"), self.b)
        (closed,) = self.a.take(FrameKind.TUNNEL_CLOSED, TunnelClosed)
        self.assertEqual((closed.number, closed.reason), (3, TunnelReason.NO_MEMORY))

    def test_awaited_tunnel_replaces_one_of_the_same_peer_that_is_idle(self) -> None:
        """One that nobody waited for goes first, and one that was just opened for somebody does not go."""
        self.fill(2)
        c = self.link(3)
        self.open(self.a, self.b, 1, awaited=True)
        self.open(self.a, c, 3)
        self.open(self.a, self.b, 5, awaited=True)
        self.assertEqual(self.numbers_closed(self.a), [3])
        self.ask(self.a, c, 7, awaited=True)
        self.assertEqual(self.numbers_closed(self.a), [7])
        self.clock.advance(IDLE_SECONDS)
        self.ask(self.a, c, 9)
        self.assertEqual(self.numbers_closed(self.a), [9])
        self.open(self.a, c, 11, awaited=True)
        self.assertEqual(self.numbers_closed(self.a), [1])

    def test_busy_tunnel_makes_no_room_for_an_awaited_one(self) -> None:
        self.fill(1)
        self.open(self.a, self.b)
        self.data(self.a, 1, QUIET_BYTES + 1)
        self.ask(self.a, self.b, 3, awaited=True)
        self.assertEqual(self.numbers_closed(self.a), [3])
        self.clock.advance(2 * IDLE_SECONDS)
        self.open(self.a, self.b, 5, awaited=True)
        self.assertEqual(self.numbers_closed(self.a), [1])

    def test_awaited_tunnel_takes_nothing_from_others(self) -> None:
        """A peer only says so itself."""
        self.fill(2)
        c = self.link(3)
        self.open(self.a, self.b)
        self.open(self.b, self.a)
        self.ask(c, self.a, awaited=True)
        self.assertEqual(self.closed(c), [TunnelReason.NO_MEMORY])

    def numbers_closed(self, link: Any) -> list[int]:
        return [each.number for each in link.take(FrameKind.TUNNEL_CLOSED, TunnelClosed)]

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
