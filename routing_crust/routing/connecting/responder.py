"""
The responder's part of the exchange that L{routing_crust.routing.connecting.connector} begins.

The validator judges a ConnectRequest first. If it is accepted, we expect a link with its nonce, send a
ConnectResponse, and dial the requester, at once; when its ConnectGo comes, we punch. A refused request gets
no answer. The response goes by the link that the request came by, and from there the way that the tables say;
where that ends, it is sent again with another first hop. It may also vanish in a link that is dead already:
the requester repeats its request then, and gets the same response again, but nothing more is dialled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from twisted.logger import Logger

from ...bounded_dict import BoundedDict
from ...crust.interfaces import ILink, account_of
from ...history import Way
from ...limits import MAX_ATTEMPTS
from ...names import Name
from ...quietlog import QuietLog
from ...timing.shares import OURSELVES
from ...wire.codec import MAX_CONTROL_BYTES, decode
from ...wire.messages import (
    ConnectGo,
    ConnectResponse,
    Envelope,
    EnvelopeKind,
)
from ..control import SendControl
from ..envelopes import RESPONSE_LABEL, sign_body
from ..nat_pairs import told_nat
from ..node import Node
from .attempts import Attempts
from .candidates import CandidateExchange
from .connect_request_validator import IncomingRequest
from .expected import ExpectedRequest
from .outgoing_requests import OutgoingRequests
from .relay_choice import RelayChoice

MAX_SENT_RESPONSES: Final = 256
"""Envelopes with responses that are remembered, to be sent again if they find no way."""
MAX_ANSWERED_REQUESTS: Final = 256
"""Requests whose responses are remembered, to be sent again if the request is repeated."""
MIN_REPEAT_SECONDS: Final = 0.5
"""Between two answers to one request: copies that took different routes get one."""
MAX_REPEATED_ANSWERS: Final = 10
"""Times that one request is answered again at most."""


@dataclass(frozen=True, slots=True)
class _SentResponse:
    """
    @ivar proxy: the requester's, if it has one.
    @ivar attempt: how often it was sent before.
    """

    peer: Name
    body: bytes
    proxy: Name | None
    attempt: int = 0


@dataclass(slots=True)
class _Answered:
    """
    @ivar request: the request, as it was signed.
    @ivar body: the signed response.
    @ivar at: when it was sent last, in seconds.
    @ivar repeated: how often it was sent again.
    """

    request: bytes
    body: bytes
    at: float
    repeated: int = 0


class ConnectResponder:
    """Made at each start, told which requests are accepted, and fed with ConnectGos."""

    log = Logger()

    def __init__(
        self,
        node: Node,
        attempts: Attempts,
        candidates: CandidateExchange,
        send: SendControl,
        relays: RelayChoice,
        requests: OutgoingRequests,
    ) -> None:
        self._node = node
        self._attempts = attempts
        self._candidates = candidates
        self._send = send
        self._relays = relays
        self._requests = requests
        self._quiet = QuietLog(self.log, node.clock.seconds)
        self._sent: BoundedDict[int, _SentResponse] = BoundedDict(MAX_SENT_RESPONSES)
        self._answered: BoundedDict[tuple[Name, bytes], _Answered] = BoundedDict(MAX_ANSWERED_REQUESTS)

    def go_received(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        """
        A requester begins to punch.

        @raise WireError: it is no ConnectGo.
        """
        message = decode(ConnectGo, envelope.body, MAX_CONTROL_BYTES)
        self._attempts.punches.go(source, message.nonce)

    def refuse(self, peer: Name, problem: str) -> None:
        """Say why in the log and in the history; the peer gets no answer."""
        # minor: a request that may be forged must not displace the history of another peer
        said = f"a request in its name came, which we ignored: {problem}"
        self._node.crust.history.tried(peer, Way.REQUEST, "", said, minor=True)
        self._quiet.info(
            problem, "ignored a request for a connection by {peer}: {reason}", peer=peer, reason=problem
        )

    def accept(self, asked: IncomingRequest) -> None:
        """Expect a link, respond by the link that the request came by, and dial."""
        peer, request = asked.peer, asked.request
        self._node.crust.history.tried(peer, Way.REQUEST, "", "it asked us, and we agreed", good=True)
        endpoints = self._candidates.dialable(peer, request.candidates, "its request")
        # in this order: what the peer has given up goes before the limits are looked at
        self._attempts.withdraw_earlier(peer, request)
        self._attempts.make_room(peer, request.use, issued=request.issued)
        asked_by = account_of(asked.link)
        if self._attempts.expect(ExpectedRequest(peer, request.nonce, endpoints, request, asked_by)):
            # names are free: a flood of requests must not displace what those say that have tunnels to us
            self._relays.told(peer, request.relays)
            # to a third party it makes no difference which of two that want a link asks first
            if self._attempts.wants_better(peer) or self._requests.to(peer):
                wanted = self._candidates.as_answered(peer, endpoints, asked_by)
                endpoints, asked_by = (wanted, OURSELVES) if wanted else (endpoints, asked_by)
            # crust must know the request before the response can bring a connection for it
            self._attempts.punches.expect(
                peer, request.nonce, request.use, requester=False, asked_by=asked_by
            )
            self._respond(asked)
            self._attempts.punches.begin(peer, request.nonce, endpoints, request.nat, guesses=request.guesses)

    def _respond(self, asked: IncomingRequest) -> None:
        peer, request = asked.peer, asked.request
        response = ConnectResponse(
            peer.raw,
            asked.envelope.body,
            self._candidates.ours(),
            told_nat(self._node.crust),
            self._relays.to_name(peer, [Name(each.name) for each in request.relays]),
            request.guesses and self._attempts.replaceable_tunnel(peer) is not None,
        )
        body = sign_body(self._node.identity, self._node.settings.network, RESPONSE_LABEL, response)
        self._answered.put(asked.key, _Answered(asked.envelope.body, body, self._node.clock.seconds()))
        self._send_response(_SentResponse(peer, body, asked.proxy), asked.link)

    def repeated(self, asked: IncomingRequest) -> None:
        """
        Send the response again, by the link that the copy came by, while the link of the request is expected.
        Nothing is signed, expected or dialled for it, so that a stranger's copies cost no more than they are.
        """
        answered = self._answered.get(asked.key)
        # a forged copy has the nonce, but not the signed bytes
        if answered is None or answered.request != asked.envelope.body:
            return
        if self._attempts.expected.match(asked.peer, asked.request.nonce) is None:
            del self._answered[asked.key]
            return
        now = self._node.clock.seconds()
        if now - answered.at >= MIN_REPEAT_SECONDS and answered.repeated < MAX_REPEATED_ANSWERS:
            answered.at = now
            answered.repeated += 1
            self._send_response(_SentResponse(asked.peer, answered.body, asked.proxy), asked.link)

    def undeliverable(self, envelope_id: int) -> None:
        """An envelope of ours found no way on: if it carried a response, that takes another way."""
        sent = self._sent.pop(envelope_id, None)
        if sent is not None and sent.attempt + 1 < MAX_ATTEMPTS:
            # by the tables from now on: the link that the request came by has led nowhere
            self._send_response(replace(sent, attempt=sent.attempt + 1), None)

    def _send_response(self, response: _SentResponse, link: ILink | None) -> None:
        envelope_id = self._send(
            EnvelopeKind.CONNECT_RESPONSE,
            response.peer,
            response.body,
            response.proxy,
            link,
            response.attempt,
        )
        if envelope_id is not None:
            self._sent[envelope_id] = response
