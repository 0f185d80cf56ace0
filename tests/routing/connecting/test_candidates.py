"""The addresses in requests and responses: those that we give, and those of a peer that we dial."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.interfaces import ICrust, ILink
from routing_crust.endpoints import Connection, Contact, Endpoint, PathKind, Protocol
from routing_crust.history import History
from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.routing.connecting import candidates
from routing_crust.routing.connecting.candidates import CandidateExchange
from routing_crust.routing.links.handshake import PeerFacts
from routing_crust.routing.links.peer import Peer
from routing_crust.routing.node import Node
from routing_crust.wire.codec import from_wire, to_wire
from routing_crust.wire.messages import LinkUse

OWN = Identity.from_seed(bytes([1]) * 32)
PEER = Identity.from_seed(bytes([2]) * 32).name
HERE = Endpoint("8.8.4.4", 5483)
PUBLIC = Endpoint("8.8.8.8", 5483)
LOOPBACK = Endpoint("127.0.0.1", 5483)
PRIVATE = Endpoint("10.1.2.3", 5483)


class FakeCrust:
    """As much of crust as tells our addresses."""

    def __init__(self, clock: Clock) -> None:
        self.history = History(clock.seconds)
        self.endpoints = (HERE,)
        self.candidates: tuple[Endpoint, ...] = (HERE,)
        self.on_link_networks: tuple[str, ...] = ()
        self.own_hosts = frozenset[str]()
        self.outside: tuple[Endpoint, ...] = (HERE,)
        self.inner_networks: tuple[str, ...] = ()
        self.known: set[tuple[Endpoint, Name]] = set()
        self.configured: tuple[Contact, ...] = ()

    def is_known(self, endpoint: Endpoint, peer: Name) -> bool:
        return (endpoint, peer) in self.known

    def configured_contacts(self) -> tuple[Contact, ...]:
        return self.configured


class FakeLinks:
    """The registry of links, as far as it knows where peers are."""

    def __init__(self) -> None:
        self.peers: dict[Name, Peer] = {}
        self.dialled: dict[Name, Endpoint] = {}

    def peer(self, name: Name) -> Peer | None:
        return self.peers.get(name)

    def dialled_at(self, name: Name) -> Endpoint | None:
        return self.dialled.get(name)


class CandidatesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.crust = FakeCrust(self.clock)
        self.patch(candidates, "MAX_CANDIDATES", 3)
        self.patch(candidates, "MAX_ANSWERED_PER_PREFIX_PER_MINUTE", 2)
        self.links = FakeLinks()
        self.candidates = self.exchange()

    def exchange(self, *contacts: Contact) -> CandidateExchange:
        self.crust.configured = contacts
        crust = cast(ICrust, self.crust)
        node = Node(Settings(), OWN, self.clock, Random(1), crust, 1, self.clock.seconds)
        return CandidateExchange(node, self.links)

    def link(self, at: str, path_kind: PathKind = PathKind.DIRECT) -> None:
        """The peer has a link with us."""
        protocol = Protocol.TUNNEL if path_kind is PathKind.TUNNEL else Protocol.TCP
        connection = Connection(protocol, Endpoint(at, 5483), HERE)
        link = SimpleNamespace(connection=connection, path_kind=path_kind)
        facts = PeerFacts(False, 1, b"", (), None)
        self.links.peers[PEER] = Peer(PEER, cast(ILink, link), LinkUse.ATTACHED, False, facts, 0.0)

    def dialled(self, *given: Endpoint) -> tuple[Endpoint, ...]:
        return self.candidates.dialable(PEER, tuple(map(to_wire, given)), "its answer")

    def test_ports_below_1024_of_a_stranger_are_not_dialled(self) -> None:
        ports = [Endpoint("8.8.8.8", each) for each in (25, 80, 443, 1023)]
        self.assertEqual([self.dialled(each) for each in ports], [()] * 4)

    def test_contact_is_dialled_on_whatever_port_it_is(self) -> None:
        """Its operator's word, or its own certificate, has shown that it is there."""
        for known in (Endpoint("8.8.8.8", 443), Endpoint("10.1.2.3", 22), Endpoint("127.0.0.1", 853)):
            self.assertEqual(self.dialled(known), ())
            self.crust.known.add((known, PEER))
            self.assertEqual(self.dialled(known), (known,))

    def test_own_address_is_not_dialled_for_any_peer(self) -> None:
        self.crust.known.add((HERE, PEER))
        self.assertEqual(self.dialled(HERE), ())

    def test_peer_with_a_link_may_name_the_ports_of_the_web(self) -> None:
        """It could still mean the mail server of a third party."""
        self.link("9.9.9.9", PathKind.TUNNEL)
        web, mail = Endpoint("8.8.8.8", 443), Endpoint("8.8.8.8", 25)
        self.assertEqual(self.dialled(web, mail), (web,))
        # the address of a tunnel is that of its relay
        self.assertEqual(self.dialled(Endpoint("9.9.9.9", 853)), ())

    def test_peer_with_a_link_may_name_any_port_of_its_own_address(self) -> None:
        self.link("8.8.8.8")
        own, other = Endpoint("8.8.8.8", 853), Endpoint("8.8.8.9", 853)
        self.assertEqual(self.dialled(own, other), (own,))

    def test_known_peer_is_dialled_where_it_is_known_as_well(self) -> None:
        """A firewall may let us out to that port alone, while the peer names the one that it listens on."""
        forwarded, configured = Endpoint("8.8.8.8", 443), Endpoint("8.8.8.8", 80)
        self.links.dialled[PEER] = forwarded
        self.candidates = self.exchange(Contact(configured, PEER))
        self.assertEqual(self.dialled(PUBLIC), (PUBLIC, forwarded, configured))
        self.assertEqual(self.dialled(forwarded, PUBLIC), (PUBLIC, forwarded, configured))

    def test_inner_address_is_dialled_between_peers_that_share_the_outer_one(self) -> None:
        """Behind the NAT of a carrier, which does not let them reach each other by that."""
        inner, shared = Endpoint("100.64.7.3", 5483), Endpoint(HERE.host, 40000)
        self.assertEqual(self.dialled(shared, inner), (shared,))
        self.crust.inner_networks = ("100.64.0.0/10",)
        self.assertEqual(self.dialled(shared, inner, PRIVATE), (shared, inner))
        self.assertEqual(self.dialled(PUBLIC, inner), (PUBLIC,))

    def test_known_address_counts_as_no_answered_one(self) -> None:
        near = tuple(Endpoint("8.8.8.8", 5000 + each) for each in range(5))
        self.crust.known.update((each, PEER) for each in near)
        self.assertEqual(self.candidates.affordable(PEER, near), near)

    def outcomes(self) -> list[str]:
        return [each.where for each in self.crust.history.of(PEER).outcomes if "not dialled" in each.text]

    def test_we_give_the_best_addresses_that_crust_knows(self) -> None:
        """No more than C{MAX_CANDIDATES}, as they are at that moment."""
        self.assertEqual([from_wire(each) for each in self.candidates.ours()], [HERE])
        many = tuple(Endpoint("8.8.4.4", 5000 + each) for each in range(5))
        self.crust.candidates = many
        self.assertEqual(tuple(from_wire(each) for each in self.candidates.ours()), many[:3])

    def test_address_that_a_stranger_may_not_name_is_not_dialled(self) -> None:
        """The history shows all that the peer has named, and which of it was refused."""
        given = tuple(map(to_wire, (LOOPBACK, PUBLIC, HERE)))
        self.assertEqual(self.candidates.dialable(PEER, given, "its request"), (PUBLIC,))
        told = [each.endpoint for each in self.crust.history.of(PEER).told]
        self.assertEqual(told, [LOOPBACK, PUBLIC, HERE])
        self.assertEqual(self.outcomes(), [str(LOOPBACK), str(HERE)])

    def test_no_more_than_max_candidates_of_a_peer_are_dialled(self) -> None:
        """The rest is not looked at."""
        given = tuple(to_wire(Endpoint("9.9.9.9", 5000 + each)) for each in range(5))
        self.assertEqual(len(self.candidates.dialable(PEER, given, "its request")), 3)
        self.assertEqual(len(self.crust.history.of(PEER).told), 3)

    def test_answers_cannot_have_a_prefix_dialled_too_often(self) -> None:
        """Another prefix, and the same one a minute later, may be dialled."""
        near = tuple(Endpoint(f"8.8.8.{each}", 5483) for each in range(1, 4))
        other = Endpoint("9.9.9.9", 5483)
        self.assertEqual(self.candidates.affordable(PEER, (*near, other)), (*near[:2], other))
        self.assertEqual(self.outcomes(), [str(near[2])])
        self.clock.advance(59)
        self.assertEqual(self.candidates.affordable(PEER, near[:1]), ())
        self.clock.advance(1)
        self.assertEqual(self.candidates.affordable(PEER, near[:1]), near[:1])

    def test_peer_with_a_tunnel_is_dialled_as_if_it_had_answered(self) -> None:
        """Its requests and answers count together, and one party gets no more than it leaves to others."""
        self.patch(candidates, "MAX_BY_TUNNEL_PER_MINUTE", 6)
        self.candidates = self.exchange()
        near = tuple(Endpoint("8.8.8.8", 5000 + each) for each in range(3))
        self.assertEqual(self.candidates.as_answered(PEER, near, ("one",)), near[:2])
        self.assertEqual(self.candidates.affordable(PEER, near), ())
        far = tuple(Endpoint(f"8.8.{each}.1", 5483) for each in range(9, 13))
        self.assertEqual(self.candidates.as_answered(PEER, far, ("one",)), ())
        self.assertEqual(self.candidates.as_answered(PEER, far, ("other",)), far[:2])
        self.clock.advance(60)
        self.assertEqual(self.candidates.as_answered(PEER, near[:1], ("one",)), near[:1])

    def test_local_addresses_of_answers_are_not_limited(self) -> None:
        """They cannot belong to a victim on the internet."""
        for _ in range(5):
            self.assertEqual(self.candidates.affordable(PEER, (PRIVATE, LOOPBACK)), (PRIVATE, LOOPBACK))
