"""
A router gets another address, or forgets its connections: how soon a new stream works.

Both ends have long been idle, nobody is told, and what is sent over the dead links vanishes. With C{resets} a
public peer answers what comes to it from the new address with a reset, as the kernel of a host does.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import CloseReason
from routing_crust.routing.connecting.connector import Connector
from routing_crust.routing.connecting.responder import ConnectResponder
from routing_crust.streams.service import streams_of
from routing_crust.testing.host import SimulatedNode
from routing_crust.testing.latency import Uniform
from routing_crust.testing.memory.nat import PORT_RESTRICTED, SYMMETRIC, Nat
from routing_crust.testing.memory.transport import MemoryTransport
from routing_crust.testing.simulation import SimulatedNetwork
from routing_crust.wire.messages import EnvelopeKind

from ...streams.protocols import Echo, Keeping, Noting

MAX_SECONDS = 8.0
"""From the change until a new stream works, at either end."""
MAX_SLOW_SECONDS = 10.0
"""The same where each way takes 50 to 300 ms."""
IDLE_SECONDS = 14.0
RESET_SECONDS = 0.06
LOST_SECONDS = 0.5


class NewAddressCase(SynchronousTestCase):
    def build(self, seed: int, kind: Nat = PORT_RESTRICTED, public: int = 2) -> None:
        """Two nodes behind NATs of their own, I{away} and I{home}, with a link, and some on the internet."""
        self.net = SimulatedNetwork(seed=seed, internet=True)
        self.public = self.net.nodes(public)
        if public > 1:
            self.net.run_until(self.net.joined)
        self.away, self.home = (self.net.node(nat=self.net.nat(kind)) for _ in range(2))
        for node in (self.away, self.home):
            streams_of(node.service).listen("echo", Keeping(Echo))
        self.net.run_until(self.net.joined)
        for one, other in ((self.away, self.home), (self.home, self.away)):
            self.connect(one, other)
        self.net.run_for(IDLE_SECONDS + 20 * self.net.random.random())

    def connect(self, one: SimulatedNode, other: SimulatedNode) -> float:
        """Open a stream, and say after how many seconds something has come back over it."""
        began = self.net.clock.now
        opened: Any = self.net.result_of(
            streams_of(one.service).open(other.name, "echo", Keeping(Noting)), timeout=300
        )
        opened.transport.write(b"there?")
        self.net.run_until(lambda: opened.received.endswith(b"there?"), timeout=300)
        return self.net.clock.now - began

    def change(self, *, flush: bool = False, resets: bool = False) -> None:
        """The router before I{home} gets another address, or only forgets its connections."""
        assert self.home.nat is not None
        if resets:
            self.have_hosts_reset()
        if flush:
            self.net.network.flush_nat(self.home.nat)
        else:
            self.net.network.change_address(self.home.nat)

    def have_hosts_reset(self) -> None:
        """What home writes on a dead connection with a public host is answered by a reset."""
        public = {each.host for each in self.public}
        ends = {end for link in self.net.network.links for end in (link, link.other)}
        dead = {each for each in ends if each.host.host == self.home.host and each.other.host.host in public}
        write = MemoryTransport.write

        def written(end: MemoryTransport, data: bytes) -> None:
            write(end, data)
            if end in dead:
                dead.discard(end)
                self.net.clock.callLater(RESET_SECONDS, lambda: None if end.gone else end.lose())

        self.patch(MemoryTransport, "write", written)

    def takes(self, seed: int, at_home: bool, **how: Any) -> float:
        """For how long the first stream after the change is waited for."""
        nat = {each: how.pop(each) for each in ("kind", "public") if each in how}
        self.build(seed, **nat)
        self.change(**how)
        ends = (self.home, self.away) if at_home else (self.away, self.home)
        seconds = self.connect(*ends)
        self.net.stop()
        return seconds

    def holds(self, *seeds: int, **how: Any) -> None:
        """Each end has a new stream in time, with each of these seeds."""
        for seed in seeds:
            for at_home in (True, False):
                self.assertLess(self.takes(seed, at_home, **how), MAX_SECONDS, f"{seed=} {at_home=} {how}")


class NewAddressTests(NewAddressCase):
    """The seeds are some with which it took up to 61 s once."""

    def test_stream_works_soon_where_nobody_is_told(self) -> None:
        self.holds(5, 13, 16)

    def test_stream_works_soon_where_public_peers_reset(self) -> None:
        self.holds(6, 7, 11, resets=True)

    def test_stream_works_soon_where_only_one_peer_is_public(self) -> None:
        """So that links to two networks never break."""
        self.holds(0, 5, 6, public=1, resets=True)

    def test_stream_works_soon_where_there_is_a_tunnel(self) -> None:
        self.holds(4, 9, kind=SYMMETRIC)

    def test_stream_works_soon_after_a_flush(self) -> None:
        self.holds(5, flush=True)
        self.holds(5, flush=True, resets=True)


class SlowTests(NewAddressCase):
    def test_stream_works_soon_where_all_is_slow(self) -> None:
        """Machines, or lines: each way takes 50 to 300 ms."""
        # with seed 7 both ends ask when the limit for strangers' addresses of a prefix is met
        for seed, at_home in product((1, 4, 7, 8), (True, False)):
            self.build(seed)
            self.net.network.latency = Uniform(0.05, 0.3)
            self.net.run_for(30)
            self.change(resets=True)
            ends = (self.home, self.away) if at_home else (self.away, self.home)
            self.assertLess(self.connect(*ends), MAX_SLOW_SECONDS, f"{seed=} {at_home=}")
            self.net.stop()


class LostMessageTests(NewAddressCase):
    """What is sent in the first half second, of one kind of message that leads to a link, vanishes."""

    def lose(self, sender: Connector | ConnectResponder, kind: EnvelopeKind) -> list[EnvelopeKind]:
        """Lose all of a kind that are sent now, and say how many that were."""
        lost: list[EnvelopeKind] = []
        send, until = sender._send, self.net.clock.now + LOST_SECONDS

        def sent(what: EnvelopeKind, *way: Any) -> int | None:
            if what is kind and self.net.clock.now < until:
                lost.append(what)
                return None
            return send(what, *way)

        self.patch(sender, "_send", sent)
        return lost

    def test_link_comes_soon_though_its_request_or_the_answer_is_lost(self) -> None:
        """And not when the request has been given up, 20 s later."""
        for kind in (EnvelopeKind.CONNECT_REQUEST, EnvelopeKind.CONNECT_RESPONSE):
            self.build(7)
            here, there = self.away.core, self.home.core
            assert here is not None
            assert there is not None
            for core in (here, there):
                self.patch(core.joiner, "wake", lambda: None)
            here.links.drop(self.home.name, CloseReason.CONNECTION_LOST)
            sender = here.connector if kind is EnvelopeKind.CONNECT_REQUEST else there.responder
            # from now on: the streams' own request may be sent in this moment
            lost = self.lose(sender, kind)
            self.net.run_for(0.2)
            self.assertLess(self.connect(self.away, self.home), 3)
            self.assertIn(kind, lost)
            self.net.stop()
