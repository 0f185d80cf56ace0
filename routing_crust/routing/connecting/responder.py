"""
Answering connection requests: the responder's part of the exchange that
L{routing_crust.routing.connecting.connector} begins.

A ConnectRequest is judged first. If it is accepted, we expect a link with its nonce, send a ConnectResponse,
and dial the requester, at once; when its ConnectGo comes, we punch. A refused request gets no answer.
"""

from __future__ import annotations

from twisted.logger import Logger

from ...crust.interfaces import ILink
from ...history import Way
from ...names import Name
from ...quietlog import QuietLog
from ...wire.codec import decode
from ...wire.messages import (
    ConnectGo,
    ConnectRequest,
    ConnectResponse,
    Envelope,
    EnvelopeKind,
    Signed,
)
from ..control import SendControl
from ..node import Node
from .attempts import Attempts
from .candidates import Candidates
from .connect_request_validator import ConnectRequestValidator
from .expected import ExpectedRequest
from .relay_choice import RelayChoice
from .signing import RESPONSE_LABEL, sign


class ConnectResponder:
    """Made at each start, and fed with requests and ConnectGos."""

    log = Logger()

    def __init__(
        self,
        node: Node,
        validator: ConnectRequestValidator,
        attempts: Attempts,
        candidates: Candidates,
        send: SendControl,
        relays: RelayChoice,
    ) -> None:
        self._node = node
        self._validator = validator
        self._attempts = attempts
        self._candidates = candidates
        self._send = send
        self._relays = relays
        self._quiet = QuietLog(self.log, node.clock.seconds)

    def request_received(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        """
        A node asks us for a connection.

        @param link: the link that the request came by; the response goes back the same way.
        @raise WireError: it is no request; the relay that passed it on is not to blame.
        """
        signed = decode(Signed, envelope.body, self._node.settings.max_control)
        request = decode(ConnectRequest, signed.body, self._node.settings.max_control)
        peer = Name.of_key(signed.key)
        if self._validator.has_seen(peer, request.nonce):
            return
        problem = self._validator.problem_with(peer, signed, request)
        if problem:
            self._refuse(peer, problem)
        else:
            self._accept(peer, request, envelope, link)

    def go_received(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        """
        A requester begins to punch.

        @raise WireError: it is no ConnectGo.
        """
        message = decode(ConnectGo, envelope.body, self._node.settings.max_control)
        self._attempts.punches.go(source, message.nonce)

    def _refuse(self, peer: Name, problem: str) -> None:
        # minor, since the request may be forged, or come from anybody: it must displace no other history
        said = f"somebody asked us in its name, which we ignored: {problem}"
        self._node.history.tried(peer, Way.REQUEST, "", said, minor=True)
        self._quiet.info(
            problem, "ignored a request for a connection by {peer}: {reason}", peer=peer, reason=problem
        )

    def _accept(self, peer: Name, request: ConnectRequest, envelope: Envelope, link: ILink | None) -> None:
        self._node.history.tried(peer, Way.REQUEST, "", "it asked us, and we agreed", good=True)
        endpoints = self._candidates.dialable(peer, request.candidates, "its request")
        self._attempts.withdraw_earlier(peer, request)
        self._attempts.make_room(peer)
        if self._attempts.expect(ExpectedRequest(peer, request.nonce, endpoints, request)):
            # crust takes connections for the request before the response can bring any
            self._attempts.punches.expect(peer, request.nonce, request.use, requester=False)
            self._respond(peer, request, envelope, link)
            self._attempts.punches.begin(peer, request.nonce, endpoints, request.nat)

    def _respond(self, peer: Name, request: ConnectRequest, envelope: Envelope, link: ILink | None) -> None:
        response = ConnectResponse(
            peer.raw,
            envelope.body,
            self._candidates.ours(),
            self._node.crust.nat,
            self._relays.to_name(peer, [Name(each.name) for each in request.relays]),
        )
        proxy = Name(envelope.source_proxy) if envelope.source_proxy else None
        body = sign(self._node, RESPONSE_LABEL, response)
        self._send(EnvelopeKind.CONNECT_RESPONSE, peer, body, proxy, link)
