"""The registry tells its listeners of peers in one order, and a later one of no peer that is gone."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.endpoints import PathKind
from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.routing.links.peer import Peer, PeerListener
from routing_crust.testing import SimulatedNetwork

from .handover_world import GREAT, World


class Listener(PeerListener):
    """Records what it hears, with its name."""

    def __init__(self, name: str, heard: list[str]) -> None:
        self.name = name
        self.heard = heard

    def link_replaced(self, before: Peer, peer: Peer) -> None:
        self.heard.append(f"{self.name} replaced")

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        self.heard.append(f"{self.name} established")

    def peer_reset(self, peer: Peer, reason: LinkClosed) -> None:
        self.heard.append(f"{self.name} reset")

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        self.heard.append(f"{self.name} lost")


class PeerListenerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.heard: list[str] = []
        self.end = self.world.ends[0]
        self.first, self.second = Listener("first", self.heard), Listener("second", self.heard)
        self.end.links.attach(self.end, (self.first, self.end, self.second))

    def dial(self, path_kind: PathKind) -> None:
        self.world.dial(0, path_kind)
        self.world.settle()

    def test_listeners_hear_of_gain_and_loss_in_the_same_order(self) -> None:
        self.dial(PathKind.TUNNEL)
        self.assertEqual(self.heard, ["first established", "second established"])
        self.heard.clear()
        self.end.links.drop(GREAT.name, CloseReason.NO_LONGER_NEEDED)
        self.assertEqual(self.heard, ["first lost", "second lost"])

    def test_all_hear_of_a_replaced_link_before_the_first_hears_of_the_new_one(self) -> None:
        self.dial(PathKind.TUNNEL)
        self.heard.clear()
        self.dial(PathKind.DIRECT)
        self.assertEqual(
            self.heard, ["first replaced", "second replaced", "first established", "second established"]
        )

    def test_all_hear_of_a_reset(self) -> None:
        """The old link breaks before its last frame has come."""
        self.dial(PathKind.TUNNEL)
        old = self.world.wires[0]
        old.reading = old.other.reading = False
        self.dial(PathKind.DIRECT)
        self.heard.clear()
        self.world.cut(old, 10)
        old.reading = old.other.reading = True
        self.world.settle()
        self.assertEqual(self.heard, ["first reset", "second reset"])

    def test_those_after_a_listener_that_closes_the_link_hear_only_of_its_loss(self) -> None:
        """As where the routing table has no room for the peer."""

        def close(peer: Peer, before: Peer | None) -> None:
            self.heard.append("first closes")
            self.end.links.close(peer.link, CloseReason.NOT_WANTED)

        self.first.peer_established = close  # type: ignore[method-assign]
        self.dial(PathKind.TUNNEL)
        self.assertEqual(self.heard, ["first closes", "first lost", "second lost"])
        self.assertEqual(self.end.links.peers, ())


class CoreTests(SynchronousTestCase):
    def test_each_part_of_a_node_that_follows_peers_hears_of_them(self) -> None:
        """A part that is left out keeps what it has of a lost peer: a lookup would wait for its answer."""
        network = SimulatedNetwork(seed=1)
        core = network.node().core
        assert core is not None
        follow = {each for each in vars(core).values() if isinstance(each, PeerListener)}
        self.assertIn(core.lookup, follow)
        self.assertEqual(follow - set(core.links._listeners), set())
        network.stop()
