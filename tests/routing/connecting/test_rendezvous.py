"""What is dialled for a request and when, on a fake clock, with a crust that records what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.interfaces import Guess, ILink, Rendezvous, account_of
from routing_crust.crust.reachability import Dialable, EndpointSource, OwnEndpoint, Reachability
from routing_crust.endpoints import Endpoint
from routing_crust.errors import ConnectFailed
from routing_crust.identity import Identity
from routing_crust.limits import DIAL_STAGGER_SECONDS, PUNCH_TIMEOUT_SECONDS
from routing_crust.names import Name
from routing_crust.routing.connecting.rendezvous import (
    AGAIN_SECONDS,
    GO_WAIT_SECONDS,
    MAX_GO_DELAY_SECONDS,
    TUNNEL_AGAIN_SECONDS,
    TUNNEL_DELAY_SECONDS,
    TUNNEL_WAIT_SECONDS,
    PunchSchedule,
)
from routing_crust.routing.node import Node
from routing_crust.timing.shares import OURSELVES, Account
from routing_crust.wire.messages import LinkUse, NatKind
from tests.crust.addresses import STRANGER, tunnel_to

IDENTITIES = {each.name: each for each in (Identity.from_seed(bytes([seed]) * 32) for seed in (1, 2))}
SMALL, GREAT = sorted(IDENTITIES)
ENDPOINTS = (Endpoint("8.8.8.8", 5483),)
NONCE = b"n" * 16
RELAYS = (Identity.from_seed(bytes(32)).name,)


class FakeCrust:
    """Records what it is asked to do; no dial ever succeeds."""

    def __init__(self) -> None:
        self.nat = NatKind.CONE
        self.dialable = Dialable.NO
        self.sources: tuple[OwnEndpoint, ...] = ()
        self.candidates = (Endpoint("7.7.7.7", 5483),)
        self.dialled: list[Endpoint] = []
        self.expected: list[tuple[Name, bytes, bool]] = []
        self.dials: list[tuple[bytes, bool, Rendezvous | None]] = []
        self.running: list[Deferred[ILink]] = []

    @property
    def reachability(self) -> Reachability:
        return Reachability(self.nat, self.dialable, 0.0)

    def expect(self, peer: Name, token: bytes, requester: bool) -> Callable[[], None]:
        self.expected.append((peer, token, requester))
        return lambda: self.expected.remove((peer, token, requester))

    def connect(
        self,
        endpoints: Sequence[Endpoint],
        peer: Name,
        token: bytes,
        asked_by: Account,
        rendezvous: Rendezvous | None = None,
    ) -> Deferred[ILink]:
        self.dials.append((token, asked_by, rendezvous))
        self.dialled += endpoints if rendezvous is None else ()
        dial: Deferred[ILink] = Deferred(self.running.remove)
        self.running.append(dial)
        return dial

    def punched(self, token: bytes = NONCE) -> list[Rendezvous]:
        return [each for which, _, each in self.dials if each is not None and which == token]


class HolePunchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.crust = FakeCrust()
        self.reached: LinkUse | None = None
        self.linked = False
        self.tunnels: list[tuple[bytes, tuple[Name, ...]]] = []
        self.gone = 0
        self.tunnel_now: ILink | None = None
        self.make(SMALL)

    def make(self, own: Name) -> None:
        self.peer = GREAT if own == SMALL else SMALL
        self.settings = Settings()
        self.awaited: list[bool] = []
        self.punches = PunchSchedule(
            Node(self.settings, IDENTITIES[own], self.clock, Random(1), self.crust, 1, self.clock.seconds),
            lambda _, use: self.reached is not None and self.reached >= use,
            lambda name, use: self.linked,
            self.tunnel,
            lambda peer: self.tunnel_now,
        )

    def tunnel(self, peer: Name, nonce: bytes, theirs: tuple[Name, ...], awaited: bool) -> Deferred[ILink]:
        self.assertEqual(peer, self.peer)
        self.tunnels.append((nonce, theirs))
        self.awaited.append(awaited)
        opening: Deferred[ILink] = Deferred(self.crust.running.remove)
        self.crust.running.append(opening)
        return opening

    def go(self) -> None:
        self.gone += 1

    def begin(
        self,
        requester: bool,
        nat: NatKind = NatKind.CONE,
        nonce: bytes = NONCE,
        use: LinkUse = LinkUse.MEMBER,
        round_trip: float = 0.1,
        guesses: bool = False,
    ) -> None:
        asked_by = OURSELVES if requester else STRANGER
        self.punches.expect(self.peer, nonce, use, requester, asked_by)
        go = self.go if requester else None
        wait = round_trip if requester else 0.0
        self.punches.begin(self.peer, nonce, ENDPOINTS, nat, RELAYS, go, wait, guesses)

    def end(self, nonce: bytes = NONCE) -> None:
        """Give up, after which nothing is left."""
        self.punches.give_up(self.peer, nonce)
        self.assertEqual((self.crust.running, self.crust.expected), ([], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.punches), 0)

    def test_requester_behind_a_nat_sends_go_and_punches_at_once(self) -> None:
        """A plain dial is unlikely to succeed. Punching begins half a round trip after the ConnectGo."""
        self.begin(True, NatKind.SYMMETRIC)
        self.assertEqual(self.gone, 1)
        self.assertEqual(
            self.crust.dials, [(NONCE, OURSELVES, None), (NONCE, OURSELVES, Rendezvous(True, 0.05))]
        )
        self.end()

    def test_ports_are_guessed_only_where_both_ends_agree(self) -> None:
        tunnel = tunnel_to(self.peer, "8.8.8.8")
        for ours, theirs in ((True, False), (False, True), (True, True)):
            self.tunnel_now = tunnel if ours else None
            self.begin(True, NatKind.SYMMETRIC, guesses=theirs)
            agreed = Guess("8.8.8.8", False, account_of(tunnel)) if ours and theirs else None
            self.assertEqual(self.crust.punched()[-1].guess, agreed)
            self.end()

    def test_request_for_which_ports_are_guessed_is_preferred(self) -> None:
        """Only one end asks for that, whose request may be the other one of two that cross."""
        theirs = b"t" * 16
        self.tunnel_now = tunnel_to(self.peer, "8.8.8.8")
        self.begin(False, NatKind.SYMMETRIC, nonce=theirs)
        self.begin(True, NatKind.SYMMETRIC, guesses=True)
        self.assertEqual(
            [self.punches.guesses(self.peer, each) for each in (NONCE, theirs, b"another")],
            [True, False, False],
        )
        self.assertEqual(len(self.crust.punched()), 1)
        self.punches.go(self.peer, theirs)
        self.assertEqual(self.crust.punched(theirs), [])
        self.clock.advance(PUNCH_TIMEOUT_SECONDS + GO_WAIT_SECONDS)
        self.assertFalse(self.punches.guesses(self.peer, NONCE))
        self.punches.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_two_cones_are_punched_and_not_dialled_plainly(self) -> None:
        """Neither end spends a plain dial, which no filter would let in."""
        for requester in (True, False):
            self.begin(requester)
            self.punches.go(self.peer, NONCE)
            self.assertEqual([each is None for _, _, each in self.crust.dials], [False])
            self.end()
            self.crust.dials.clear()

    def test_near_addresses_are_dialled_plainly_between_two_cones(self) -> None:
        """In a network that both are in, through the same NAT, and of a family in which we do not listen."""
        near = (Endpoint("10.0.0.7", 5483), Endpoint("7.7.7.7", 20001), Endpoint("2606:4700::7", 5483))
        self.punches.expect(self.peer, NONCE, LinkUse.MEMBER, True)
        self.punches.begin(self.peer, NONCE, (*ENDPOINTS, *near), NatKind.CONE, RELAYS, self.go)
        self.assertEqual(self.crust.dialled, list(near))
        self.end()

    def test_cone_that_may_be_dialable_is_dialled_plainly(self) -> None:
        """No address is translated, or a port is mapped, and nobody has tried yet."""
        for source in (EndpointSource.CONFIGURED, EndpointSource.MAPPED, EndpointSource.INTERFACE):
            self.crust.sources = (OwnEndpoint(Endpoint("7.7.7.7", 5483), source),)
            for dialable, dialled in ((Dialable.UNKNOWN, list(ENDPOINTS)), (Dialable.NO, [])):
                self.crust.dialable = dialable
                self.begin(True)
                self.assertEqual(self.crust.dialled, dialled)
                self.end()
                self.crust.dialled.clear()

    def test_plain_dial_that_may_succeed_has_a_head_start(self) -> None:
        """The requester punches after the stagger of dials if one end is open or both NATs are unknown."""
        for own, other in ((NatKind.OPEN, NatKind.CONE), (NatKind.UNKNOWN, NatKind.UNKNOWN)):
            self.crust.nat = own
            self.begin(True, other)
            before = self.gone
            self.clock.advance(DIAL_STAGGER_SECONDS - 0.01)
            self.assertEqual((self.gone, self.crust.punched()), (before, []))
            self.clock.advance(0.02)
            self.assertEqual((self.gone, len(self.crust.punched())), (before + 1, 1))
            self.end()
            self.crust.dials.clear()

    def test_slow_answer_delays_punching_by_a_limited_time(self) -> None:
        """A peer that took a minute to answer is not given half a minute for the ConnectGo."""
        self.begin(True, round_trip=60)
        self.assertEqual(self.crust.punched(), [Rendezvous(True, MAX_GO_DELAY_SECONDS)])
        self.end()

    def test_responder_punches_once_when_the_go_comes(self) -> None:
        """Until then it dials plainly, and counts the dial as one for a stranger."""
        self.begin(False, NatKind.UNKNOWN)
        self.assertEqual(self.crust.dials, [(NONCE, STRANGER, None)])
        self.punches.go(self.peer, NONCE)
        self.punches.go(self.peer, NONCE)
        self.assertEqual(self.crust.punched(), [Rendezvous(False)])
        self.clock.advance(10)
        self.assertEqual(len(self.crust.punched()), 1)
        self.end()

    def test_responder_punches_without_a_go_after_a_while(self) -> None:
        """The ConnectGo may be lost."""
        self.begin(False)
        self.clock.advance(GO_WAIT_SECONDS)
        self.assertEqual(self.crust.punched(), [Rendezvous(False)])
        self.end()

    def test_go_that_fits_no_accepted_request_is_ignored(self) -> None:
        """That is: for our own request, from another peer, or with another nonce."""
        self.crust.nat = NatKind.OPEN
        self.begin(True)
        self.punches.go(self.peer, NONCE)
        self.punches.go(SMALL, NONCE)
        self.punches.go(self.peer, b"other")
        self.assertEqual(self.crust.punched(), [])
        self.end()

    def test_two_symmetric_nats_are_not_punched(self) -> None:
        """They are dialled plainly, and the requester makes a tunnel at once."""
        self.crust.nat = NatKind.SYMMETRIC
        for requester in (True, False):
            self.begin(requester, NatKind.SYMMETRIC)
            self.punches.go(self.peer, NONCE)
            self.clock.advance(10)
            self.assertEqual((self.gone, self.crust.punched()), (0, []))
            self.assertEqual(self.tunnels, [(NONCE, RELAYS)])
            self.end()

    def test_tunnel_is_made_some_time_after_punching_began(self) -> None:
        """One tunnel is made, through the nodes that the peer has named."""
        self.begin(True)
        self.clock.advance(TUNNEL_DELAY_SECONDS - 0.01)
        self.assertEqual(self.tunnels, [])
        self.clock.advance(0.02)
        self.assertEqual(self.tunnels, [(NONCE, RELAYS)])
        self.clock.advance(60)
        self.assertEqual(len(self.tunnels), 1)
        self.end()

    def test_tunnel_waits_for_a_link_that_may_still_be_refused(self) -> None:
        """It is made when that is gone, and not if that stays."""
        self.linked = True
        self.begin(True)
        self.clock.advance(DIAL_STAGGER_SECONDS + 2.5 * TUNNEL_DELAY_SECONDS)
        self.assertEqual(self.tunnels, [])
        self.linked = False
        self.clock.advance(TUNNEL_DELAY_SECONDS)
        self.assertEqual(self.tunnels, [(NONCE, RELAYS)])
        self.end()
        self.linked = True
        self.begin(True)
        self.clock.pump([TUNNEL_DELAY_SECONDS] * 20)
        self.linked = False
        self.clock.pump([TUNNEL_DELAY_SECONDS] * 20)
        self.assertEqual(len(self.tunnels), 1)
        self.end()

    def test_stream_does_not_wait_for_the_tunnel_of_a_table(self) -> None:
        self.make(SMALL)
        self.crust.nat = NatKind.SYMMETRIC
        self.begin(False, NatKind.SYMMETRIC, nonce=b"theirs", use=LinkUse.MEMBER)
        self.begin(True, NatKind.SYMMETRIC, nonce=b"ours", use=LinkUse.DIRECT)
        self.assertEqual(self.tunnels, [(b"ours", RELAYS)])
        self.punches.stop()

    def test_tunnel_for_a_direct_link_is_awaited(self) -> None:
        """For one that the routing table wants nobody waits."""
        for use in (LinkUse.MEMBER, LinkUse.DIRECT):
            self.begin(True, use=use)
            self.clock.advance(1)
            self.end()
        self.assertEqual(self.awaited, [False, True])

    def test_awaited_tunnel_is_tried_again_until_its_request_ends(self) -> None:
        """Each time after twice as long. That of a routing table is tried once."""
        self.crust.nat = NatKind.SYMMETRIC
        for use, failures, tunnels in ((LinkUse.DIRECT, 3, 4), (LinkUse.MEMBER, 1, 1)):
            self.begin(True, NatKind.SYMMETRIC, use=use)
            for number in range(failures):
                self.assertEqual(len(self.tunnels), number + 1)
                self.crust.running.pop().errback(ConnectFailed(()))
                self.clock.advance(TUNNEL_AGAIN_SECONDS * 2**number)
            self.assertEqual(len(self.tunnels), tunnels)
            self.end()
            self.tunnels.clear()

    def test_neither_responder_nor_linked_requester_makes_a_tunnel(self) -> None:
        """The requester makes none if there is a link by then."""
        self.begin(False)
        self.clock.advance(10)
        self.end()
        self.linked = True
        self.begin(True)
        self.clock.advance(10)
        self.end()
        self.assertEqual(self.tunnels, [])

    def test_dialled_link_for_a_lesser_use_does_not_prevent_punching(self) -> None:
        """It may have come through a hole that is closed by now."""
        self.reached = LinkUse.DIRECT
        self.begin(True)
        self.clock.advance(10)
        self.assertEqual(len(self.crust.punched()), 1)
        self.end()

    def test_dialled_link_for_this_use_prevents_punching(self) -> None:
        """No ConnectGo is sent either."""
        self.crust.nat = NatKind.OPEN
        self.begin(True)
        self.reached = LinkUse.MEMBER
        self.clock.advance(10)
        self.assertEqual((self.gone, self.crust.punched()), (0, []))
        self.end()

    def test_peer_without_an_address_is_reached_through_a_tunnel(self) -> None:
        """Nothing is dialled, but the peer is expected."""
        self.punches.expect(self.peer, NONCE, LinkUse.MEMBER, True)
        self.punches.begin(self.peer, NONCE, (), NatKind.CONE, RELAYS, self.go)
        self.assertEqual(self.crust.dials, [])
        self.assertEqual(self.tunnels, [(NONCE, RELAYS)])
        self.assertEqual(self.crust.expected, [(self.peer, NONCE, True)])
        self.end()

    def test_requester_begins_again_when_a_link_is_lost_too_early(self) -> None:
        self.begin(True, NatKind.OPEN)
        self.reached = LinkUse.MEMBER
        self.clock.advance(10)
        self.assertEqual(len(self.crust.dials), 1)
        self.reached = None
        for count, wait in enumerate(AGAIN_SECONDS, 2):
            self.punches.link_lost(self.peer, NONCE)
            self.clock.advance(wait - 0.01)
            plain = [each for each in self.crust.dials if each[2] is None]
            self.assertEqual(len(plain), count - 1)
            self.clock.advance(0.01)
            plain = [each for each in self.crust.dials if each[2] is None]
            self.assertEqual(len(plain), count)
        self.punches.link_lost(self.peer, NONCE)
        self.clock.advance(60)
        self.assertEqual(len([each for each in self.crust.dials if each[2] is None]), 1 + len(AGAIN_SECONDS))
        self.end()

    def test_lost_link_beside_another_one_is_not_dialled_again(self) -> None:
        self.begin(True, NatKind.OPEN)
        self.reached = LinkUse.MEMBER
        self.punches.link_lost(self.peer, NONCE)
        self.clock.advance(60)
        self.assertEqual(len(self.crust.dials), 1)
        self.end()

    def test_responder_dials_no_second_time_by_itself_but_punches_when_asked(self) -> None:
        self.begin(False, NatKind.OPEN)
        self.reached = LinkUse.MEMBER
        self.clock.advance(10)
        self.reached = None
        self.punches.link_lost(self.peer, NONCE)
        self.clock.advance(60)
        self.assertEqual((len(self.crust.dials), self.crust.punched()), (1, []))
        self.punches.go(self.peer, NONCE)
        self.assertEqual(len(self.crust.punched()), 1)
        self.end()

    def test_lost_links_put_no_tunnel_off(self) -> None:
        self.begin(True, NatKind.SYMMETRIC)
        self.punches.link_lost(self.peer, NONCE)
        self.clock.advance(TUNNEL_DELAY_SECONDS)
        self.assertEqual(self.tunnels, [(NONCE, RELAYS)])
        self.end()

    def test_request_that_was_given_up_is_not_begun(self) -> None:
        """Giving it up again does nothing."""
        self.begin(True)
        self.end()
        self.punches.begin(self.peer, NONCE, ENDPOINTS, NatKind.CONE, RELAYS, self.go)
        self.assertEqual(len(self.crust.dials), 1)
        self.end()

    def test_failed_or_cancelled_dial_is_no_error(self) -> None:
        """Nothing is logged as a failure, and nothing is left."""
        self.begin(True)
        self.crust.running.pop().errback(ConnectFailed(()))
        self.end()

    def crossed(self, own: Name, ours: LinkUse, theirs: LinkUse) -> list[bytes]:
        """Both ends have asked. Returns the nonces of the requests that are punched for."""
        self.make(own)
        self.crust.nat = NatKind.OPEN
        self.begin(True, nonce=b"ours", use=ours)
        self.begin(False, nonce=b"theirs", use=theirs)
        self.clock.pump([0.25] * 40)
        self.punches.stop()
        self.assertEqual((self.crust.running, self.crust.expected), ([], []))
        punched = [token for token, _, rendezvous in self.crust.dials if rendezvous is not None]
        self.crust.dials.clear()
        return punched

    def test_both_ends_punch_for_the_same_of_two_crossed_requests(self) -> None:
        """That is the one for the greater use; of two for the same use, the one of the greater name."""
        member, direct = LinkUse.MEMBER, LinkUse.DIRECT
        self.assertEqual(self.crossed(GREAT, member, member), [b"ours"])
        self.assertEqual(self.crossed(SMALL, member, member), [b"theirs"])
        self.assertEqual(self.crossed(GREAT, direct, member), [b"theirs"])
        self.assertEqual(self.crossed(SMALL, member, direct), [b"ours"])

    def test_preferred_request_ends_the_punching_for_another(self) -> None:
        """It has the same two ports: the SYNs of the one would meet those of the other, and end both."""
        self.make(GREAT)
        self.begin(True, nonce=b"stream", use=LinkUse.DIRECT)
        (first,) = self.crust.running
        self.begin(True, nonce=b"table", use=LinkUse.MEMBER)
        self.assertNotIn(first, self.crust.running)
        self.assertEqual(len(self.crust.running), 1)
        self.assertEqual(len(self.crust.expected), 2)  # a link that is nearly up still counts
        self.punches.stop()

    def test_punching_goes_on_for_the_preferred_request(self) -> None:
        self.make(GREAT)
        self.begin(True, nonce=b"table", use=LinkUse.MEMBER)
        self.begin(True, nonce=b"stream", use=LinkUse.DIRECT)
        self.assertEqual([len(self.crust.punched(each)) for each in (b"table", b"stream")], [1, 0])
        self.assertEqual(len(self.crust.running), 1)
        self.punches.stop()

    def test_end_whose_request_was_answered_long_before_the_preferred_one_makes_the_tunnel(self) -> None:
        """The other end would be ready much later, and finds the tunnel then."""
        self.make(SMALL)
        self.begin(True, nonce=b"ours")
        self.clock.advance(0.9 * TUNNEL_DELAY_SECONDS)
        self.begin(False, nonce=b"theirs")
        self.clock.advance(0.2 * TUNNEL_DELAY_SECONDS)
        self.assertEqual(self.tunnels, [(b"ours", RELAYS)])
        self.punches.stop()

    def test_end_with_the_preferred_request_makes_the_tunnel_first(self) -> None:
        """If both ends have asked, the other one leaves it a second."""
        for own, wait in ((GREAT, 0.0), (SMALL, TUNNEL_WAIT_SECONDS)):
            self.make(own)
            self.crust.nat = NatKind.SYMMETRIC
            self.begin(False, NatKind.SYMMETRIC, nonce=b"theirs")
            self.begin(True, NatKind.SYMMETRIC, nonce=b"ours")
            self.assertEqual(len(self.tunnels), 0 if wait else 1)
            self.clock.advance(wait)
            self.assertEqual(self.tunnels, [(b"ours", RELAYS)])
            self.tunnels.clear()
            self.punches.stop()
