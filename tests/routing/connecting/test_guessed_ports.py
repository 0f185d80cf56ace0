"""A symmetric NAT and a port-restricted one, in a whole network: a tunnel is replaced by guessing ports."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import RoutingService
from routing_crust.endpoints import PathKind
from routing_crust.routing.events import LinkChanged, LinkLost
from routing_crust.testing import PORT_RESTRICTED, SYMMETRIC, SimulatedNetwork


class GuessedPortsTests(SynchronousTestCase):
    def kinds(self, seed: int, port_guessing: bool) -> list[PathKind]:
        """The path kinds of the link that both have asked for, in a minute, one after the other."""
        network = SimulatedNetwork(seed=seed, internet=True)
        self.addCleanup(network.stop)
        network.nodes(3)
        one = network.node(nat=SYMMETRIC, port_guessing=port_guessing)
        two = network.node(nat=PORT_RESTRICTED)
        network.run_until(network.joined, 120)
        kinds: list[PathKind] = []
        lost: list[LinkLost] = []
        asked = [one.service.connect(two.name), two.service.connect(one.name)]
        kinds.append(network.result_of(asked[0]).path_kind)
        network.result_of(asked[1])
        self.watch(one.service, kinds, lost)
        network.run_for(60)
        self.assertEqual([each for each in lost if each.link.name == two.name], [])
        return kinds

    def watch(self, service: RoutingService, kinds: list[PathKind], lost: list[LinkLost]) -> None:
        service.observe(LinkChanged, lambda event: kinds.append(event.new.path_kind))
        service.observe(LinkLost, lost.append)

    def test_tunnel_that_both_ends_use_is_replaced_and_stays_until_then(self) -> None:
        """With the first seed the next request for a better link comes while ports are guessed."""
        for seed in (1, 2):
            kinds = self.kinds(seed, port_guessing=True)
            self.assertEqual((kinds[0], kinds[-1]), (PathKind.TUNNEL, PathKind.PUNCHED))

    def test_tunnel_stays_where_one_end_does_not_agree(self) -> None:
        self.assertEqual(self.kinds(2, port_guessing=False)[-1], PathKind.TUNNEL)
