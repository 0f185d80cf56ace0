"""
Asking for connections, and being asked: ConnectRequest, ConnectResponse and what is expected after them.

Order of messages, A asking B: ConnectRequest (A to B, by name), ConnectResponse with A's signed request as
its token (B to A); B dials A as it sends it, A dials B as it gets it; if that is not enough, ConnectGo (A to
B), and both punch (L{routing_crust.routing.connecting.rendezvous}); on each connection the Hello names the
request's nonce. A request that is not wanted is met with silence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from random import Random
from typing import Final, Protocol

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...config import Settings
from ...crust.interfaces import ICrust, ILink
from ...endpoints import Endpoint, PathKind
from ...errors import ExpectedConnectionExpired, ServiceStopped
from ...history import Way
from ...identity import Identity
from ...names import Name
from ...quietlog import QuietLog
from ...wire.codec import decode, encode, to_wire
from ...wire.messages import (
    NONCE_BYTES,
    ConnectRequest,
    ConnectResponse,
    Envelope,
    EnvelopeKind,
    LinkUse,
    Signed,
    WireContact,
    WireEndpoint,
)
from ..links.peer import Accept, Peer, PeerListener
from ..links.registry import LinkRegistry
from .attempts import Attempts
from .connect_request_validator import REQUEST_LABEL, ConnectRequestValidator
from .expected import ExpectedConnections, ExpectedRequest, ExpectedResponse
from .outgoing_request import OutgoingRequest, SendControl
from .request_cooldown import RequestCooldown

RESPONSE_LABEL: Final = "connect-response"


class TunnelMaker(Protocol):
    """Who knows through whom tunnels can go: see L{routing_crust.routing.connecting.tunnel_manager}."""

    def relays(self, other: Name, theirs: Collection[Name] = ()) -> tuple[WireContact, ...]:
        """Who may be in the middle of a tunnel to us, for a node that has named C{theirs}."""

    def open(self, peer: Name, nonce: bytes, theirs: Sequence[Name]) -> Deferred[ILink]:
        """Make one for a request of ours, through one of C{theirs} or somebody else."""


class Connector(PeerListener):
    """
    Made by the service at each start, fed with requests, responses and news of links, discarded after
    L{stop}.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        clock: IReactorTime,
        random: Random,
        incarnation: int,
        crust: ICrust,
        send: SendControl,
        wants: Callable[[Name, LinkUse, Endpoint | None], bool],
        links: LinkRegistry,
        network_now: Callable[[], float],
        tunnels: TunnelMaker,
    ) -> None:
        """
        @param network_now: tells the network's time, for our requests and those of others.
        @param wants: whether a link of this use to a node at such an endpoint is wanted.
        """
        self._settings = settings
        self._identity = identity
        self._clock = clock
        self._random = random
        self._incarnation = incarnation
        self._crust = crust
        self._send = send
        self._links = links
        self._quiet = QuietLog(self.log, clock.seconds)
        self._asked: dict[tuple[Name, LinkUse], OutgoingRequest] = {}
        self._cooldown = RequestCooldown(clock.seconds)
        self._network_now = network_now
        self._validator = ConnectRequestValidator(settings, identity, clock, crust, links, wants, network_now)
        self._tunnels = tunnels
        self._attempts = Attempts(settings, identity.name, clock, crust, links, tunnels.open)
        self._punches = self._attempts.punches
        self._stopped = False

    @property
    def expected(self) -> ExpectedConnections:
        """The links that are expected."""
        return self._attempts.expected

    def ask(
        self, name: Name, use: LinkUse, via: ILink | None = None, informant: Name | None = None
    ) -> Deferred[ILink]:
        """
        Ask a node for a connection. While a request to it is under way, others share it.

        @param via: the link to ask by; C{None} leaves it to the routing table.
        @param informant: a node that can reach it, if one is known.
        @return: fires with the confirmed link, at once if there is one; fails with
            L{ExpectedConnectionExpired} when the node does not answer within C{request_again} seconds or no
            link came of its answer in C{expected_timeout}, or with L{ServiceStopped}.
        """
        peer = self._linked(name, use)
        if peer is not None:
            return succeed(peer.link)
        if self._stopped:
            return fail(ServiceStopped("the service has been stopped"))
        # a request for more is not one for less: it may be refused where the other would not be
        asked = self._asked.get((name, use))
        if asked is None:
            asked = self._request(name, use, via, None if informant == name else informant)
        waiter: Deferred[ILink] = Deferred(asked.waiting.remove)
        asked.waiting.append(waiter)
        return waiter

    def improve(self, name: Name, use: LinkUse) -> None:
        """
        Ask a node to which a tunnel leads for a connection, as if there were none: something better may come
        of it. Does nothing while somebody waits for what was asked before.
        """
        asked = self._asked.get((name, use))
        if self._stopped or (asked is not None and asked.waiting):
            return
        self._abandon(name, use)
        self._request(name, use, None, None)

    def tunnel_lost(self, name: Name, use: LinkUse, since: float) -> None:
        """
        A tunnel is lost: expect nothing any more of what it came of, nor of what should have replaced it.

        @param since: when it was confirmed, in seconds.
        """
        self._abandon(name, use)
        self._attempts.withdraw_before(name, since)

    def _abandon(self, name: Name, use: LinkUse) -> None:
        """Expect nothing any more of what L{improve} has asked for."""
        asked = self._asked.get((name, use))
        if asked is not None and not asked.waiting:
            self._attempts.withdraw(name, asked.nonce)
            del self._asked[name, use]
            asked.stop()

    def is_asking(self, name: Name, use: LinkUse) -> bool:
        """Whether a request to this node, for this use, is under way."""
        return (name, use) in self._asked

    def refused_lately(self, name: Name) -> bool:
        """Whether this node was asked a short while ago and nothing came of it."""
        return self._cooldown.left(name) > 0

    def was_silent(self, name: Name) -> bool:
        """Whether nothing came of it when this node was asked last, however long ago."""
        return name in self._cooldown

    def request_age(self, name: Name) -> float | None:
        """For how many seconds a request to this node has been under way; C{None} if none is."""
        sent = [each.sent for each in self._asked_of(name)]
        return self._clock.seconds() - min(sent) if sent else None

    def left_alone_for(self, name: Name) -> float:
        """For how many more seconds this node is not asked on our own account."""
        return self._cooldown.left(name)

    def network_changed(self) -> None:
        """Whoever did not answer may answer now."""
        self._cooldown.clear()

    def judge(self, link: ILink, nonce: bytes) -> Accept | None:
        """
        What a link whose Hello names this request is for; C{None} if nobody asked for it. What is expected
        is noted to have arrived.
        """
        purpose = self._attempts.purpose(link, nonce)
        if purpose is not None:
            return purpose
        # our request, whose response is slower than the link
        for asked in self._asked_of(link.peer):
            if asked.nonce == nonce:
                return Accept(asked.use, we_asked=True)
        return None

    def turn_away(self, peer: Name, nonce: bytes) -> None:
        """There is no room for this peer, as its link shows: nothing else is to come of this request."""
        self._attempts.withdraw(peer, nonce)
        for asked in self._asked_of(peer):
            if asked.nonce == nonce:
                self._silent(peer, asked.use)

    def link_lost(self, link: ILink) -> bool:
        """
        A link is gone. If it was expected, another one may still arrive.

        @return: whether it was expected and both ends had not agreed on a link yet.
        """
        was_expected = self.expected.of_connection(link.connection) is not None
        self.expected.lost(link.connection)
        return was_expected

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """What was asked of the peer is settled."""
        self.linked(peer.name, peer.link, peer.use)

    def linked(self, peer: Name, link: ILink, use: LinkUse) -> None:
        """
        A link to this peer was confirmed: whatever waited for one of this use, or of less, is settled, and
        what else was dialled for it is given up, unless the link is a tunnel: then something better may
        still come.
        """
        if use is LinkUse.MEMBER:
            self._cooldown.forget(peer)
        else:
            self._cooldown.lift(peer)
        better_may_come = link.path_kind is PathKind.TUNNEL
        for asked in self._asked_of(peer):
            if asked.use <= use:
                self._settle(asked, link)
                if not better_may_come or self.expected.match(peer, asked.nonce) is None:
                    self._punches.give_up(peer, asked.nonce)
        if not better_may_come:
            self._attempts.linked(peer, use, link)

    def request_received(self, envelope: Envelope, link: ILink | None) -> None:
        """
        Somebody asks us for a connection. Refusals are silent towards the peer.

        @param link: the link that it came by; the response goes back the same way.
        @raise WireError: the request is not one; the relay that passed it on is not to blame.
        """
        signed = decode(Signed, envelope.body, self._settings.max_control)
        request = decode(ConnectRequest, signed.body, self._settings.max_control)
        peer = Name.of_key(signed.key)
        if self._validator.has_passed(peer, request.nonce):
            return
        problem = self._validator.problem_with(peer, signed, request)
        history = self._crust.history
        if problem:
            # it may be forged, or from anybody
            said = f"somebody asked us in its name, which we ignored: {problem}"
            history.tried(peer, Way.REQUEST, "", said, minor=True)
            self._quiet.info(
                problem, "ignored a request for a connection by {peer}: {reason}", peer=peer, reason=problem
            )
            return
        history.tried(peer, Way.REQUEST, "", "it asked us, and we agreed", good=True)
        endpoints = self._validator.dialable(peer, request.candidates, "its request")
        self._attempts.withdraw_earlier(peer, request)
        self._attempts.make_room(peer)
        if self._attempts.expect(ExpectedRequest(peer, request.nonce, endpoints, request)):
            self._punches.expect(peer, request.nonce, request.use, requester=False)
            self._respond(peer, envelope, link, [Name(each.name) for each in request.relays])
            self._punches.begin(peer, request.nonce, endpoints, request.nat)

    def response_received(self, envelope: Envelope) -> None:
        """
        Somebody answers a request.

        @raise WireError: it is no response.
        """
        signed = decode(Signed, envelope.body, self._settings.max_control)
        response = decode(ConnectResponse, signed.body, self._settings.max_control)
        peer = Name.of_key(signed.key)
        asked = next((each for each in self._asked_of(peer) if each.token == response.token), None)
        if asked is None or asked.answered:
            return
        if response.recipient != self._identity.name.raw or not self._validator.holds(RESPONSE_LABEL, signed):
            self._quiet.info(
                "bad responses", "ignored a response by {peer}: its signature does not hold", peer=peer
            )
            return
        asked.answered = True
        self._crust.history.tried(peer, Way.REQUEST, "", "we asked it, and it agreed", good=True)
        endpoints = self._validator.dialable(peer, response.candidates, "its answer")
        self._attempts.make_room(peer)
        if self._attempts.expect(ExpectedResponse(peer, asked.nonce, endpoints, response, asked.token)):
            asked.timer.reset(self._patience)
            round_trip = self._clock.seconds() - asked.sent
            relays = tuple(Name(each.name) for each in response.relays)
            endpoints = self._validator.affordable(peer, endpoints)
            self._punches.begin(peer, asked.nonce, endpoints, response.nat, relays, asked.go, round_trip)

    def undeliverable(self, envelope_id: int) -> None:
        """
        A hint came that an envelope found no way on. If a request of ours was in it, that takes another.
        """
        asked = next((each for each in self._asked.values() if each.is_in(envelope_id)), None)
        if asked is not None:
            asked.no_way_on()

    def go_received(self, peer: Name, nonce: bytes) -> None:
        """Somebody whose request we have answered begins to punch."""
        self._punches.go(peer, nonce)

    @property
    def _patience(self) -> float:
        """
        After so many seconds nothing comes of an answer: both have dialled. The link is expected for longer,
        but one may ask again.
        """
        settings = self._settings
        patience = settings.dial_timeout + settings.hello_timeout + settings.two_way_wait
        return min(patience, settings.expected_timeout)

    def stop(self) -> None:
        """Fail everything that waits, and dial no more."""
        self._stopped = True
        for asked in list(self._asked.values()):
            self._settle(asked, Failure(ServiceStopped("the service has been stopped")))
        self._attempts.stop()

    def _asked_of(self, name: Name) -> list[OutgoingRequest]:
        return [asked for use in LinkUse if (asked := self._asked.get((name, use))) is not None]

    def _request(
        self, name: Name, use: LinkUse, via: ILink | None, informant: Name | None
    ) -> OutgoingRequest:
        issued = self._network_now()
        nonce = self._random.randbytes(NONCE_BYTES)
        request = ConnectRequest(
            name.raw,
            nonce,
            issued,
            issued + self._settings.expected_timeout,
            self._incarnation,
            use,
            self._candidates(),
            self._crust.nat,
            self._tunnels.relays(name),
        )
        token = self._signed(REQUEST_LABEL, encode(request))
        timer = self._clock.callLater(self._settings.request_again, self._silent, name, use)
        asked = self._asked[name, use] = OutgoingRequest(
            name,
            use,
            nonce,
            token,
            timer,
            self._clock,
            self._random,
            self._send,
            self._settings.max_attempts,
        )
        self._punches.expect(name, nonce, use, requester=True)
        # Who told of this node may not know yet that its link there is dead, nor may we of ours: where there
        # is a link, or there was no answer before, the other way is taken as well.
        if informant is not None and via is None:
            if self._links.link_to(name) is not None or name in self._cooldown:
                asked.set_out(None, None)
        asked.set_out(informant, via)
        return asked

    def _silent(self, name: Name, use: LinkUse) -> None:
        asked = self._asked[name, use]
        if self._linked(name, use) is None:
            self._cooldown.note(name)
        said = "answered, but no link came of it" if asked.answered else "did not answer"
        self._crust.history.tried(name, Way.REQUEST, "", f"we asked it, and it {said}")
        problem = ExpectedConnectionExpired(f"{name.short} was asked for a connection and {said}")
        self._punches.give_up(name, asked.nonce)
        self._settle(asked, Failure(problem))

    def _settle(self, asked: OutgoingRequest, result: ILink | Failure) -> None:
        del self._asked[asked.name, asked.use]
        asked.settle(result)

    def _linked(self, name: Name, use: LinkUse) -> Peer | None:
        peer = self._links.peer(name)
        return peer if peer is not None and peer.use >= use else None

    def _respond(self, peer: Name, envelope: Envelope, link: ILink | None, theirs: list[Name]) -> None:
        response = ConnectResponse(
            peer.raw,
            envelope.body,
            self._candidates(),
            self._crust.nat,
            self._tunnels.relays(peer, theirs),
        )
        body = self._signed(RESPONSE_LABEL, encode(response))
        proxy = Name(envelope.source_proxy) if envelope.source_proxy else None
        self._send(EnvelopeKind.CONNECT_RESPONSE, peer, body, proxy, link)

    def _candidates(self) -> tuple[WireEndpoint, ...]:
        return tuple(to_wire(each) for each in self._crust.candidates[: self._settings.max_candidates])

    def _signed(self, label: str, body: bytes) -> bytes:
        signature = self._identity.sign(label, self._settings.network, body)
        return encode(Signed(self._identity.public_key, body, signature))
