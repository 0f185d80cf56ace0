"""What we know of how we look from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.netstate.external_addresses import (
    ENOUGH_DENIALS,
    FILTER_OPEN_SECONDS,
    MAX_DIALLED_HOSTS,
    PROOF_SECONDS,
    AddressesOfCrust,
    ExternalAddresses,
)
from routing_crust.crust.netstate.observations import OBSERVATION_LIFETIME_SECONDS
from routing_crust.crust.reachability import Dialable, EndpointSource, OwnEndpoint, Reachability
from routing_crust.endpoints import Connection, Direction, Endpoint, PathKind, PrivateDialling, Protocol
from routing_crust.errors import CloseReason
from routing_crust.names import Name
from routing_crust.wire.messages import NatKind

from ..addresses import HOST, at, host_address, name

BEHIND = (host_address("lo", 1, "127.0.0.1/8"), host_address("eth0", 2, "192.168.1.5/24"))
WILDCARD = (at("0.0.0.0:5483"),)
PRIVATE = at("192.168.1.5:5483")
SEEN = at("5.5.5.5:5483")
ONE, TWO, THREE = at("9.0.1.1:5483"), at("9.0.2.1:5483"), at("9.0.3.1:5483")


@dataclass(eq=False)
class FakeLink:
    """What is asked of a link."""

    peer: Name
    connection: Connection
    direction: Direction = Direction.CONNECTED
    path_kind: PathKind = PathKind.DIRECT


class OutsideTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.told: list[Any] = []
        self.here = self.outside()
        self.here.host(WILDCARD, BEHIND)
        self.told.clear()

    def outside(self, **settings: Any) -> ExternalAddresses:
        return ExternalAddresses(Settings(**settings), self.clock.seconds, self.told.append, self.told.append)

    def link(self, peer: Endpoint, seed: int = 1, port: int = 5483, **rest: Any) -> Any:
        local = Endpoint("::1" if peer.is_v6 else "192.168.1.5", port)
        return FakeLink(name(seed), Connection(Protocol.TCP, peer, local), **rest)

    def seen(self, *observers: Endpoint, seen: Endpoint = SEEN, **rest: Any) -> list[Any]:
        """Peers whom we have dialled see us. @return: the links to them."""
        links = [self.link(each, 1 + number, **rest) for number, each in enumerate(observers)]
        for link in links:
            self.here.dialled(link.connection.peer)
            self.here.link_up(link)
            self.here.observed(link, seen)
        return links

    def accept(self, peer: Endpoint, **rest: Any) -> Any:
        link = self.link(peer, direction=Direction.ACCEPTED, **rest)
        self.here.link_up(link)
        return link

    def state(self) -> tuple[NatKind, Dialable]:
        return self.here.reachability.nat, self.here.reachability.dialable

    # Candidates.

    def test_own_addresses_are_known_from_the_start(self) -> None:
        """What has not changed is not reported again."""
        here = self.outside()
        here.host([at("0.0.0.0:1"), at("[::]:1")], HOST)
        expected = (at("8.8.8.8:1"), at("[2606:4700::5]:1"), at("192.168.1.5:1"))
        self.assertEqual(self.told, [expected])
        self.assertEqual(here.candidates.endpoints, expected)
        self.assertEqual(here.outside, expected[:2])
        self.assertEqual(here.on_link, ("192.168.1.0/24", "2606:4700::/64", "8.8.8.8/29"))
        here.host([at("0.0.0.0:1"), at("[::]:1")], HOST)
        self.assertEqual(self.told, [expected])

    def test_endpoint_seen_by_one_network_goes_into_requests(self) -> None:
        """One seen by two networks is named to everybody."""
        self.seen(ONE)
        self.assertEqual(self.told, [])
        self.assertEqual(self.here.candidates.asked, (PRIVATE, SEEN))
        self.assertEqual(self.here.outside, (SEEN,))
        self.seen(ONE, TWO)
        self.assertEqual(self.told[0], (SEEN, PRIVATE))
        self.assertEqual(self.here.candidates.known[0], OwnEndpoint(SEEN, EndpointSource.OBSERVED))

    def test_observations_that_do_not_count(self) -> None:
        """
        Peers in our own networks cannot tell, nor do links from another port or through others; and
        addresses that mean nothing outside are no answer.
        """
        self.seen(at("192.168.1.7:1"), at("192.168.1.8:1"))
        self.seen(at("127.0.0.1:1"), at("10.0.0.1:1"))
        self.seen(ONE, TWO, port=40000)
        self.seen(ONE, TWO, path_kind=PathKind.TUNNEL)
        self.seen(ONE, TWO, seen=at("10.9.9.9:5483"))
        self.seen(ONE, TWO, seen=at("127.0.0.1:5483"))
        self.seen(ONE, TWO, seen=at("[2606:4700::7]:5483"))
        self.assertEqual(self.here.candidates.asked, (PRIVATE,))
        self.assertEqual(self.told, [])

    def test_private_addresses_count_where_they_are_dialled(self) -> None:
        """Where private addresses are dialled anyway they count, but for those of our own networks."""
        self.here = self.outside(private_dialling=PrivateDialling.ALWAYS)
        self.here.host(WILDCARD, BEHIND)
        self.seen(at("192.168.1.7:1"), at("10.0.2.1:1"), seen=at("10.9.9.9:1"))
        self.assertEqual(self.here.candidates.asked, (PRIVATE, at("10.9.9.9:1")))
        self.assertEqual(self.here.outside, (PRIVATE, at("10.9.9.9:1")))

    def test_configured_and_mapped_endpoints_come_first(self) -> None:
        """Both come first; what is not mapped any more goes."""
        self.here = self.outside(external=(at("5.0.0.1:1024"),))
        self.here.host(WILDCARD, BEHIND)
        self.here.mapped(at("5.0.0.2:1025"), 5483)
        self.assertEqual(self.here.candidates.endpoints, (at("5.0.0.1:1024"), at("5.0.0.2:1025"), PRIVATE))
        self.here.unmapped(at("5.0.0.2:1025"))
        self.here.unmapped(at("5.0.0.2:1025"))
        self.assertEqual(self.here.candidates.endpoints, (at("5.0.0.1:1024"), PRIVATE))
        self.assertEqual(len(self.told), 3)

    def test_mapping_of_a_router_behind_another_is_named_after_what_is_outside(self) -> None:
        """And it says which network the other one's hosts are in."""
        inner = at("100.64.1.10:5483")
        self.here.mapped(inner, 5483)
        self.seen(ONE, TWO)
        self.assertEqual(
            self.here.candidates.known,
            (
                OwnEndpoint(SEEN, EndpointSource.OBSERVED),
                OwnEndpoint(inner, EndpointSource.INNER),
                OwnEndpoint(PRIVATE, EndpointSource.PRIVATE),
            ),
        )
        self.assertEqual(self.here.outside, (SEEN,))
        self.assertEqual(self.here.inner_networks, ("100.64.0.0/10",))
        self.here.unmapped(inner)
        self.assertEqual(self.here.inner_networks, ())
        self.here.mapped(at("10.20.1.10:5483"), 5483)
        self.assertEqual(self.here.inner_networks, ("10.20.0.0/16",))

    def test_expired_observation_is_noticed_with_the_next_event(self) -> None:
        links = self.seen(ONE, TWO)
        self.here.link_lost(links[0])
        self.clock.advance(OBSERVATION_LIFETIME_SECONDS)
        self.told.clear()
        self.here.link_lost(links[1])
        self.assertEqual(self.told[0], (PRIVATE,))
        self.assertEqual(self.here.candidates.asked, (PRIVATE, SEEN))

    def test_silent_links_put_our_ports_in_doubt(self) -> None:
        """Once links fall silent, others are asked where they see us, and believed against those before."""
        links = self.seen(ONE, TWO, at("4.0.0.1:5483"))
        for each in links[:2]:
            self.here.link_lost(each, CloseReason.NO_LONGER_NEEDED)
        self.assertEqual(self.here.candidates.endpoints, (SEEN, PRIVATE))
        self.assertFalse(self.here.may_observe(at("4.0.1.1:5483")))
        self.told.clear()
        self.here.link_lost(links[2], CloseReason.INACTIVE)
        self.assertEqual(self.told[0], (PRIVATE,))
        self.assertEqual(self.here.candidates.asked, (PRIVATE, SEEN), "it is still worth a try")
        self.assertIs(self.here.reachability.nat, NatKind.CONE, "the kind is what it was")
        self.assertTrue(self.here.may_observe(at("4.0.1.1:5483")))
        now = at("5.0.0.9:20001")
        self.seen(at("4.0.1.1:5483"), at("4.0.2.1:5483"), seen=now)
        self.assertEqual(self.here.candidates.asked, (now, PRIVATE))

    def test_another_network_puts_what_closed_links_showed_in_doubt(self) -> None:
        """
        When the network of the host changes, what was seen on links that are gone has to be seen again,
        although no link has broken; what is seen on a link that lives stays.
        """
        (gone,) = self.seen(ONE)
        self.here.link_lost(gone, CloseReason.NO_LONGER_NEEDED)
        self.assertFalse(self.here.may_observe(ONE))
        self.here.network_changed()
        self.assertTrue(self.here.may_observe(ONE))
        self.assertEqual(self.here.candidates.asked, (PRIVATE, SEEN), "it is still worth a try")
        now = at("5.0.0.9:20001")
        self.seen(ONE, seen=now)
        self.here.network_changed()
        self.assertFalse(self.here.may_observe(ONE))
        self.assertEqual(self.here.candidates.asked, (PRIVATE, now))

    def test_another_network_changes_nothing_without_a_translation(self) -> None:
        own = at("5.0.0.1:5483")
        self.here.host([own], [host_address("eth0", 2, "5.0.0.1/24")])
        (gone,) = self.seen(ONE, seen=own)
        self.here.link_lost(gone, CloseReason.NO_LONGER_NEEDED)
        self.here.network_changed()
        self.assertFalse(self.here.may_observe(ONE))

    def test_nothing_is_in_doubt_while_links_to_two_networks_live(self) -> None:
        """Nothing is in doubt while links to two networks live, or where there is no translation."""
        links = self.seen(ONE, TWO, at("4.0.0.1:5483"))
        self.here.link_lost(links[0], CloseReason.INACTIVE)
        self.assertEqual(self.here.candidates.asked, (SEEN, PRIVATE))
        self.here.reset()
        own = at("5.0.0.1:5483")
        self.here.host([own], [host_address("eth0", 2, "5.0.0.1/24")])
        for link in [self.link(each, 1 + number) for number, each in enumerate((ONE, TWO))]:
            self.here.link_up(link)
            self.here.observed(link, own)
            self.here.link_lost(link, CloseReason.INACTIVE)
        self.assertFalse(self.here.may_observe(at("4.0.1.1:5483")))

    def test_new_own_address_forgets_what_was_seen(self) -> None:
        """When our own address changes, what was seen of the old one is forgotten."""
        self.seen(ONE, TWO)
        self.here.host(WILDCARD, [host_address("eth0", 2, "10.0.0.5/24")])
        self.assertEqual(self.here.candidates.asked, (at("10.0.0.5:5483"),))
        self.assertIs(self.here.reachability.nat, NatKind.UNKNOWN)

    def test_client_that_listens_nowhere_is_not_observed(self) -> None:
        self.here = self.outside()
        self.here.host((), BEHIND)
        self.seen(ONE, TWO)
        self.assertEqual(self.here.candidates.asked, ())
        self.assertFalse(self.here.may_observe(ONE))
        self.assertEqual(self.told, [])

    def test_observations_are_wanted_until_three_networks_have_one(self) -> None:
        """They are wanted only from outside. By chance two may see the same one of a NAT's addresses."""
        self.assertTrue(self.here.may_observe(ONE))
        self.assertFalse(self.here.may_observe(at("192.168.1.9:1")))
        self.assertFalse(self.here.may_observe(at("127.0.0.1:1")))
        self.seen(ONE)
        self.assertFalse(self.here.may_observe(at("9.0.1.77:1")))
        self.assertTrue(self.here.may_observe(TWO))
        self.seen(TWO)
        self.assertTrue(self.here.may_observe(THREE))
        self.seen(THREE)
        self.assertFalse(self.here.may_observe(at("9.0.4.1:5483")))

    # The kind of the NAT.

    def test_two_networks_that_agree_make_a_cone(self) -> None:
        self.seen(ONE, TWO)
        self.assertEqual(self.state(), (NatKind.CONE, Dialable.UNKNOWN))
        self.assertEqual(self.told[-1], Reachability(NatKind.CONE, Dialable.UNKNOWN, 1000))

    def test_symmetric_nat_still_names_its_address(self) -> None:
        """The address goes into requests all the same: the peer's filter has to be opened for it."""
        self.seen(ONE)
        self.seen(TWO, seen=at("5.5.5.5:40000"))
        self.assertEqual(self.state(), (NatKind.SYMMETRIC, Dialable.UNKNOWN))
        self.assertEqual(self.here.candidates.asked, (PRIVATE, SEEN, at("5.5.5.5:40000")))
        self.assertEqual(self.here.candidates.endpoints, (PRIVATE,))

    def test_peers_that_dialled_us_do_not_tell_the_kind_of_nat(self) -> None:
        for each in (ONE, TWO):
            self.here.dialled(each)
            self.here.observed(self.accept(each), SEEN)
        self.assertEqual(self.here.candidates.endpoints, (SEEN, PRIVATE))
        self.assertEqual(self.state(), (NatKind.UNKNOWN, Dialable.UNKNOWN))

    def test_family_with_the_easier_nat_counts(self) -> None:
        """Behind a symmetric NAT with IPv4, but without any with IPv6, the latter is used."""
        addresses = [*BEHIND, host_address("eth0", 2, "2606:4700::5/64")]
        self.here.host([*WILDCARD, at("[::]:5483")], addresses)
        self.seen(ONE)
        self.seen(TWO, seen=at("5.5.5.5:40000"))
        self.assertIs(self.here.reachability.nat, NatKind.SYMMETRIC)
        link = self.link(at("[2606:4701::1]:5483"), 4)
        link.connection = Connection(Protocol.TCP, link.connection.peer, at("[2606:4700::5]:5483"))
        self.here.observed(link, at("[2606:4700::5]:5483"))
        self.assertIs(self.here.reachability.nat, NatKind.CONE)

    # Whether we are dialable.

    def test_unprompted_connection_proves_that_we_are_dialable(self) -> None:
        """No filter was opened for it, so the NAT counts as open."""
        self.clock.advance(5)
        self.accept(ONE)
        self.assertEqual(self.told, [Reachability(NatKind.OPEN, Dialable.YES, 1005)])
        self.clock.advance(5)
        self.accept(TWO)
        self.assertEqual(self.here.reachability.since, 1005)
        self.assertEqual(len(self.told), 1)

    def test_neighbours_and_dialled_hosts_prove_nothing(self) -> None:
        """Neighbours, those whom we have dialled recently, those who have punched, and ourselves."""
        self.seen(ONE, TWO)
        self.accept(at("192.168.1.7:40000"))
        self.accept(at("127.0.0.1:40000"))
        self.accept(at("9.0.1.1:40000"))
        self.accept(at("9.0.9.1:40000"), path_kind=PathKind.PUNCHED)
        self.accept(at("9.0.9.1:40000"), path_kind=PathKind.TUNNEL)
        self.accept(at("5.5.5.5:40000"))
        self.assertIs(self.here.reachability.dialable, Dialable.UNKNOWN)

    def test_dialled_host_proves_nothing_for_a_while(self) -> None:
        """What a dial has opened may be open for a while, and as long as there is a link."""
        (link,) = self.seen(ONE)
        self.clock.advance(10 * FILTER_OPEN_SECONDS)
        self.accept(ONE)
        self.assertIs(self.here.reachability.dialable, Dialable.UNKNOWN)
        self.here.link_lost(link)
        self.clock.advance(FILTER_OPEN_SECONDS)
        self.accept(ONE)
        self.assertIs(self.here.reachability.dialable, Dialable.UNKNOWN)
        self.clock.advance(1)
        self.accept(ONE)
        self.assertIs(self.here.reachability.dialable, Dialable.YES)

    def test_oldest_dials_beyond_the_bound_are_forgotten(self) -> None:
        self.here.dialled(ONE)
        for number in range(MAX_DIALLED_HOSTS):
            self.here.dialled(Endpoint(f"10.{number >> 8}.{number & 255}.1", 1))
        self.assertEqual(len(self.here._dialled), MAX_DIALLED_HOSTS)
        self.accept(ONE)
        self.assertIs(self.here.reachability.dialable, Dialable.YES)

    def test_connection_that_came_before_our_dial_is_proof(self) -> None:
        """A peer dials us as it answers, and we dial it while its TLS handshake is under way."""
        self.here.accepting(ONE)
        self.here.dialled(ONE)
        self.accept(ONE)
        self.assertEqual(self.state(), (NatKind.OPEN, Dialable.YES))

    def test_connection_that_came_after_our_dial_is_none(self) -> None:
        self.here.dialled(ONE)
        self.here.accepting(ONE)
        self.accept(ONE)
        self.assertIs(self.here.reachability.dialable, Dialable.UNKNOWN)

    def accept_at(self, local: str, peer: Endpoint) -> None:
        connection = Connection(Protocol.TCP, peer, at(local))
        self.here.link_up(FakeLink(name(1), connection, Direction.ACCEPTED))

    def test_new_port_of_a_dialled_host_is_proof_without_a_translation(self) -> None:
        """Of a mesh of public nodes, each has dialled all others. The very port that was dialled is none."""
        own = "5.0.0.1:5483"
        self.here.host([at(own)], [host_address("eth0", 2, "5.0.0.1/24")])
        self.seen(ONE, seen=at(own))
        self.accept_at(own, ONE)
        self.accept_at(own, at("5.0.0.7:40000"))
        self.accept_at(own, at("5.0.0.1:40000"))
        self.assertIs(self.here.reachability.dialable, Dialable.UNKNOWN)
        self.accept_at(own, Endpoint(ONE.host, 40000))
        self.assertEqual(self.state(), (NatKind.OPEN, Dialable.YES))

    def test_new_port_of_a_dialled_host_is_no_proof_behind_a_nat(self) -> None:
        """It filters by address, perhaps; and what a stranger could not do outweighs it."""
        self.seen(ONE)
        self.accept_at("192.168.1.5:5483", Endpoint(ONE.host, 40000))
        self.assertIs(self.here.reachability.dialable, Dialable.UNKNOWN)
        self.here.host([at("5.0.0.1:5483")], [host_address("eth0", 2, "5.0.0.1/24")])
        self.here.not_reached(name(2))
        self.accept_at("5.0.0.1:5483", Endpoint(ONE.host, 40000))
        self.assertIs(self.here.reachability.dialable, Dialable.NO)

    def test_denial_is_believed_until_disproved(self) -> None:
        """One is believed as long as nothing is known, and until somebody proves the contrary."""
        self.here.not_reached(name(1))
        self.assertEqual(self.told, [Reachability(NatKind.UNKNOWN, Dialable.NO, 1000)])
        self.accept(ONE)
        self.assertEqual(self.state(), (NatKind.OPEN, Dialable.YES))

    def test_proof_outweighs_a_single_denial(self) -> None:
        """What was proven takes several others to be doubted, and not at once."""
        self.accept(ONE)
        for number in range(5):
            self.here.not_reached(name(number + 1))
        self.clock.advance(PROOF_SECONDS + 1)
        for _ in range(5):
            self.here.not_reached(name(1))
        self.assertEqual(self.state(), (NatKind.OPEN, Dialable.YES))
        self.accept(TWO)
        self.clock.advance(PROOF_SECONDS + 1)
        for number in range(ENOUGH_DENIALS):
            self.assertEqual(self.state(), (NatKind.OPEN, Dialable.YES))
            self.here.not_reached(name(number + 1))
        self.assertEqual(self.state(), (NatKind.UNKNOWN, Dialable.NO))

    def test_reachability_of_an_old_address_is_forgotten(self) -> None:
        """What was found out about an address that we had says nothing about the next one."""
        self.seen(ONE, TWO)
        self.accept(THREE)
        self.seen(ONE, TWO, seen=at("6.6.6.6:5483"))
        self.assertEqual(self.here.candidates.endpoints, (at("6.6.6.6:5483"), PRIVATE))
        self.assertEqual(self.state(), (NatKind.CONE, Dialable.UNKNOWN))

    def test_reset_forgets_everything(self) -> None:
        """The loss of the last links is then not reported."""
        links = self.seen(ONE, TWO)
        self.accept(THREE)
        self.here.reset()
        self.told.clear()
        for each in links:
            self.here.link_lost(each)
        self.assertEqual(self.state(), (NatKind.UNKNOWN, Dialable.UNKNOWN))
        self.assertEqual(self.told, [])

    def test_crust_offers_what_is_known(self) -> None:
        view = AddressesOfCrust()
        view._outside = self.here
        link = self.seen(ONE)[0]
        view.observed(link, SEEN)
        self.assertTrue(view.may_observe(TWO))
        view.not_reached(name(1))
        self.assertEqual(view.endpoints, (PRIVATE,))
        self.assertEqual(view.candidates, (PRIVATE, SEEN))
        self.assertEqual(view.sources, (OwnEndpoint(PRIVATE, EndpointSource.PRIVATE),))
        self.assertEqual(view.outside, (SEEN,))
        self.assertEqual(view.on_link_networks, ("192.168.1.0/24",))
        self.assertIs(view.nat, NatKind.UNKNOWN)
        self.assertIs(view.reachability.dialable, Dialable.NO)
