"""Who makes room in a relay's memory for tunnels, and who is refused."""

from __future__ import annotations

from typing import Any

from routing_crust.crust.tunnel.carried import IDLE_SECONDS, QUIET_BYTES
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.tunnels import TunnelClosed, TunnelReason

from .relay_case import RelayCase


class RoomTests(RelayCase):
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
