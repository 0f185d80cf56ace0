"""
Attempts in any order of events: what is expected and what is dialled for it begin and end together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import cast

import expiringdict
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.interfaces import ICrust, ILink
from routing_crust.endpoints import Endpoint, PathKind
from routing_crust.errors import CloseReason
from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.routing.connecting.attempts import Attempts
from routing_crust.routing.connecting.expected import ExpectedRequest
from routing_crust.routing.links.registry import LinkRegistry
from routing_crust.routing.node import Node
from routing_crust.wire.messages import ConnectRequest, LinkUse, NatKind
from tests.crust.addresses import STRANGER

from .expected_values import connection, name_of, nonce_of
from .test_expected_ends import ForgetfulClock
from .test_rendezvous import FakeCrust

OWN = Identity.from_seed(bytes([1]) * 32)
SAME_PREFIX = Endpoint("8.8.8.8", 5483)
LIMITS = Settings(max_expected=6)

Step = tuple[str, int, bool]
STEPS = st.tuples(
    st.sampled_from(
        ["accept", "accept, timer lost", "linked", "tunnel", "unlinked", "withdraw", "go", "arrive", "lose"]
        + ["advance"] * 4
    ),
    st.integers(0, 3),
    st.booleans(),
)


@dataclass
class FakeLink:
    """A link as the attempts see it."""

    peer: Name
    path_kind: PathKind
    connection: object = None


class FakeLinks:
    """As much of the registry as the attempts ask: links that the test sets."""

    def __init__(self) -> None:
        self.all: dict[Name, FakeLink] = {}

    def link_to(self, name: Name) -> FakeLink | None:
        return self.all.get(name)

    def peer(self, name: Name) -> object:
        link = self.all.get(name)
        return None if link is None else SimpleNamespace(link=link, use=LinkUse.MEMBER)

    def is_dialled(self, name: Name, use: LinkUse) -> bool:
        return name in self.all

    def needs_no_tunnel(self, name: Name, use: LinkUse) -> bool:
        return name in self.all

    def agree(self, name: Name, use: LinkUse) -> None:
        """These links have the greatest use already."""


class Answering:
    """The attempts of a node that accepts every request, with what they have crust do."""

    def __init__(self) -> None:
        self.clock = ForgetfulClock()
        self.crust = FakeCrust()
        self.links = FakeLinks()
        crust = cast(ICrust, self.crust)
        node = Node(LIMITS, OWN, self.clock, Random(1), crust, 1, self.clock.seconds)
        self.attempts = Attempts(node, cast(LinkRegistry, self.links))
        self.attempts.open_tunnels_by(self._open_tunnel, lambda name: False)
        self.accepted = 0

    def _open_tunnel(
        self, peer: Name, nonce: bytes, theirs: Sequence[Name], awaited: bool
    ) -> Deferred[ILink]:
        return Deferred()

    def accept(self, peer: Name, public: bool, timer_lost: bool) -> None:
        self.accepted += 1
        nonce = nonce_of(self.accepted)
        endpoints = (SAME_PREFIX,) if public else ()
        issued = self.clock.seconds()
        request = ConnectRequest(OWN.name.raw, nonce, issued, issued + 90, 1, LinkUse.MEMBER, ())
        attempts = self.attempts
        attempts.withdraw_earlier(peer, request)
        attempts.make_room(peer, LinkUse.MEMBER)
        self.clock.forgetful = timer_lost
        accepted = attempts.expect(ExpectedRequest(peer, nonce, endpoints, request, STRANGER))
        self.clock.forgetful = False
        if accepted:
            # of some it begins again, as a requester does, when their links are lost
            again = peer == name_of(3)
            attempts.punches.expect(peer, nonce, LinkUse.MEMBER, requester=again)
            attempts.punches.begin(peer, nonce, endpoints, NatKind.CONE)

    def link(self, peer: Name, path_kind: PathKind) -> None:
        link = self.links.all[peer] = FakeLink(peer, path_kind)
        if path_kind is not PathKind.TUNNEL:
            self.attempts.linked(peer, LinkUse.MEMBER, cast(ILink, link))

    def step(self, what: str, number: int, flag: bool) -> None:
        peer = name_of(number)
        latest = self.attempts.expected.of_peer(peer)[-1:]
        arriving = cast(ILink, FakeLink(peer, PathKind.DIRECT, connection(1 + number)))
        if what.startswith("accept"):
            self.accept(peer, flag, what != "accept")
        elif what in ("linked", "tunnel"):
            self.link(peer, PathKind.TUNNEL if what == "tunnel" else PathKind.DIRECT)
        elif what == "unlinked":
            self.links.all.pop(peer, None)
        elif what == "lose":
            reason = CloseReason.CONNECTION_LOST if flag else CloseReason.NOT_WANTED
            self.attempts.link_lost(arriving, reason)
        elif what == "advance":
            self.clock.advance(50 if flag else 1 + number)
        else:
            act: dict[str, Callable[[Name, bytes], object]] = {
                "withdraw": self.attempts.withdraw,
                "go": self.attempts.punches.go,
                "arrive": lambda _, nonce: self.attempts.purpose(arriving, nonce),
            }
            for each in latest:
                act[what](peer, each.nonce)

    @property
    def expected(self) -> set[tuple[Name, bytes]]:
        table = self.attempts.expected
        return {(name_of(each), entry.nonce) for each in range(4) for entry in table.of_peer(name_of(each))}


class AttemptsPropertyTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None)
    @given(st.lists(STEPS, max_size=50), st.booleans())
    def test_expectation_and_dials_end_together_in_any_order_of_events(
        self, steps: list[Step], stop: bool
    ) -> None:
        """
        Whatever comes in between, lost delayed calls too: crust takes connections for a request exactly as
        long as a link is expected for it, and when all has ended nothing is dialled any more.
        """
        node = Answering()
        self.patch(expiringdict, "time", SimpleNamespace(time=node.clock.seconds))
        for step in steps:
            node.step(*step)
            self.assertEqual({(peer, nonce) for peer, nonce, _ in node.crust.expected}, node.expected)
            self.assertEqual(len(node.attempts.punches), len(node.expected))
            self.assertEqual(len(node.attempts.expected), len(node.expected))
        if not stop:
            # whatever lost its delayed call ends when the next request comes
            node.clock.advance(181)
            node.accept(name_of(9), False, False)
            self.assertEqual(node.expected, set())
            self.assertEqual(len(node.attempts.punches), 1)
        node.attempts.stop()
        self.assertEqual((node.crust.expected, node.crust.running), ([], []))
        self.assertEqual((len(node.attempts.punches), len(node.attempts.expected)), (0, 0))
        self.assertEqual(node.clock.getDelayedCalls(), [])
