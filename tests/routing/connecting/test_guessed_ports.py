"""A symmetric NAT and a port-restricted one, in a whole network: a tunnel is replaced by guessing ports."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import RoutingService
from routing_crust.crust.interfaces import ILink
from routing_crust.crust.punch.guessing import MAX_GUESSES
from routing_crust.crust.tunnel import carried, relay
from routing_crust.endpoints import Endpoint, PathKind
from routing_crust.names import Name
from routing_crust.routing.events import LinkChanged, LinkLost
from routing_crust.testing import PORT_RESTRICTED, SYMMETRIC, SimulatedNetwork
from routing_crust.testing.host import SimulatedNode
from routing_crust.wire.messages import LinkUse
from tests.crust.addresses import tunnel_to

VICTIM = Endpoint("9.9.9.9", 5483)
ATTACKERS = 2


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
        # they count apart from other dials, of which there are few
        wire = network.network
        self.assertLess(wire.dials - wire.guesses, 200)
        self.assertEqual(wire.guesses > 100, port_guessing)
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


class VictimOfGuessesTests(SynchronousTestCase):
    """
    Peers with a tunnel that is in use ask for guessed ports every second, as if never before, and name a
    victim's address as their own.
    """

    def guessed(self, relays_lie: bool, port_guessing: bool = True) -> int:
        """How many ports of the victim, beside the named one, the node that they ask dials in 30 s."""
        network = SimulatedNetwork(seed=2, internet=True, keep_trace=True)
        self.addCleanup(network.stop)
        network.nodes(3)
        asked = network.node(nat=PORT_RESTRICTED, port_guessing=port_guessing)
        attackers = [network.node(nat=SYMMETRIC) for _ in range(ATTACKERS)]
        if relays_lie:
            self.have_relays_lie({each.name for each in attackers})
        network.run_until(network.joined, 300, every=1.0)
        for attacker in attackers:
            self.turn(attacker)
            link = network.result_of(asked.service.connect(attacker.name))
            self.assertEqual(link.path_kind, PathKind.TUNNEL)
        for _ in range(30):
            for attacker in attackers:
                assert attacker.core is not None
                attacker.core.connector.improve(asked.name, LinkUse.DIRECT)
            network.run_for(1)
        wanted = ["dial", asked.host, VICTIM.host]
        lines = [line.split()[1:] for line in network.trace.lines]
        return sum(fields[:3] == wanted and fields[3] != str(VICTIM.port) for fields in lines)

    def have_relays_lie(self, names: set[Name]) -> None:
        """They see these peers at the victim's address."""

        honest = carried.seen_at

        def lie(link: ILink) -> bytes:
            return ip_address(VICTIM.host).packed if link.peer in names else honest(link)

        self.patch(relay, "seen_at", lie)
        self.patch(carried, "seen_at", lie)

    def turn(self, node: SimulatedNode) -> None:
        """It dials nobody, has always agreed, and is at the victim's address."""
        outside = node.crust._outside
        outside._settings = replace(outside._settings, external=(VICTIM,))
        outside._look()
        assert node.core is not None
        attempts = node.core.attempts
        self.patch(attempts, "replaceable_tunnel", lambda peer: tunnel_to(peer, VICTIM.host))
        self.patch(attempts.punches, "begin", lambda *what, **more: None)
        self.patch(attempts.punches, "guesses", lambda *what: False)

    def test_one_attempt_is_made_at_a_victim_even_if_the_relays_lie(self) -> None:
        guesses = self.guessed(relays_lie=True)
        self.assertGreater(guesses, 0)  # else the attack did not take place
        self.assertLessEqual(guesses, MAX_GUESSES)

    def test_no_port_is_guessed_where_the_relay_sees_somebody_else(self) -> None:
        self.assertEqual(self.guessed(relays_lie=False), 0)

    def test_no_port_is_guessed_where_the_setting_is_off(self) -> None:
        self.assertEqual(self.guessed(relays_lie=True, port_guessing=False), 0)
