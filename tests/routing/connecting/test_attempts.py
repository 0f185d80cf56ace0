"""The attempts at a node that answers requests: what they expect and dial, and what ends them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.endpoints import PathKind
from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.limits import EXPECTED_TIMEOUT_SECONDS
from routing_crust.names import Name
from routing_crust.routing.envelopes import REQUEST_LABEL
from routing_crust.routing.links.peer import Peer
from routing_crust.timing.shares import OURSELVES
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import EnvelopeKind, LinkUse
from tests.routing.intruder import Intruder
from tests.routing.net import Net


class AttemptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net()
        self.node = self.net.grow(2)[0]
        assert self.node._core is not None
        self.core = self.node._core
        self.expected = self.core.attempts.expected
        self.peer = Intruder(self.net)
        self.addCleanup(self.net.stop)

    def accept_request(self, age: float = 0.0) -> bytes:
        """Have the node accept a request for membership, and return its nonce."""
        request = self.peer.request(self.node, issued=self.net.clock.seconds() - age)
        body = self.peer.signed(REQUEST_LABEL, request)
        link = self.peer.dial(self.node)
        link.send(FrameKind.HELLO, self.peer.hello(link))
        envelope = self.peer.open_envelope(self.node, EnvelopeKind.CONNECT_REQUEST, body)
        self.core.validator.request_received(envelope, self.peer.identity.name, None)
        return request.nonce

    def confirm(self, name: Name, link: Any, use: LinkUse) -> None:
        """Have the connector hear that a link to this peer was confirmed."""
        facts = self.core.links.peers[0].facts
        self.core.connector.peer_established(Peer(name, link, use, True, facts, 0.0), None)

    def test_ports_are_guessed_only_for_a_tunnel_in_use_that_crust_would_replace(self) -> None:
        link = SimpleNamespace(path_kind=PathKind.TUNNEL)
        links, crust = (
            SimpleNamespace(link_to=lambda peer: link),
            SimpleNamespace(may_guess=lambda link: True),
        )
        used = {self.peer.identity.name}
        self.patch(self.core.attempts, "_links", links)
        self.patch(self.core.attempts, "_crust", crust)
        self.patch(self.core.attempts, "_in_use", used.__contains__)
        name = self.peer.identity.name
        self.assertIs(self.core.attempts.replaceable_tunnel(name), link)
        crust.may_guess = lambda link: False
        self.assertIsNone(self.core.attempts.replaceable_tunnel(name))
        crust.may_guess = lambda link: True
        link.path_kind = PathKind.PUNCHED
        self.assertIsNone(self.core.attempts.replaceable_tunnel(name))
        link.path_kind = PathKind.TUNNEL
        used.clear()
        self.assertIsNone(self.core.attempts.replaceable_tunnel(name))

    def test_better_link_is_wanted_where_there_is_a_tunnel_or_one_that_may_be_dead(self) -> None:
        """What its peer asks to be dialled then is no stranger's wish: we ask it for the same."""
        name, link = self.peer.identity.name, SimpleNamespace(path_kind=PathKind.PUNCHED, is_doubted=False)
        held = {name: link}
        self.patch(self.core.attempts, "_links", SimpleNamespace(link_to=held.get))
        self.assertFalse(self.core.attempts.wants_better(name))
        link.is_doubted = True
        self.assertTrue(self.core.attempts.wants_better(name))
        link.path_kind, link.is_doubted = PathKind.TUNNEL, False
        self.assertTrue(self.core.attempts.wants_better(name))
        held.clear()
        self.assertFalse(self.core.attempts.wants_better(name))

    def test_link_for_a_lesser_use_ends_no_attempt(self) -> None:
        """An attachment may be confirmed while membership is being arranged."""
        nonce = self.accept_request()
        link = self.node._core and self.net.crust(self.node).links[0]
        assert link is not None
        self.confirm(self.peer.identity.name, link, LinkUse.ATTACHED)
        self.assertIsNotNone(self.expected.match(self.peer.identity.name, nonce))
        self.confirm(self.peer.identity.name, link, LinkUse.MEMBER)
        self.assertIsNone(self.expected.match(self.peer.identity.name, nonce))

    def test_expected_link_that_was_cut_is_dialled_again(self) -> None:
        """Not so one that the peer refuses."""
        lost: list[bytes] = []
        self.patch(self.core.attempts.punches, "link_lost", lambda peer, nonce: lost.append(nonce))
        nonce = self.accept_request()
        for reason in (CloseReason.NOT_WANTED, CloseReason.CONNECTION_LOST, CloseReason.TOO_MANY_LINKS):
            link = self.net.result(
                self.peer.crust.connect(self.node.endpoints, self.node.node_name, nonce, OURSELVES)
            )
            link.send(FrameKind.HELLO, self.peer.hello(link, purpose=nonce))
            self.net.settle(0.05)
            here = next(
                each
                for each in self.net.crust(self.node).links
                if each.connection.peer == link.connection.local
            )
            self.core.lost_connection(here, LinkClosed(reason))
        self.assertEqual(lost, [nonce, nonce])

    def test_one_link_of_a_request_counts_as_expected(self) -> None:
        """A peer that opens many takes no place from others."""
        nonce = self.accept_request()
        name = self.peer.identity.name
        for _ in range(2):
            link = self.net.result(
                self.peer.crust.connect(self.node.endpoints, self.node.node_name, nonce, OURSELVES)
            )
            link.send(FrameKind.HELLO, self.peer.hello(link, purpose=nonce))
            self.net.settle(0.05)
        links = [each for each in self.net.crust(self.node).links if each.peer == name]
        self.assertGreater(len(links), 2)
        self.assertEqual(sum(each.is_expected for each in links), 1)

    def test_history_tells_an_expected_link_that_is_lost_too_early(self) -> None:
        """
        A link that was expected is found by its connection until it is lost, and the history says that it
        was lost before both ends agreed on it; of one that was not expected it says only that it was lost.
        """
        nonce = self.accept_request()
        link = self.net.result(
            self.peer.crust.connect(self.node.endpoints, self.node.node_name, nonce, OURSELVES)
        )
        link.send(FrameKind.HELLO, self.peer.hello(link, purpose=nonce))
        self.net.settle(0.05)
        name = self.peer.identity.name
        crust = self.net.crust(self.node)
        plain = next(each for each in crust.links if each.peer == name)
        (expected,) = [each for each in crust.links if each.connection.peer == link.connection.local]
        entry = self.expected.of_connection(expected.connection)
        self.assertIs(entry, self.expected.match(name, nonce))
        self.assertIsNone(self.expected.of_connection(plain.connection))
        self.assertEqual((expected.is_expected, plain.is_expected), (True, False))
        for each in (expected, plain):
            each.abort(CloseReason.STOPPING)
        self.net.settle(0.5)
        self.assertIsNone(self.expected.of_connection(expected.connection))
        self.assertIsNotNone(self.expected.match(name, nonce))
        lost = [each.text for each in crust.history.of(name).outcomes if each.text.startswith("lost")]
        self.assertEqual(
            lost,
            ["lost before both ends agreed on it: the service is stopping", "lost: the service is stopping"],
        )

    def test_attempt_goes_on_when_only_a_tunnel_is_confirmed(self) -> None:
        """Crust takes connections for the request until a better link is confirmed."""
        nonce = self.accept_request()
        name = self.peer.identity.name
        crust = self.net.crust(self.node)
        self.assertEqual(crust.expected, [(name, nonce, False)])
        link = crust.links[0]
        link.path_kind = PathKind.TUNNEL
        self.confirm(name, link, LinkUse.MEMBER)
        self.assertEqual(crust.expected, [(name, nonce, False)])
        link.path_kind = PathKind.PUNCHED
        self.confirm(name, link, LinkUse.MEMBER)
        self.assertEqual(crust.expected, [])

    def test_delayed_requests_take_no_place_from_the_latest(self) -> None:
        """
        They arrive all at once, and the peer has given up all but the last one.
        """
        name = self.peer.identity.name
        for age in (60.0, 40.0, 20.0, 0.0):
            nonce = self.accept_request(age)
            self.assertEqual([each.nonce for each in self.expected.of_peer(name)], [nonce])
            self.assertEqual(self.net.crust(self.node).expected, [(name, nonce, False)])

    def test_earlier_request_that_arrives_late_ends_no_later_one(self) -> None:
        """It takes a place of its own, if there is one."""
        late, early = self.accept_request(), self.accept_request(20.0)
        expected = self.expected.of_peer(self.peer.identity.name)
        self.assertEqual([each.nonce for each in expected], [late, early])

    def test_attempt_ends_with_its_expectation(self) -> None:
        """Crust expects nothing any more after C{EXPECTED_TIMEOUT_SECONDS}."""
        self.accept_request()
        crust = self.net.crust(self.node)
        self.net.settle(EXPECTED_TIMEOUT_SECONDS + 1)
        self.assertEqual(crust.expected, [])
