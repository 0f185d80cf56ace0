"""Asking for connections: what both ends do then, and the ways that requests take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Role, Settings
from routing_crust.crust.interfaces import Rendezvous
from routing_crust.errors import CloseReason, ExpectedConnectionExpired, LinkClosed, ServiceStopped
from routing_crust.identity import Identity
from routing_crust.limits import MAX_ATTEMPTS
from routing_crust.names import Name
from routing_crust.routing.connecting import connector as connecting
from routing_crust.routing.connecting.candidates import CandidateExchange
from routing_crust.routing.connecting.outgoing_request import OutgoingRequest
from routing_crust.routing.messaging.outgoing.retries import MAX_HINT_RETRY_SECONDS
from routing_crust.wire.codec import MAX_CONTROL_BYTES, decode, encode
from routing_crust.wire.fields import WireEndpoint
from routing_crust.wire.messages import (
    ConnectRequest,
    ConnectResponse,
    EnvelopeKind,
    LinkUse,
    NatKind,
    Signed,
)
from tests.crust.addresses import tunnel_to
from tests.routing.net import Net


class RendezvousTests(SynchronousTestCase):
    """A newcomer asks the nodes of a network for connections."""

    def setUp(self) -> None:
        self.net = Net()
        self.addCleanup(self.net.stop)
        self.nodes = self.net.grow(3)

    def test_both_ends_punch_for_the_same_request(self) -> None:
        """
        One of them is the requester, and says when.
        """
        for node in self.nodes:
            self.net.crust(node).nat = NatKind.CONE
        newcomer = self.net.node()
        self.net.crust(newcomer).nat = NatKind.CONE
        self.net.until_joined()
        asked = dict(self.net.crust(newcomer).rendezvous)
        self.assertTrue(asked)
        answered = {token: each for node in self.nodes for token, each in self.net.crust(node).rendezvous}
        self.assertEqual(asked.keys(), answered.keys() & asked.keys())
        for token, ours in asked.items():
            self.assertNotEqual(ours.requester, answered[token].requester)
            requesters = ours if ours.requester else answered[token]
            # the way there and back is two to four latencies, within what a clock can tell apart
            self.assertTrue(0.0099 <= requesters.after <= 0.0501, requesters)
            self.assertIn(Rendezvous(False), (ours, answered[token]))
        self.net.settle(100)
        for node in (*self.nodes, newcomer):
            self.assertEqual(self.net.crust(node).expected, [])

    def test_nothing_is_punched_where_plain_dials_succeed(self) -> None:
        self.net.node()
        self.net.until_joined()
        for node in self.net.nodes:
            self.assertEqual(self.net.crust(node).rendezvous, [])


class GuessingTests(SynchronousTestCase):
    def test_only_the_symmetric_end_asks_for_guessed_ports(self) -> None:
        """Else the requests of the two ends could cross, and each end guess for the one of its own."""
        net = Net()
        self.addCleanup(net.stop)
        node = net.grow(2)[0]
        core = node._core
        assert core is not None
        sent: list[bytes] = []
        self.patch(core.connector, "_send", lambda kind, name, body, *way: sent.append(body))
        self.patch(core.attempts, "replaceable_tunnel", lambda name: tunnel_to(name, "8.8.8.8"))
        asked = []
        for seed, nat in enumerate((NatKind.CONE, NatKind.SYMMETRIC)):
            net.crust(node).nat = nat
            peer = Identity.from_seed(bytes([200 + seed]) * 32).name
            core.connector.request_link(peer, LinkUse.DIRECT).addErrback(lambda _: None)
            signed = decode(Signed, sent[-1], MAX_CONTROL_BYTES)
            asked.append(decode(ConnectRequest, signed.body, MAX_CONTROL_BYTES).guesses)
        self.assertEqual(asked, [False, True])

    def test_request_for_which_ports_are_guessed_is_not_given_up_for_another(self) -> None:
        """It has seconds to succeed, and the next chance comes in an hour."""
        net = Net()
        self.addCleanup(net.stop)
        core = net.grow(2)[0]._core
        assert core is not None
        peer = net.identity().name
        core.connector.improve(peer, LinkUse.DIRECT)
        (first,) = core.connector.requests.to(peer)
        for is_guessed in (True, False):
            self.patch(core.attempts.punches, "guesses", lambda name, nonce, says=is_guessed: says)
            core.connector.improve(peer, LinkUse.DIRECT)
            (request,) = core.connector.requests.to(peer)
            self.assertIs(request is first, is_guessed)


class ImprovingTests(SynchronousTestCase):
    """Requests under way to replace a tunnel, beside others to the same node."""

    def setUp(self) -> None:
        net = Net()
        self.addCleanup(net.stop)
        core = net.grow(2)[0]._core
        assert core is not None
        self.core, self.connector, self.peer = core, core.connector, net.identity().name

    def answer_in_a_full_room(self, expect: Callable[[object], bool]) -> OutgoingRequest:
        """Let the second of two requests be answered, for which the first makes room. Returns the second."""
        stream, member = self.connector.requests.to(self.peer)
        made_room = SimpleNamespace(nonce=stream.nonce)
        self.patch(self.core.attempts, "make_room", lambda peer, use, own: made_room)
        self.patch(self.core.attempts, "expect", expect)
        self.patch(connecting, "body_holds", lambda *args: True)
        response = ConnectResponse(self.core.node.name.raw, member.token, ())
        body = encode(Signed(self.peer.raw, encode(response), bytes(64)))
        self.connector.response_received(SimpleNamespace(body=body), self.peer, None)
        return member

    def test_request_that_makes_room_for_another_ends(self) -> None:
        """Else it would count as under way until its time is over, though nothing is dialled for it."""
        self.connector.improve(self.peer, LinkUse.DIRECT)
        self.connector.improve(self.peer, LinkUse.MEMBER)
        member = self.answer_in_a_full_room(lambda entry: False)
        self.assertEqual(self.connector.requests.to(self.peer), [member])

    def test_caller_whose_request_makes_room_may_stop_everything(self) -> None:
        """The answer must not go on with a request that has ended meanwhile."""
        connector, expected = self.connector, []
        caller = connector.request_link(self.peer, LinkUse.DIRECT).addErrback(lambda _: connector.stop())
        connector.improve(self.peer, LinkUse.MEMBER)
        self.answer_in_a_full_room(lambda entry: expected.append(entry) or True)
        self.assertEqual((self.successResultOf(caller), expected), (None, []))

    def test_request_to_replace_a_link_for_streams_seeks_nothing(self) -> None:
        """It cannot make a member, and would keep joining from it for as long as the tunnel lasts."""
        connector, peer = self.connector, self.peer
        linked = {LinkUse.DIRECT}
        self.patch(connector.requests, "linked", lambda name, use: name if use in linked else None)
        connector.improve(peer, LinkUse.DIRECT)
        self.assertFalse(connector.requests.is_seeking(peer))
        linked.clear()
        self.assertTrue(connector.requests.is_seeking(peer))
        linked.add(LinkUse.DIRECT)
        connector.improve(peer, LinkUse.MEMBER)
        self.assertTrue(connector.requests.is_seeking(peer))


class WaitingTests(SynchronousTestCase):
    """Several callers wait for one link."""

    def test_caller_that_gets_the_link_may_cancel_another_one(self) -> None:
        """The other one hears that it was cancelled, and not of the link."""
        net = Net()
        self.addCleanup(net.stop)
        here, *_, there = net.grow(3)
        client = net.node(role=Role.CLIENT, listen=())
        net.result(client.when_connected())
        target = next(node for node in (here, there) if net.crust(client).links[0].peer != node.node_name)
        first, second = (client.connect(target.node_name) for _ in range(2))
        first.addCallback(lambda link: (second.cancel(), link)[1])
        self.assertEqual(net.result(first).name, target.node_name)
        self.failureResultOf(second, CancelledError)


class TimeTests(SynchronousTestCase):
    """A request carries the network's time, as far as its sender knows it."""

    def setUp(self) -> None:
        self.net = Net()
        self.addCleanup(self.net.stop)
        core = self.net.grow(3)[0]._core
        assert core is not None
        self.core, self.connector = core, core.connector
        self.nobody = self.net.identity().name

    def hear(self, ahead: float) -> None:
        """All members report a time."""
        for entry in self.core.table:
            self.core.time.heard(entry.name, self.net.clock.seconds() + ahead)

    def test_request_with_a_wrong_time_is_given_up_when_the_time_is_known(self) -> None:
        asked = self.connector.request_link(self.nobody, LinkUse.MEMBER)
        self.hear(4.0)
        self.assertNoResult(asked)
        self.hear(86_400.0)
        self.failureResultOf(asked, ExpectedConnectionExpired)
        self.assertFalse(self.connector.requests.is_under_way(self.nobody, LinkUse.MEMBER))
        again = self.connector.request_link(self.nobody, LinkUse.MEMBER)
        self.connector.time_moved()
        self.assertNoResult(again)
        again.cancel()
        self.failureResultOf(again, CancelledError)

    def test_node_that_was_silent_is_asked_again_when_the_time_is_known(self) -> None:
        """It may have refused a wrong one."""
        with self.assertRaises(ExpectedConnectionExpired):
            self.net.result(self.connector.request_link(self.nobody, LinkUse.MEMBER))
        self.assertTrue(self.connector.requests.is_cooling_down(self.nobody))
        self.hear(-86_400.0)
        self.assertFalse(self.connector.requests.is_cooling_down(self.nobody))


class WayTests(SynchronousTestCase):
    """The ways by which a request goes."""

    def setUp(self) -> None:
        self.net = Net()
        self.addCleanup(self.net.stop)
        self.nodes = self.net.grow(2)

    def test_request_also_goes_by_our_own_link(self) -> None:
        """The informant may not know yet that its link is dead."""
        client = self.net.make_client()
        self.net.settle(5)
        proxy, other = sorted(
            (node._core for node in self.nodes if node._core is not None),
            key=lambda core: core.links.link_to(client.node_name) is None,
        )
        asked = proxy.connector.request_link(client.node_name, LinkUse.DIRECT, None, other.identity.name)
        self.assertEqual(self.net.result(asked).peer, client.node_name)

    def test_undeliverable_response_takes_other_ways(self) -> None:
        """It goes by the link of its request first, and then as the table says, a few times."""
        core = self.nodes[0]._core
        assert core is not None
        sent: list[tuple[Name, bool, int]] = []

        def send(
            kind: EnvelopeKind, name: Name, body: bytes, proxy: Name | None, via: object, attempt: int = 0
        ) -> int:
            sent.append((name, via is None, attempt))
            return len(sent)

        core.responder._send = send
        newcomer = self.net.make(self.net.identity(), Settings(contacts=(self.net.contact(self.nodes[0]),)))
        newcomer.startService()
        self.addCleanup(newcomer.stopService)
        self.net.network.run_until(lambda: sent)
        core.responder.undeliverable(99)
        del sent[1:]
        for number in range(1, 20):
            core.responder.undeliverable(number)
            core.responder.undeliverable(number)
        self.assertEqual(sent[0], (newcomer.node_name, False, 0))
        again = [(newcomer.node_name, True, attempt) for attempt in range(1, MAX_ATTEMPTS)]
        self.assertEqual(sent[1:], again)

    def test_undeliverable_request_takes_other_ways(self) -> None:
        """Each attempt takes another first hop, and their number is limited."""
        core = self.nodes[0]._core
        assert core is not None
        connector, nobody = core.connector, self.net.identity().name
        sent: list[tuple[Name | None, int]] = []

        def send(
            kind: EnvelopeKind, name: Name, body: bytes, proxy: Name | None, via: object, attempt: int = 0
        ) -> int:
            sent.append((proxy, attempt))
            return len(sent)

        connector._send = send
        informant = self.nodes[1].node_name
        asked = connector.request_link(nobody, LinkUse.MEMBER, None, informant)
        connector.undeliverable(99)
        for number in range(1, 20):
            connector.undeliverable(number)
            connector.undeliverable(number)  # it is to be sent again already
            self.net.settle(MAX_HINT_RETRY_SECONDS)
        most = MAX_ATTEMPTS
        self.assertEqual(sent, [(informant, 0), *((None, attempt) for attempt in range(most - 1))])
        with self.assertRaises(ExpectedConnectionExpired):
            self.net.result(asked)

    def test_cancelled_connect_asks_no_more(self) -> None:
        """Neither the request nor what it has set up outlives the last of its callers."""
        core = self.nodes[0]._core
        assert core is not None
        connector = core.connector
        sent: list[object] = []
        connector._send = lambda *way: sent.append(way) or 7
        nobody = self.net.identity().name
        callers = [self.nodes[0].connect(nobody) for _ in range(2)]
        self.net.settle(0.5)
        callers[0].cancel()
        self.failureResultOf(callers[0], CancelledError)
        self.assertTrue(connector.requests.is_under_way(nobody, LinkUse.DIRECT))
        connector.undeliverable(7)
        callers[1].cancel()
        self.failureResultOf(callers[1], CancelledError)
        self.assertFalse(connector.requests.is_under_way(nobody, LinkUse.DIRECT))
        self.net.settle(100)
        self.assertEqual(len(sent), 1)
        self.assertEqual(self.net.crust(self.nodes[0]).expected, [])

    def test_request_that_somebody_waits_for_is_sent_again_until_it_is_answered(self) -> None:
        """It may have vanished in a link of another node that is dead; one of joining is left to joining."""
        core = self.nodes[0]._core
        assert core is not None
        began, nobody, stranger = self.net.clock.seconds(), self.net.identity().name, self.net.identity().name
        sent: list[float] = []

        def send(kind: EnvelopeKind, name: Name, *way: object) -> int:
            if name == nobody:
                sent.append(round(self.net.clock.seconds() - began, 3))
            else:
                self.assertEqual((name, self.net.clock.seconds()), (stranger, began))
            return 7

        core.connector._send = send
        asked = core.connector.request_link(nobody, LinkUse.DIRECT)
        core.connector.request_link(stranger, LinkUse.MEMBER).addErrback(lambda _: None)
        self.net.settle(7.5)
        self.assertEqual(sent, [0, 1, 3, 7])
        (request,) = core.connector.requests.to(nobody)
        request.answered = True
        with self.assertRaises(ExpectedConnectionExpired):
            self.net.result(asked)
        self.assertEqual(sent, [0, 1, 3, 7])

    def test_request_that_names_an_address_that_is_not_ours_any_more_is_made_anew(self) -> None:
        """Its callers wait for the other one; an answer to the first leads to nothing."""
        core = self.nodes[0]._core
        assert core is not None
        connector, nobody = core.connector, self.net.identity().name
        asked = connector.request_link(nobody, LinkUse.DIRECT)
        (first,) = connector.requests.to(nobody)
        connector.ask_again(nobody)
        self.assertEqual(connector.requests.to(nobody), [first])
        self.patch(CandidateExchange, "ours", lambda _: (WireEndpoint(bytes((5, 5, 5, 5)), 5483),))
        connector.proxy_changed(self.nodes[1].node_name)
        (second,) = connector.requests.to(nobody)
        self.assertNotEqual((first.nonce, first.token), (second.nonce, second.token))
        self.assertNoResult(asked)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertEqual(connector.requests.to(nobody), [])
        self.assertEqual(self.net.crust(self.nodes[0]).expected, [])

    def test_settled_request_sends_nothing_more(self) -> None:
        """Even if it was to be sent again."""
        core = self.nodes[0]._core
        assert core is not None
        connector = core.connector
        sent: list[object] = []
        connector._send = lambda *way: sent.append(way) or 7
        asked = connector.request_link(self.net.identity().name, LinkUse.MEMBER)
        connector.undeliverable(7)
        connector.stop()
        with self.assertRaises(ServiceStopped):
            self.net.result(asked)
        self.net.settle(5)
        self.assertEqual(len(sent), 1)

    def test_request_after_a_silence_is_left_to_the_table_too(self) -> None:
        """The informant alone has failed once."""
        core = self.nodes[0]._core
        assert core is not None
        informant, nobody = self.nodes[1].node_name, self.net.identity().name
        ways: list[Name | None] = []
        core.connector._send = lambda kind, name, body, proxy, via, attempt=0: ways.append(proxy)
        for expected in ([informant], [None, informant]):
            ways.clear()
            asked = core.connector.request_link(nobody, LinkUse.MEMBER, None, informant)
            with self.assertRaises(ExpectedConnectionExpired):
                self.net.result(asked)
            self.assertEqual(ways, expected)


class ResetTests(SynchronousTestCase):
    """The first link after a loss replaces one that the other end still has: what it carried is void."""

    def test_request_that_was_sent_over_a_link_before_it_was_reset_goes_out_again(self) -> None:
        net = Net()
        self.addCleanup(net.stop)
        core = net.grow(3)[0]._core
        assert core is not None
        connector, peer = core.connector, core.links.peers[0]
        connector.request_link(net.identity().name, LinkUse.DIRECT).addErrback(lambda _: None)
        (request,) = connector.requests
        sent: list[object] = []
        self.patch(request, "_send", lambda *what: sent.append(what))
        reason = LinkClosed(CloseReason.CONNECTION_LOST)
        for since, count in ((net.clock.seconds() + 1, 0), (peer.since, 1)):
            connector.peer_reset(replace(peer, since=since), reason)
            self.assertEqual(len(sent), count)
        request.answered = True
        connector.peer_reset(peer, reason)
        self.assertEqual(len(sent), 1)
