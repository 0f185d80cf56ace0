"""
Two nodes that cannot dial each other, and relays at various distances from each of them.

As a command it plays such networks again and again, and says which relay carried the tunnel, how long a round
trip took compared with the best one, and how soon there was another tunnel when the relay died::

    python -m tests.routing.connecting.nearest 100
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from random import Random
from statistics import median

from routing_crust import RoutingService
from routing_crust.crust.interfaces import ILink
from routing_crust.endpoints import PathKind
from routing_crust.testing.latency import ByPair
from routing_crust.wire.messages import NatKind

from ..net import Net

BETWEEN_RELAYS_SECONDS = 0.005
"""One way, between any two nodes that are not placed otherwise."""
ROUND_TRIPS = (0.01, 0.08, 0.2)
"""From each of the two ends to the relays of the command."""


class NearNet:
    """
    Such a network.

    @ivar a: one end.
    @ivar b: the other.
    @ivar relays: in the order in which their distances were given.
    """

    def __init__(self, seed: int, round_trips: Sequence[tuple[float, float]]) -> None:
        """
        @param round_trips: between each relay and the two ends, in seconds.
        """
        self.net = Net(seed)
        self.latency = ByPair(BETWEEN_RELAYS_SECONDS)
        self.net.network.latency = self.latency
        self.net.grow(len(round_trips))
        # which one the others have joined by must not tell which is near
        self.relays = self.net.nodes[:]
        Random(seed).shuffle(self.relays)
        for each in self.relays:
            self.net.crust(each).nat = NatKind.OPEN
        self.a, self.b = self.net.node(), self.net.node()
        for relay, (to_a, to_b) in zip(self.relays, round_trips, strict=True):
            self.place(self.a, relay, to_a)
            self.place(self.b, relay, to_b)
        here, there = self.net.crust(self.a), self.net.crust(self.b)
        self.net.network.block(here, there)
        self.net.network.block(there, here)
        here.nat = there.nat = NatKind.SYMMETRIC

    def place(self, one: RoutingService, two: RoutingService, round_trip: float) -> None:
        """Set how long a round trip between two nodes takes, in seconds."""
        self.latency.place(self.net.crust(one).host, self.net.crust(two).host, round_trip / 2)

    def link(self, node: RoutingService, peer: RoutingService) -> ILink | None:
        """The link of one node to another."""
        return None if node._core is None else node._core.links.link_to(peer.node_name)

    @property
    def relay(self) -> RoutingService | None:
        """The relay of the tunnel, if both ends have one through the same."""
        links = (self.link(self.a, self.b), self.link(self.b, self.a))
        names = {
            None if each is None or each.path_kind is not PathKind.TUNNEL else each.via for each in links
        }
        return next((each for each in self.relays if names == {each.node_name}), None)

    @property
    def number(self) -> int | None:
        """The number of that relay."""
        return None if self.relay is None else self.relays.index(self.relay)

    def until_through(self, number: int | None, seconds: float) -> float:
        """
        Wait until the tunnel goes through this relay, or through any.

        @return: how many seconds that took.
        """
        before = self.net.clock.seconds()
        self.net.run(lambda: self.number is not None and number in (None, self.number), seconds)
        return self.net.clock.seconds() - before

    def send_every(self, seconds: float) -> list[bytes]:
        """
        From now on send a numbered message from one end to the other as often as this.

        @return: what has arrived, so far.
        """
        arrived: list[bytes] = []
        self.b.set_message_handler(lambda message: arrived.append(message.body))
        self._send(0, seconds)
        return arrived

    def _send(self, number: int, seconds: float) -> None:
        self.a.send(self.b.node_name, str(number).encode()).addErrback(lambda _: None)
        self.net.clock.callLater(seconds, self._send, number + 1, seconds)

    def kill(self, relay: RoutingService, silently: bool) -> None:
        """
        Have a relay die.

        @param silently: whether nobody is told.
        """
        self.net.crash(relay, silently)


def play(seed: int) -> tuple[bool, float, float]:
    """
    Play one of the command's networks.

    @return: whether the nearest relay carried the tunnel, how long a round trip took compared with the best
        one, and how soon another tunnel was there when the relay had died while messages went through.
    """
    near = NearNet(seed, [(each, each) for each in ROUND_TRIPS])
    near.until_through(None, 120)
    near.net.settle(90)
    relay = near.relay
    assert relay is not None
    link = near.link(near.a, near.b)
    assert link is not None
    assert link.round_trip.smoothed is not None
    stretch = link.round_trip.smoothed / (2 * min(ROUND_TRIPS))
    right = relay is near.relays[0]
    near.send_every(0.1)
    near.net.settle(2)
    # every other one without a word
    near.kill(relay, seed % 2 == 0)
    before = near.net.clock.seconds()
    near.net.run(lambda: near.relay not in (None, relay), 120)
    return right, stretch, near.net.clock.seconds() - before


def main(arguments: list[str]) -> None:
    """Play some networks."""
    played = [play(seed) for seed in range(int(arguments[0]) if arguments else 10)]
    silent, told = (sorted(each for _, _, each in played[start::2]) for start in (0, 1))
    print(f"the nearest relay in {sum(right for right, _, _ in played)} of {len(played)}")
    print(f"stretch at most {max(stretch for _, stretch, _ in played):.2f}")
    for word, times in (("a relay that ends", told), ("a relay that falls silent", silent)):
        if times:
            print(f"{word}: another tunnel after {median(times):.2f} s, at most {times[-1]:.2f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
