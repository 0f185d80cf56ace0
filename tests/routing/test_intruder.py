"""
What a peer may not do: each bad Hello, frame or request, what becomes of the link, and that the honest ones
do not notice.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from routing_crust import Role
from routing_crust.crust.interfaces import ILink
from routing_crust.endpoints import Endpoint
from routing_crust.errors import CloseReason, PeerUnreachable
from routing_crust.limits import MAX_CONTROL_BURST
from routing_crust.routing.envelopes import RECORD_LABEL, REQUEST_LABEL, RESPONSE_LABEL, Sealer
from routing_crust.routing.links.handshake import LABEL
from routing_crust.wire.codec import decode, encode, to_wire
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import (
    ClientRecord,
    Confirmation,
    ConfirmationAck,
    ConnectResponse,
    Envelope,
    EnvelopeKind,
    GroupQuery,
    LinkUse,
    Sealed,
    WireRole,
)
from tests.routing.net import Net

from .intruder import Intruder, IntruderCase


class HelloTests(IntruderCase):
    def refused(self, reason: CloseReason, **changes: Any) -> None:
        link = self.intruder.dial(self.node)
        link.send(FrameKind.HELLO, self.intruder.hello(link, **changes))
        self.assert_closed(reason)
        self.assertEqual(self.intruder.frames, [])  # a stranger learns nothing

    def test_hello_of_another_version_is_refused(self) -> None:
        self.refused(CloseReason.UNSUPPORTED_VERSION, versions=(7, 8))

    def test_hello_of_another_network_is_refused(self) -> None:
        self.refused(CloseReason.WRONG_NETWORK, network="other")

    def test_hello_recorded_on_another_link_is_refused(self) -> None:
        """A Hello that was recorded on another link is worth nothing."""
        self.refused(CloseReason.PROTOCOL_ERROR, binding=bytes(32))

    def test_hello_signed_for_another_purpose_is_refused(self) -> None:
        self.refused(CloseReason.PROTOCOL_ERROR, label="connect-request")

    def test_hello_for_an_unknown_request_is_refused(self) -> None:
        self.refused(CloseReason.NOT_WANTED, purpose=bytes(16))

    def test_hello_with_a_purpose_of_wrong_length_is_refused(self) -> None:
        self.refused(CloseReason.PROTOCOL_ERROR, purpose=b"short")

    def test_garbage_for_a_hello_closes_the_link(self) -> None:
        link = self.intruder.dial(self.node)
        link.send(FrameKind.HELLO, b"garbage")
        self.assert_closed(CloseReason.PROTOCOL_ERROR)

    def test_body_that_is_no_hello_is_refused(self) -> None:
        link = self.intruder.dial(self.node)
        body = encode((1, 2, 3))
        signature = self.intruder.identity.sign(LABEL, "default", link.binding, body)
        link.send(FrameKind.HELLO, encode(Sealed(body, signature)))
        self.assert_closed(CloseReason.PROTOCOL_ERROR)

    def test_link_without_a_hello_is_closed_in_time(self) -> None:
        self.intruder.dial(self.node)
        self.net.settle(9)
        self.assertEqual(self.intruder.lost, [])
        self.net.settle(2)
        self.assertEqual([each.reason for each in self.intruder.lost], [CloseReason.HELLO_TIMEOUT])

    def test_log_says_why_a_link_came_to_nothing(self) -> None:
        """Links that are in order are not mentioned, nor is anything said twice."""
        lines: list[Any] = []
        globalLogPublisher.addObserver(lines.append)
        self.addCleanup(globalLogPublisher.removeObserver, lines.append)
        self.intruder.dial(self.node)  # no Hello
        self.intruder.dial(self.node).send(200, bytes(5000))  # too large for one that is not verified
        link = self.intruder.dial(self.node)
        link.send(FrameKind.HELLO, self.intruder.hello(link, network="other"))
        link = self.intruder.dial(self.node)
        link.send(FrameKind.HELLO, self.intruder.hello(link))  # no Confirmation
        self.intruder.dial(self.node).close(CloseReason.NO_LONGER_NEEDED)
        self.net.settle(20)
        texts = [formatEvent(each) for each in lines if each["log_level"] is not LogLevel.debug]
        said = [each for each in texts if str(self.intruder.identity.name) in each and "link" in each]
        self.assertEqual(len(said), 4)
        for part in (
            "ended before its Hello, unconfirmed: no verified Hello came in time",
            "ended after its Hello, unconfirmed: ",
            "over the limit of 4096",
            "the peer is of network 'other'",
        ):
            self.assertEqual(len([each for each in said if part in each]), 1, part)

    def test_frame_before_the_hello_closes_the_link(self) -> None:
        link = self.intruder.dial(self.node)
        link.send(FrameKind.MESSAGE, b"hello?")
        self.assert_closed(CloseReason.PROTOCOL_ERROR)

    def test_second_hello_closes_the_link(self) -> None:
        link = self.attached()
        link.send(FrameKind.HELLO, self.intruder.hello(link))
        self.assert_closed(CloseReason.PROTOCOL_ERROR)

    def test_stale_incarnation_is_refused(self) -> None:
        """A copy of an earlier start is refused while the later one is linked."""
        self.attached(incarnation=5)
        link = self.intruder.dial(self.node)
        link.send(FrameKind.HELLO, self.intruder.hello(link, incarnation=4))
        self.assert_closed(CloseReason.STALE)

    def test_hello_that_answers_for_another_purpose_is_refused(self) -> None:
        """The end that is dialled answers for the purpose that it was asked for, or loses the link."""
        listener = Intruder(self.net)
        probe = self.node.connect(listener.identity.name)
        link = self.net.result(
            self.net.crust(self.node).connect(
                listener.crust.endpoints, listener.identity.name, bytes(16), False
            )
        )
        self.net.settle(0.1)
        there = listener.accepted[0]
        there.send(FrameKind.HELLO, listener.hello(there, purpose=b"x" * 16))
        self.net.settle(0.1)
        self.assertEqual([each.reason for each in listener.lost], [CloseReason.PROTOCOL_ERROR])
        self.assertEqual(link.peer, listener.identity.name)
        probe.addErrback(lambda failure: failure.trap(CancelledError))
        probe.cancel()
        self.net.result(listener.crust.stop())


class FrameTests(IntruderCase):
    def test_message_before_the_confirmation_closes_the_link(self) -> None:
        """Messages have to wait until the link is confirmed."""
        link = self.intruder.dial(self.node)
        link.send(FrameKind.HELLO, self.intruder.hello(link))
        link.send(FrameKind.MESSAGE, b"hello?")
        self.assert_closed(CloseReason.PROTOCOL_ERROR)

    def test_frame_of_an_unknown_kind_closes_the_link(self) -> None:
        link = self.attached()
        link.send(99, b"")
        self.assert_closed(CloseReason.PROTOCOL_ERROR)

    def test_garbage_of_each_kind_closes_the_link(self) -> None:
        for kind in (
            FrameKind.CONFIRMATION,
            FrameKind.CONFIRMATION_ACK,
            FrameKind.ENVELOPE,
            FrameKind.MESSAGE,
            FrameKind.ACK,
        ):
            self.net.result(self.intruder.crust.stop())
            self.intruder = Intruder(self.net)
            self.attached().send(kind, b"\xc1garbage")
            self.assert_closed(CloseReason.PROTOCOL_ERROR)

    def test_confirmation_from_the_wrong_end_closes_the_link(self) -> None:
        """Only the end with the smaller name decides."""
        link = self.attached()
        if self.node.node_name < self.intruder.identity.name:
            link.send(FrameKind.CONFIRMATION, encode(Confirmation(1 << 60, LinkUse.ATTACHED, True)))
        else:
            link.send(FrameKind.CONFIRMATION_ACK, encode(ConfirmationAck(1)))
        self.assert_closed(CloseReason.PROTOCOL_ERROR)

    def test_garbage_inside_an_envelope_is_dropped(self) -> None:
        """The relay that passed the envelope on is not to blame, so its link stays."""
        link = self.attached()
        for kind in (EnvelopeKind.CONNECT_REQUEST, EnvelopeKind.CONNECT_RESPONSE, EnvelopeKind.CLIENT_RECORD):
            link.send(FrameKind.ENVELOPE, self.intruder.envelope(self.node, kind, b"\xc1"))
        for kind in (EnvelopeKind.GROUP_QUERY, EnvelopeKind.GROUP_ANSWER):
            link.send(FrameKind.ENVELOPE, self.intruder.envelope(self.node, kind, b"\xc1"))
        self.net.settle(1)
        self.assertEqual(self.intruder.lost, [])

    def test_client_over_max_clients_is_refused(self) -> None:
        """The one that is too many is refused, with the reason."""
        full = Net(seed=7)
        first = full.node(max_clients=1)
        full.node()
        full.until_joined()
        full.settle(2)
        one = full.node(role=Role.CLIENT, listen=())
        full.result(one.when_connected())
        intruder = Intruder(full)
        link = intruder.dial(first)
        link.send(FrameKind.HELLO, intruder.hello(link))
        full.settle(1)
        self.assertEqual([each.reason for each in intruder.lost], [CloseReason.TOO_MANY_LINKS])
        full.stop()


class RequestTests(IntruderCase):
    """Bad requests and responses get no answer, and cause no dial."""

    def setUp(self) -> None:
        super().setUp()
        self.link = self.attached()
        self.dials = self.net.network.dials
        self.intruder.frames.clear()

    def ask(self, label: str = REQUEST_LABEL, **changes: Any) -> None:
        body = self.intruder.signed(label, self.intruder.request(self.node, **changes))
        self.send(EnvelopeKind.CONNECT_REQUEST, body)

    def send(self, kind: EnvelopeKind, body: bytes) -> None:
        self.link.send(FrameKind.ENVELOPE, self.intruder.envelope(self.node, kind, body))
        self.net.settle(1)

    def assert_silence(self) -> None:
        self.assertEqual(self.net.network.dials, self.dials)
        self.assertNotIn(FrameKind.ENVELOPE, self.intruder.kinds())

    def test_good_request_is_answered(self) -> None:
        """The requests of the tests below differ from this one only in what they name."""
        self.ask()
        self.assertEqual(self.net.network.dials, self.dials + 1)
        self.assertIn(FrameKind.ENVELOPE, self.intruder.kinds())

    def test_attached_client_that_asks_to_be_a_member_gets_no_answer(self) -> None:
        client = Intruder(self.net)
        link = client.dial(self.node)
        link.send(FrameKind.HELLO, client.hello(link, role=WireRole.CLIENT))
        self.net.settle(0.1)
        link.send(FrameKind.CONFIRMATION, encode(Confirmation(1, LinkUse.ATTACHED, False)))
        for kind, payload in client.frames:
            if kind == FrameKind.CONFIRMATION:
                epoch = decode(Confirmation, payload).epoch
                link.send(FrameKind.CONFIRMATION_ACK, encode(ConfirmationAck(epoch)))
        self.net.settle(0.1)
        body = client.signed(REQUEST_LABEL, client.request(self.node))
        link.send(FrameKind.ENVELOPE, client.envelope(self.node, EnvelopeKind.CONNECT_REQUEST, body))
        self.net.settle(1)
        self.assertEqual(client.lost, [])
        self.assertNotIn(FrameKind.ENVELOPE, client.kinds())
        self.assertEqual(self.net.network.dials, self.dials + 1)  # its own
        self.net.result(client.crust.stop())

    def test_client_that_asks_to_be_a_member_is_refused(self) -> None:
        """It would have a place in the table, and could not route."""
        nonce = b"n" * 16
        self.ask(nonce=nonce)
        accepted = self.intruder.accepted[-1]
        hello = self.intruder.hello(accepted, purpose=nonce, role=WireRole.CLIENT)
        accepted.send(FrameKind.HELLO, hello)
        self.net.settle(1)
        self.assertEqual([each.reason for each in self.intruder.lost], [CloseReason.NOT_WANTED])
        core = self.node._core
        assert core is not None
        self.assertNotIn(self.intruder.identity.name, core.table)

    def test_replayed_request_is_not_acted_upon(self) -> None:
        """
        Whose answer was lost repeats its request, so it gets the same answer while its link is expected; but
        nothing more is dialled, and afterwards there is silence.
        """
        body = self.intruder.signed(REQUEST_LABEL, self.intruder.request(self.node))
        answers = []
        for _ in range(2):
            self.intruder.frames.clear()
            self.send(EnvelopeKind.CONNECT_REQUEST, body)
            frames = (each for kind, each in self.intruder.frames if kind == FrameKind.ENVELOPE)
            answers.extend(decode(Envelope, each).body for each in frames)
        self.assertEqual(answers, [answers[0]] * 2)
        self.assertEqual(self.net.network.dials, self.dials + 1)
        core = self.node._core
        assert core is not None
        core.attempts.withdraw_all(self.intruder.identity.name)
        self.dials = self.net.network.dials
        self.intruder.frames.clear()
        self.send(EnvelopeKind.CONNECT_REQUEST, body)
        self.assert_silence()

    def test_request_for_another_recipient_is_refused(self) -> None:
        self.ask(recipient=self.nodes[1].node_name.raw)
        self.assert_silence()

    def test_expired_request_is_refused(self) -> None:
        now = self.net.clock.seconds()
        self.ask(issued=now - 5000, expiry=now - 4000)
        self.assert_silence()

    def test_late_expiry_does_not_prolong_a_request(self) -> None:
        """A request is valid for a limited time, whatever its expiry says."""
        self.ask(issued=self.net.clock.seconds() - 5000, expiry=1e11)
        self.assert_silence()

    def test_request_from_the_future_is_refused(self) -> None:
        now = self.net.clock.seconds()
        self.ask(issued=now + 5000, expiry=now + 5090)
        self.assert_silence()

    def test_request_with_a_bad_signature_is_refused(self) -> None:
        self.ask(label=RESPONSE_LABEL)
        self.assert_silence()

    def test_request_for_an_attachment_is_refused(self) -> None:
        self.ask(use=LinkUse.ATTACHED)
        self.assert_silence()

    def test_request_of_an_earlier_incarnation_is_refused(self) -> None:
        self.ask(incarnation=0)
        self.assert_silence()

    def test_forbidden_addresses_of_a_request_are_not_dialled(self) -> None:
        """The request is answered, but such addresses are not dialled."""
        places = ["127.0.0.1:5000", "10.1.2.3:5000", "169.254.169.254:8080", "198.18.0.9:22", "[::1]:5000"]
        self.ask(candidates=tuple(to_wire(Endpoint.from_text(each)) for each in places))
        self.assertEqual(self.net.network.dials, self.dials)
        self.assertIn(FrameKind.ENVELOPE, self.intruder.kinds())

    def test_request_over_the_limit_of_its_peer_is_refused(self) -> None:
        """The third expected connection of one peer, if that has made newer requests than this."""
        for _ in range(2):
            self.ask()
        self.dials = self.net.network.dials
        self.intruder.frames.clear()
        self.ask(issued=self.net.clock.seconds() - 60)
        self.assert_silence()

    def test_newer_request_over_the_limit_of_its_peer_takes_the_place_of_its_oldest(self) -> None:
        """So that as few as before are expected."""
        core = self.node._core
        assert core is not None
        for _ in range(5):
            self.ask()
        self.assertEqual(len(core.attempts.expected.of_peer(self.intruder.identity.name)), 2)

    def test_response_to_no_request_is_ignored(self) -> None:
        token = self.intruder.signed(REQUEST_LABEL, self.intruder.request(self.node))
        response = ConnectResponse(self.node.node_name.raw, token, ())
        self.send(EnvelopeKind.CONNECT_RESPONSE, self.intruder.signed(RESPONSE_LABEL, response))
        self.assert_silence()

    def test_response_with_another_token_is_ignored(self) -> None:
        """A response must bring back the very request that we signed."""
        asked = self.node.connect(self.intruder.identity.name)
        self.net.settle(1)
        token = self.intruder.signed(REQUEST_LABEL, self.intruder.request(self.node))
        candidates = tuple(to_wire(each) for each in self.intruder.crust.endpoints)
        response = ConnectResponse(self.node.node_name.raw, token, candidates)
        self.send(EnvelopeKind.CONNECT_RESPONSE, self.intruder.signed(RESPONSE_LABEL, response))
        self.assertEqual(self.net.network.dials, self.dials)
        self.assertRaises(PeerUnreachable, self.net.result, asked, 120)

    def test_response_with_a_bad_signature_is_ignored(self) -> None:
        asked = self.node.connect(self.intruder.identity.name)
        self.net.settle(1)
        envelopes = [
            decode(Envelope, each) for kind, each in self.intruder.frames if kind == FrameKind.ENVELOPE
        ]
        requests = [each for each in envelopes if each.kind is EnvelopeKind.CONNECT_REQUEST]
        candidates = tuple(to_wire(each) for each in self.intruder.crust.endpoints)
        response = ConnectResponse(self.node.node_name.raw, requests[-1].body, candidates)
        self.send(EnvelopeKind.CONNECT_RESPONSE, self.intruder.signed(REQUEST_LABEL, response))
        self.assertEqual(self.net.network.dials, self.dials)
        self.send(EnvelopeKind.CONNECT_RESPONSE, self.intruder.signed(RESPONSE_LABEL, response))
        self.assertEqual(self.net.network.dials, self.dials + 1)
        self.assertRaises(PeerUnreachable, self.net.result, asked, 400)

    def test_client_record_with_a_bad_signature_is_ignored(self) -> None:
        """A node can publish a proxy for its own name only."""
        now = self.net.clock.seconds()
        record = ClientRecord(self.node.node_name.raw, now, now + 100)
        self.send(EnvelopeKind.CLIENT_RECORD, self.intruder.signed(RECORD_LABEL + "x", record))
        clients = self.node._core.clients  # type: ignore[union-attr]
        self.assertEqual(len(clients), 0)
        self.send(EnvelopeKind.CLIENT_RECORD, self.intruder.signed(RECORD_LABEL, record))
        self.assertEqual(clients.proxy_of(self.intruder.identity.name), self.node.node_name)

    def test_control_messages_over_the_rate_go_unanswered(self) -> None:
        """More than the limit allows goes unanswered; what comes later is answered again."""
        for _ in range(300):
            self.query(self.link)
        self.net.settle(0.1)
        self.assertEqual(len(self.intruder.frames), MAX_CONTROL_BURST)
        self.net.settle(1)
        self.query(self.link)
        self.net.settle(0.1)
        self.assertEqual(len(self.intruder.frames), MAX_CONTROL_BURST + 1)

    def test_new_link_brings_no_new_control_messages(self) -> None:
        for _ in range(300):
            self.query(self.link)
        self.net.settle(0.1)
        self.link.close(CloseReason.NO_LONGER_NEEDED)
        self.net.settle(0.1)
        link = self.attached()
        for _ in range(300):
            self.query(link)
        self.net.settle(0.1)
        # the seconds in between bring a few
        answers = self.intruder.kinds().count(FrameKind.ENVELOPE)
        self.assertGreater(answers, MAX_CONTROL_BURST)
        self.assertLess(answers, MAX_CONTROL_BURST * 3 // 2)

    def query(self, link: ILink) -> None:
        """A lookup by the intruder."""
        sealer = Sealer(self.intruder.identity, "default", 20, self.net.random)
        envelope = sealer.seal(
            sealer.new_trace(),
            EnvelopeKind.GROUP_QUERY,
            self.node.node_name,
            encode(GroupQuery(bytes(16), bytes(32))),
            nearest=True,
            source_proxy=self.node.node_name.raw,
        )
        link.send(FrameKind.ENVELOPE, encode(envelope))
