"""
The connector: the requester's part of the exchange by which two nodes get a link.

Order of messages, A asking B: ConnectRequest (A to B, by name); ConnectResponse, with A's signed request as
its token (B to A). B dials A when it sends the response, and A dials B when it receives it. If plain dials
are not enough, ConnectGo (A to B), and both punch (L{routing_crust.routing.connecting.rendezvous}). On each
connection the Hello names the request's nonce. A request that B does not want is met with silence. B's part
is in L{routing_crust.routing.connecting.responder}.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...crust.interfaces import ILink
from ...endpoints import PathKind
from ...errors import ExpectedConnectionExpired, LinkClosed, PeerUnreachable, ServiceStopped
from ...history import Way
from ...limits import REQUEST_INTERVAL_SECONDS
from ...names import Name
from ...quietlog import QuietLog
from ...timing.waiters import Waiters
from ...wire.codec import MAX_CONTROL_BYTES, decode
from ...wire.fields import NONCE_BYTES
from ...wire.messages import ConnectResponse, Envelope, LinkUse, Signed
from ..control import SendControl
from ..envelopes import RESPONSE_LABEL, body_holds
from ..links.peer import Peer, PeerListener, Permit
from ..links.registry import LinkRegistry
from ..node import Node
from .attempts import Attempts
from .candidates import CandidateExchange
from .expected import ExpectedResponse
from .outgoing_request import OutgoingRequest, signed_request
from .outgoing_requests import OutgoingRequests
from .relay_choice import RelayChoice

MAX_TIME_SHIFT_SECONDS: Final = 5.0
"""How far the network's time may move until a request is not sent again with the old one."""


class Connector(PeerListener):
    """
    Made at each start, asked for connections, fed with responses and with news of links, discarded after
    L{stop}.

    @ivar requests: those that are under way.
    """

    log = Logger()

    def __init__(
        self,
        node: Node,
        links: LinkRegistry,
        attempts: Attempts,
        candidates: CandidateExchange,
        send: SendControl,
        relays: RelayChoice,
    ) -> None:
        self._node = node
        self._links = links
        self._attempts = attempts
        self._candidates = candidates
        self._send = send
        self._relays = relays
        self._quiet = QuietLog(self.log, node.clock.seconds)
        self.requests = OutgoingRequests(links, node.clock.seconds)
        self._stopped = False

    # What others ask for.

    def request_link(
        self, name: Name, use: LinkUse, via: ILink | None = None, informant: Name | None = None
    ) -> Deferred[ILink]:
        """
        Ask a node for a connection. Callers share a request to the same node for the same use.

        @param via: the link to ask by; C{None} leaves it to the routing table.
        @param informant: a node that can reach it, if one is known.
        @return: fires with the confirmed link, at once if one exists; fails with
            L{ExpectedConnectionExpired} when the node does not answer within C{REQUEST_INTERVAL_SECONDS}
            seconds, or when its answer leads to no link, or with L{ServiceStopped}.
        """
        peer = self.requests.linked(name, use)
        if peer is not None:
            return succeed(peer.link)
        if self._stopped:
            return fail(ServiceStopped("the service has been stopped"))
        if self._node.members.is_banned(name):
            self.requests.cooldown.note(name)
            return fail(PeerUnreachable(f"{self._node.brief(name)} is banned from this network"))
        if not self._links.has_room(name, use):
            # no better than silence: to ask again at once would find no room either
            self.requests.cooldown.note(name)
            return fail(
                ExpectedConnectionExpired(f"the routing table has no room for {self._node.brief(name)}")
            )
        request = self.requests.get(name, use)
        if request is None:
            request = self._request(name, use, via, None if informant == name else informant)
        return request.waiting.wait()

    def improve(self, name: Name, use: LinkUse) -> None:
        """
        Ask a node to which a tunnel leads for a connection, as if there were no link: it may bring a better
        one. Does nothing while a caller waits for an earlier request, or ports are guessed for it.
        """
        request = self.requests.get(name, use)
        if self._stopped or (request is not None and request.waiting):
            return
        if request is not None and self._attempts.punches.guesses(name, request.nonce):
            return
        self._abandon(name, use)
        self._request(name, use, None, None)

    def request_beside(self, peer: Peer) -> None:
        """
        Ask a peer for a second link, by other nodes. A request that is under way goes out again: the peer may
        have been out of reach. One that was answered before the link fell silent is given up for another.
        """
        if self._stopped or peer.use is LinkUse.ATTACHED:
            return
        request = self.requests.get(peer.name, peer.use)
        silent_since = self._node.clock.seconds() - peer.link.owed_for
        if request is not None and request.answered and request.sent < silent_since:
            # what both ends dial for it are the addresses of that time
            self._abandon(peer.name, peer.use)
        if self.requests.get(peer.name, peer.use) is not None:
            self.ask_again(peer.name)
        else:
            self._request(peer.name, peer.use, self._relays.way_round(peer), None)

    def ask_again(self, name: Name) -> None:
        """Send requests to a node that are under way, and have no answer, once more by another way."""
        for request in self.requests.to(name):
            if not self._renewed(request):
                request.ask_again()

    def tunnel_lost(self, name: Name, use: LinkUse, since: float) -> None:
        """
        A tunnel is lost: end the attempt that made it, and those that should have replaced it.

        @param since: when it was confirmed, in seconds.
        """
        self._abandon(name, use)
        self._attempts.withdraw_before(name, since)

    def banned(self, name: Name, reason: LinkClosed) -> None:
        """A member is banned: end what is tried with it, and fail those who wait for a link."""
        for request in self.requests.to(name):
            self._attempts.punches.give_up(name, request.nonce)
            self._settle(
                request, Failure(PeerUnreachable(f"{self._node.brief(name)} was not reached: {reason}"))
            )
        self._attempts.withdraw_all(name)

    # What others report.

    def network_changed(self) -> None:
        """Nodes that did not answer may answer now."""
        self.requests.cooldown.clear()

    def proxy_changed(self, proxy: Name | None) -> None:
        """
        Requests without an answer go by the new proxy as well, and nodes that were silent may answer by it. A
        request that was made by another time than that of the new proxy is given up.
        """
        if proxy is None:
            return
        self.time_moved()
        for request in self.requests:
            if not request.answered and not self._renewed(request):
                request.send(None, None)

    def time_moved(self) -> None:
        """
        The network's time may have moved: a request that bears another one is refused, so it is given up, and
        nodes that were silent may answer now.
        """
        self.requests.cooldown.clear()
        for request in self.requests:
            # a callback may have ended it; one that has a link by now is settled with that
            is_linked = self.requests.linked(request.name, request.use) is not None
            if request not in self.requests or request.answered or is_linked:
                continue
            age = self._node.network_now() - request.issued
            if abs(age - (self._node.clock.seconds() - request.sent)) > MAX_TIME_SHIFT_SECONDS:
                problem = ExpectedConnectionExpired(
                    f"{self._node.brief(request.name)} was asked with a wrong time"
                )
                self._attempts.punches.give_up(request.name, request.nonce)
                self._settle(request, Failure(problem))

    def purpose(self, link: ILink, nonce: bytes) -> Permit | None:
        """
        What a link whose Hello names this nonce is for; C{None} if no request has it. If it is expected, it
        counts as arrived.
        """
        purpose = self._attempts.purpose(link, nonce)
        if purpose is not None:
            return purpose
        # The responder dials as it answers, so its link may be here before its response is.
        request = self.requests.with_nonce(link.peer, nonce)
        return None if request is None else Permit(request.use, we_asked=True)

    def permitted_use(self, peer: Name) -> LinkUse:
        """The greatest use of our requests to this peer and of those of its that we have accepted."""
        asked = (each.use for each in self.requests.to(peer))
        return max(self._attempts.agreed_use(peer), *asked, LinkUse.ATTACHED)

    def turn_away(self, peer: Name, nonce: bytes) -> None:
        """End a request: the table has no room for this peer, or others of this peer need the room."""
        self._attempts.withdraw(peer, nonce)
        request = self.requests.with_nonce(peer, nonce)
        if request is not None:
            self._give_up(peer, request.use)

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """
        Settle the requests for this use, or for a lesser one, and end the attempts for them. If the link is a
        tunnel the attempts go on, since a better link may still come.
        """
        name, link = peer.name, peer.link
        # a link for a lesser use says nothing about room in the peer's table: its silence stays known
        if peer.use is LinkUse.MEMBER:
            self.requests.cooldown.forget(name)
        else:
            self.requests.cooldown.lift(name)
        for request in self.requests.to(name):
            if request.use <= peer.use:
                self._settle(request, link)
                self._attempts.request_settled(name, request.nonce, link)
        if link.path_kind is not PathKind.TUNNEL:
            self._attempts.linked(name, peer.use, link)
        self._links.agree(name, self._attempts.agreed_use(name))

    def peer_reset(self, peer: Peer, reason: LinkClosed) -> None:
        """What was sent over the link with a peer may be lost, requests to be passed on among it."""
        for request in self.requests:
            if not request.answered and request.sent_last >= peer.since:
                request.send_again()

    def response_received(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        """
        A node answers a request.

        @raise WireError: it is no response.
        """
        signed = decode(Signed, envelope.body, MAX_CONTROL_BYTES)
        response = decode(ConnectResponse, signed.body, MAX_CONTROL_BYTES)
        peer = Name(signed.signer)
        request = next((each for each in self.requests.to(peer) if each.token == response.token), None)
        # the cheap comparison of tokens comes before the signature; copies arrive by other routes
        if request is None or request.answered:
            return
        ours, network = self._node.identity, self._node.settings.network
        if response.recipient != ours.name.raw or not body_holds(ours, network, RESPONSE_LABEL, signed):
            self._quiet.info(
                "bad responses", "ignored a response by {peer}: its signature does not hold", peer=peer
            )
            return
        request.answered = True
        self._node.crust.history.tried(peer, Way.REQUEST, "", "we asked it, and it agreed", good=True)
        endpoints = self._candidates.dialable(peer, response.candidates, "its answer")
        self._relays.told(peer, response.relays)
        ended = self._attempts.make_room(peer, request.use, own=True)
        if ended is not None:
            # its request would wait in vain for the rest of its time, and keep another from being made
            self.turn_away(peer, ended.nonce)
            if request not in self.requests:
                return  # a callback of the other one has ended it
        if self._attempts.expect(ExpectedResponse(peer, request.nonce, endpoints, response, request.token)):
            # the timer allowed for the answer; the dials that follow it take longer
            request.wait_for_dials()
            self._attempts.punches.begin(
                peer,
                request.nonce,
                self._candidates.affordable(peer, endpoints),
                response.nat,
                tuple(Name(each.name) for each in response.relays),
                request.send_go,
                self._node.clock.seconds() - request.sent,
                response.guesses,
            )

    def undeliverable(self, envelope_id: int) -> None:
        """An envelope of ours found no way on: if it carried a request, that takes another way."""
        request = self.requests.in_envelope(envelope_id)
        if request is not None:
            request.undeliverable()

    def stop(self) -> None:
        """Fail every request, and send no more."""
        self._stopped = True
        for request in self.requests:
            self._settle(request, Failure(ServiceStopped("the service has been stopped")))

    def _request(
        self, name: Name, use: LinkUse, via: ILink | None, informant: Name | None
    ) -> OutgoingRequest:
        """Make a request, and send it."""
        node = self._node
        nonce = node.random.randbytes(NONCE_BYTES)
        candidates = self._candidates.ours()
        relays, guesses = self._relays.to_name(name), self._attempts.asks_to_guess(name)
        token = signed_request(node, name, use, nonce, candidates, relays, guesses)
        timer = node.clock.callLater(REQUEST_INTERVAL_SECONDS, self._give_up, name, use)
        request = OutgoingRequest(node, name, use, nonce, token, timer, self._send)
        request.candidates = candidates
        request.waiting = Waiters(partial(self._abandon, name, use))
        self.requests.add(request)
        # before it is sent: the responder dials as it answers, and its connection may be here first
        self._attempts.punches.expect(name, nonce, use, requester=True)
        # The informant may not know yet that its link to this node is dead, and we may not know it of ours.
        # So where we have a link, or the last request got no answer, the request goes by the table as well.
        if informant is not None and via is None:
            if self._links.link_to(name) is not None or name in self.requests.cooldown:
                request.send(None, None)
        request.send(informant, via)
        # one that joining makes is repeated by joining
        if use is LinkUse.DIRECT or self._links.link_to(name) is not None:
            request.repeat(partial(self._attempts.lacks_link, name))
        return request

    def _renewed(self, request: OutgoingRequest) -> bool:
        """
        Replace a request that has no answer, if our addresses are others by now: what the peer dials for it
        would be in vain, and so would be what we dial.

        @return: whether it was.
        """
        if request.answered or request.candidates == self._candidates.ours():
            return False
        self._attempts.withdraw(request.name, request.nonce)
        self.requests.remove(request)
        request.stop()
        self._request(request.name, request.use, None, None).waiting = request.waiting
        return True

    def _give_up(self, name: Name, use: LinkUse) -> None:
        """A request got no answer, or its answer led to no link."""
        request = self.requests.get(name, use)
        assert request is not None  # the timer ends with the request
        # with a link that came about in another way, the node is not silent
        if self.requests.linked(name, use) is None:
            self.requests.cooldown.note(name)
        said = "answered, but no link was made" if request.answered else "did not answer"
        self._node.crust.history.tried(name, Way.REQUEST, "", f"we asked it, and it {said}")
        problem = ExpectedConnectionExpired(f"{self._node.brief(name)} was asked for a connection and {said}")
        self._attempts.punches.give_up(name, request.nonce)
        self._settle(request, Failure(problem))

    def _abandon(self, name: Name, use: LinkUse) -> None:
        """End a request for which nobody waits, and its attempt."""
        request = self.requests.get(name, use)
        if request is not None and not request.waiting:
            self._attempts.withdraw(name, request.nonce)
            self.requests.remove(request)
            request.stop()

    def _settle(self, request: OutgoingRequest, result: ILink | Failure) -> None:
        # first, since a callback may request the same link again
        self.requests.remove(request)
        request.settle(result)
