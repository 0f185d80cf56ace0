"""Judging requests for a connection: each reason to refuse one, and their order, without a network."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role, Settings
from routing_crust.crust.interfaces import ICrust, ILink
from routing_crust.endpoints import Connection, Endpoint, PathKind, Protocol
from routing_crust.errors import CloseReason, WireError
from routing_crust.identity import Identity
from routing_crust.limits import EXPECTED_TIMEOUT_SECONDS
from routing_crust.names import Name
from routing_crust.routing.connecting.connect_request_validator import (
    PROBE_WAIT_SECONDS,
    RENEW_SECONDS,
    ConnectRequestValidator,
    IncomingRequest,
)
from routing_crust.routing.envelopes import REQUEST_LABEL, RESPONSE_LABEL
from routing_crust.routing.links.granted import GrantedLinks
from routing_crust.routing.links.handshake import PeerFacts
from routing_crust.routing.links.peer import Peer
from routing_crust.routing.links.registry import LinkRegistry
from routing_crust.routing.membership.routing_table import RoutingTable
from routing_crust.routing.node import Node
from routing_crust.wire.codec import encode, to_wire
from routing_crust.wire.messages import ConnectRequest, Envelope, EnvelopeKind, LinkUse, Signed

OURS = Identity.from_seed(bytes([1]) * 32)
THEIRS = Identity.from_seed(bytes([2]) * 32)
NOW = 1_700_000_000.0
ENDPOINT = Endpoint("8.8.8.8", 5483)
OWN_ENDPOINT = Endpoint("10.0.0.2", 5483)


class FakeLink:
    """A link that counts how often it is probed."""

    def __init__(self, path_kind: PathKind, peer: Endpoint) -> None:
        self.path_kind = path_kind
        self.connection = Connection(Protocol.TCP, peer, OWN_ENDPOINT)
        self.probes = 0
        self.is_doubted = False

    def suspect(self) -> None:
        self.probes += 1


class FakeLinks:
    """
    As much of the registry as the validator asks.

    @ivar known: the peer, if there is a link with it.
    @ivar dropped: the reasons for which its links were closed.
    @ivar room: whether that link may be used for more.
    """

    def __init__(self) -> None:
        self.room = True
        self.known: Peer | None = None
        self.dropped: list[CloseReason] = []

    def has_room(self, name: Name, use: LinkUse) -> bool:
        return self.room

    def link_to(self, name: Name) -> ILink | None:
        known = self.peer(name)
        return None if known is None else known.link

    def peer(self, name: Name) -> Peer | None:
        return self.known if name == THEIRS.name else None

    def drop(self, name: Name, reason: CloseReason, detail: str = "") -> None:
        self.dropped.append(reason)
        self.known = None


class FakeTable:
    """A routing table that wants every node, or none."""

    def __init__(self) -> None:
        self.wanted = True
        self.asked: list[tuple[Name, Endpoint | None]] = []

    def wants(self, name: Name, endpoint: Endpoint | None) -> bool:
        self.asked.append((name, endpoint))
        return self.wanted


class FakeGranted:
    """Direct links of others, for which there is room, or none."""

    def __init__(self) -> None:
        self.room = True

    def has_room(self, name: Name) -> bool:
        return self.room


class FakeVerdicts:
    """
    Writes down what was decided: the nonce of an accepted request, or why one was refused.

    @ivar copies: the nonces of the requests that came again.
    """

    def __init__(self) -> None:
        self.all: list[tuple[Name, bytes | str]] = []
        self.copies: list[bytes] = []

    def accept(self, asked: IncomingRequest) -> None:
        self.all.append(asked.key)

    def refuse(self, peer: Name, problem: str) -> None:
        self.all.append((peer, problem))

    def repeated(self, asked: IncomingRequest) -> None:
        self.copies.append(asked.request.nonce)


class ConnectRequestValidatorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.settings = Settings()
        self.links = FakeLinks()
        self.table = FakeTable()
        self.granted = FakeGranted()
        self.verdicts = FakeVerdicts()
        self.make(Role.NODE)

    def make(self, role: Role) -> None:
        settings = replace(self.settings, role=role)
        node = Node(settings, OURS, self.clock, Random(1), cast(ICrust, None), 1, self.clock.seconds)
        self.validator = ConnectRequestValidator(
            node,
            cast(LinkRegistry, self.links),
            cast(RoutingTable, self.table),
            cast(GrantedLinks, self.granted),
            self.verdicts,
        )

    def request(self, **changes: Any) -> ConnectRequest:
        fields: dict[str, Any] = {
            "recipient": OURS.name.raw,
            "nonce": b"n" * 16,
            "issued": self.clock.seconds(),
            "expiry": self.clock.seconds() + 90,
            "incarnation": 5,
            "use": LinkUse.MEMBER,
            "candidates": (to_wire(ENDPOINT),),
        }
        return ConnectRequest(**(fields | changes))

    def signed(self, request: ConnectRequest, label: str = REQUEST_LABEL) -> Signed:
        body = encode(request)
        return Signed(THEIRS.name.raw, body, THEIRS.sign(label, self.settings.network, body))

    def problem(self, request: ConnectRequest, label: str = REQUEST_LABEL) -> str:
        signed = self.signed(request, label)
        envelope = self.envelope(encode(signed))
        return self.validator.problem_with(IncomingRequest(THEIRS.name, signed, request, envelope, None))

    def receive(self, body: bytes) -> None:
        """Have a control message come that should hold a request."""
        self.validator.request_received(self.envelope(body), THEIRS.name, None)

    def envelope(self, body: bytes) -> Envelope:
        kind, ours, source = EnvelopeKind.CONNECT_REQUEST, OURS.name.raw, THEIRS.name.raw
        return Envelope(1, 20, ours, False, b"", b"", kind, source, body, b"")

    def link_with_peer(
        self,
        use: LinkUse = LinkUse.MEMBER,
        path_kind: PathKind = PathKind.DIRECT,
        incarnation: int = 5,
        at: Endpoint = ENDPOINT,
    ) -> FakeLink:
        link = FakeLink(path_kind, at)
        facts = PeerFacts(False, incarnation, b"", (), None)
        self.links.known = Peer(THEIRS.name, cast(ILink, link), use, True, facts, NOW)
        return link

    def test_good_request_is_accepted_once(self) -> None:
        """A copy that arrives by another route is not judged again, and is not reported as refused."""
        request = self.request()
        for _ in range(2):
            self.receive(encode(self.signed(request)))
        self.assertEqual(self.verdicts.all, [(THEIRS.name, request.nonce)])
        self.assertEqual(self.verdicts.copies, [request.nonce])
        self.assertEqual(self.table.asked, [(THEIRS.name, ENDPOINT)])
        self.assertEqual(self.problem(request), "it came before")

    def test_refusal_is_told_with_its_reason(self) -> None:
        """The refusal names the peer whose key the request has."""
        self.receive(encode(self.signed(self.request(), RESPONSE_LABEL)))
        self.assertEqual(self.verdicts.all, [(THEIRS.name, "its signature does not hold")])

    def test_message_that_is_no_request_is_an_error(self) -> None:
        """Nothing is decided about it, and nothing remembered."""
        for body in (b"", b"garbage", encode(Signed(THEIRS.name.raw, b"garbage", bytes(64)))):
            self.assertRaises(WireError, self.receive, body)
        self.assertEqual(self.verdicts.all, [])

    def test_request_is_remembered_for_as_long_as_it_is_valid(self) -> None:
        """When it is forgotten it has expired, so it is never accepted twice."""
        request = self.request(expiry=1e12)
        self.assertEqual(self.problem(request), "")
        for _ in range(100):
            self.clock.advance((EXPECTED_TIMEOUT_SECONDS + 3 * self.settings.clock_skew) / 100)
            self.assertNotEqual(self.problem(request), "")
        self.assertIn("expired", self.problem(request))

    def test_forgery_does_not_keep_the_real_request_out(self) -> None:
        """A bad signature is found before the nonce is remembered."""
        request = self.request()
        self.assertEqual(self.problem(request, RESPONSE_LABEL), "its signature does not hold")
        self.assertEqual(self.problem(request), "")

    def test_cheap_checks_come_before_the_signature(self) -> None:
        """A request that fails one of them is refused for that, with a good signature or a bad one."""
        skew = self.settings.clock_skew
        now = self.clock.seconds()
        for problem, changes in (
            ("it is for somebody else", {"recipient": THEIRS.name.raw}),
            ("it has expired", {"issued": now - 500 - skew, "expiry": now - 1 - skew}),
            ("it has expired", {"issued": now - 91 - skew, "expiry": 1e12}),
            ("it has expired", {"issued": now + 1 + skew, "expiry": now + 90}),
            ("it asks for nothing", {"use": LinkUse.ATTACHED}),
        ):
            found = self.problem(self.request(**changes), RESPONSE_LABEL)
            self.assertTrue(found.startswith(problem), found)
        self.assertEqual(self.table.asked, [])

    def test_clocks_may_differ_by_the_skew(self) -> None:
        """A request from just within it is accepted, at either end."""
        skew = self.settings.clock_skew
        early, late = EXPECTED_TIMEOUT_SECONDS - skew + 1, skew - 1
        for number, offset in enumerate((early, late)):
            issued = self.clock.seconds() + offset
            request = self.request(nonce=bytes([number]) * 16, issued=issued, expiry=issued + 90)
            self.assertEqual(self.problem(request), "")

    def test_link_that_is_not_wanted_is_refused_last(self) -> None:
        """The request is remembered, so that a copy of it costs nothing more."""
        self.table.wanted = False
        request = self.request()
        for _ in range(2):
            self.receive(encode(self.signed(request)))
        self.assertEqual(self.verdicts.all, [(THEIRS.name, "the link is not wanted")])

    def test_link_that_has_no_room_in_the_table_is_not_raised(self) -> None:
        """Its prefix may be full where the prefixes of the request's candidates are not."""
        self.links.room = False
        self.assertEqual(self.problem(self.request()), "the link is not wanted")
        self.assertEqual(self.problem(self.request(nonce=b"m" * 16, use=LinkUse.DIRECT)), "")

    def test_client_accepts_no_member_link(self) -> None:
        """It has no routing table; a direct link is another matter."""
        self.make(Role.CLIENT)
        self.assertEqual(self.problem(self.request()), "the link is not wanted")
        self.assertEqual(self.problem(self.request(nonce=b"m" * 16, use=LinkUse.DIRECT)), "")
        self.assertEqual(self.table.asked, [])

    def test_direct_link_is_granted_only_if_there_is_room(self) -> None:
        self.assertEqual(self.problem(self.request(use=LinkUse.DIRECT)), "")
        self.granted.room = False
        request = self.request(nonce=b"m" * 16, use=LinkUse.DIRECT)
        self.assertEqual(self.problem(request), "the link is not wanted")

    def ask(self, label: str = REQUEST_LABEL, **changes: Any) -> None:
        """The peer asks for a link, whether it has one or not."""
        self.receive(encode(self.signed(self.request(**changes), label)))

    def decided(self) -> list[str]:
        """What was decided since the last time."""
        decided, self.verdicts.all = self.verdicts.all, []
        return ["accepted" if isinstance(what, bytes) else what for _, what in decided]

    def test_peer_that_asks_for_a_link_it_has_is_probed(self) -> None:
        """It may have lost the link, which it would have no other reason to ask for."""
        for use in (LinkUse.MEMBER, LinkUse.DIRECT):
            link = self.link_with_peer(LinkUse.MEMBER)
            self.ask(use=use)
            self.assertEqual((link.probes, self.decided()), (1, []))
            self.clock.advance(PROBE_WAIT_SECONDS)
            self.assertEqual(self.decided(), ["there is such a link already"])

    def test_request_waits_for_the_probe_and_is_accepted_if_there_is_no_answer(self) -> None:
        """A second link is made at once, not at the next request 20 s later; so it is if the link is lost."""
        for lost in (False, True):
            link = self.link_with_peer()
            self.ask(nonce=bytes([lost]) * 16)
            self.clock.advance(PROBE_WAIT_SECONDS / 2)
            self.assertEqual(self.decided(), [])
            link.is_doubted = True
            if lost:
                self.links.known = None
            self.clock.advance(PROBE_WAIT_SECONDS / 2)
            self.assertEqual(self.decided(), ["accepted"])

    def test_request_of_a_peer_that_has_moved_does_not_wait(self) -> None:
        """No connection from its former address is left, and what is sent there is doubted from now on."""
        former, network, mapped = (Endpoint(host, 7) for host in ("9.9.9.9", "10.0.0.9", "2606:4700::9"))
        places: tuple[tuple[Endpoint, list[str]], ...]
        places = ((former, ["accepted"]), (ENDPOINT, []), (network, []), (mapped, []))
        for number, (at, says) in enumerate(places):
            link = self.link_with_peer(at=at)
            self.ask(nonce=bytes([number]) * 16)
            self.assertEqual((link.probes, self.decided()), (1, says), at)
            self.clock.advance(PROBE_WAIT_SECONDS)
            self.decided()

    def test_peer_that_names_no_address_on_the_internet_has_not_moved(self) -> None:
        """It may not know yet how others see it."""
        self.link_with_peer(at=Endpoint("9.9.9.9", 7))
        self.ask(candidates=(to_wire(Endpoint("10.0.0.9", 7)),))
        self.assertEqual(self.decided(), [])

    def test_request_is_accepted_when_the_link_is_doubted(self) -> None:
        """And waits no longer than for the next turn: the link knows how long a round trip takes."""
        link = self.link_with_peer()
        self.ask()
        self.clock.advance(1)
        link.is_doubted = True
        assert self.links.known is not None
        self.validator.peer_doubted(self.links.known)
        self.assertEqual(self.decided(), [])
        self.clock.advance(0)
        self.assertEqual(self.decided(), ["accepted"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_request_is_accepted_when_the_link_is_lost(self) -> None:
        self.link_with_peer()
        self.ask()
        assert self.links.known is not None
        peer, self.links.known = self.links.known, None
        self.validator.peer_lost(peer, CloseReason.CONNECTION_LOST, "")
        self.clock.advance(0)
        self.assertEqual(self.decided(), ["accepted"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_copy_that_comes_once_the_link_is_doubted_is_the_one_that_counts(self) -> None:
        """The first one has waited for the probe, and is not told as refused."""
        link = self.link_with_peer()
        self.ask()
        link.is_doubted = True
        self.ask()
        self.assertEqual(self.decided(), ["accepted"])
        self.clock.advance(PROBE_WAIT_SECONDS)
        self.assertEqual((self.decided(), self.verdicts.copies), ([], []))

    def test_request_for_a_doubted_link_does_not_wait(self) -> None:
        self.table.wanted = False  # it takes no new place
        self.link_with_peer().is_doubted = True
        self.ask()
        self.assertEqual(self.decided(), ["accepted"])

    def test_one_signed_request_of_a_linked_peer_waits(self) -> None:
        """Forged ones cost the check of their signature, and more of the peer's own cost nothing."""
        link = self.link_with_peer()
        self.ask(RESPONSE_LABEL)
        self.assertEqual((link.probes, self.decided()), (0, ["there is such a link already"]))
        for number in range(5):
            self.ask(nonce=bytes([number]) * 16)
        self.assertEqual(link.probes, 1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.validator.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_newer_request_takes_the_place_of_one_that_waits(self) -> None:
        """The link may have answered the first probe, and have been lost after that."""
        link = self.link_with_peer()
        self.ask(nonce=b"1" * 16)
        self.clock.advance(RENEW_SECONDS)
        self.ask(nonce=b"1" * 16)
        self.ask(RESPONSE_LABEL, nonce=b"2" * 16)
        self.assertEqual(link.probes, 1)
        self.ask(nonce=b"2" * 16)
        self.assertEqual((link.probes, len(self.clock.getDelayedCalls())), (2, 1))
        self.clock.advance(PROBE_WAIT_SECONDS - RENEW_SECONDS)
        self.assertEqual(self.decided(), [])
        link.is_doubted = True
        self.clock.advance(RENEW_SECONDS)
        self.assertEqual(self.decided(), ["accepted"])

    def test_link_for_a_lesser_use_is_no_reason_to_refuse(self) -> None:
        """The peer asks for more than it has."""
        link = self.link_with_peer(LinkUse.ATTACHED)
        self.assertEqual(self.problem(self.request()), "")
        self.assertEqual(link.probes, 0)

    def test_link_that_replaces_a_tunnel_is_always_wanted(self) -> None:
        """It takes no place that the peer does not have already."""
        self.table.wanted = False
        self.link_with_peer(path_kind=PathKind.TUNNEL)
        self.assertEqual(self.problem(self.request()), "")
        self.assertEqual(self.table.asked, [])

    def test_restarted_peer_loses_its_old_links(self) -> None:
        """Its request is judged as that of a peer without a link, but only if its signature holds."""
        self.link_with_peer(incarnation=4)
        self.assertEqual(self.problem(self.request(), RESPONSE_LABEL), "its signature does not hold")
        self.assertEqual(self.links.dropped, [])
        self.assertEqual(self.problem(self.request()), "")
        self.assertEqual(self.links.dropped, [CloseReason.RESTARTED])

    def test_request_of_an_earlier_incarnation_is_refused(self) -> None:
        """The peer has been restarted since it sent that."""
        self.link_with_peer(incarnation=6)
        self.assertEqual(self.problem(self.request()), "it is of an earlier incarnation")
        self.assertEqual(self.links.dropped, [])

    def test_request_of_another_network_does_not_hold(self) -> None:
        """The network is part of what is signed."""
        self.settings = replace(self.settings, network="another")
        self.assertEqual(self.problem(self.request()), "its signature does not hold")
