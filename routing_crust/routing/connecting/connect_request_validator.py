"""
The validator of connection requests: cheap checks first, then the signature, and last whether the link is
wanted.

A peer that asks for a link that we have with it may have lost that. So the link is probed, and the request
waits: if no answer comes, a second link is made, and the handover decides which of the two lives. One that
names another address than the one that the link leads to need not wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall

from ...crust.interfaces import ILink
from ...endpoints import Endpoint, PathKind, is_local_only
from ...errors import CloseReason
from ...limits import EXPECTED_TIMEOUT_SECONDS
from ...names import Name
from ...timing.timers import cancel
from ...wire.codec import MAX_CONTROL_BYTES, decode, from_wire
from ...wire.messages import ConnectRequest, Envelope, LinkUse, Signed
from ..envelopes import REQUEST_LABEL, body_holds
from ..links.granted import GrantedLinks
from ..links.peer import Peer, PeerListener
from ..links.registry import LinkRegistry
from ..membership.routing_table import RoutingTable
from ..messaging.duplicates import MAX_REMEMBERED_IDS, DuplicateFilter
from ..node import Node

PROBE_WAIT_SECONDS: Final = 3.3
"""For how long a request waits at most until the probed link is doubted."""
RENEW_SECONDS: Final = 0.5
"""After this a newer request takes the place of one that waits: an answered probe says too little of now."""
_LINKED: Final = "there is such a link already"


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """
    A request for a connection, as it has come.

    @ivar peer: the node that asks, as it says.
    @ivar link: the link that it came by.
    """

    peer: Name
    signed: Signed
    request: ConnectRequest
    envelope: Envelope
    link: ILink | None

    @classmethod
    def read(cls, envelope: Envelope, link: ILink | None) -> IncomingRequest:
        """
        @raise WireError: it is no request.
        """
        signed = decode(Signed, envelope.body, MAX_CONTROL_BYTES)
        request = decode(ConnectRequest, signed.body, MAX_CONTROL_BYTES)
        return cls(Name(signed.signer), signed, request, envelope, link)

    @property
    def key(self) -> tuple[Name, bytes]:
        """What tells it from all other requests."""
        return self.peer, self.request.nonce

    @property
    def proxy(self) -> Name | None:
        """The proxy of the node that asks, if it has one."""
        return Name(self.envelope.source_proxy) if self.envelope.source_proxy else None


class Verdicts(Protocol):
    """Acts on what was decided about a request."""

    def accept(self, asked: IncomingRequest) -> None:
        """Accept a request; the response goes back by the link that the request came by."""

    def refuse(self, peer: Name, problem: str) -> None:
        """Refuse a request, which gets no answer."""

    def repeated(self, asked: IncomingRequest) -> None:
        """
        What looks like a copy of a request that was judged has come: by another route, or the requester has
        got no answer. Its signature was not looked at again.
        """


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A request that waits: its nonce, since when, and the call that judges it."""

    nonce: bytes
    since: float
    call: IDelayedCall


class ConnectRequestValidator(PeerListener):
    """
    Made at each start, and fed with requests. I remember the requests with a good signature, so that none is
    accepted twice.
    """

    def __init__(
        self,
        node: Node,
        links: LinkRegistry,
        table: RoutingTable,
        granted: GrantedLinks,
        verdicts: Verdicts,
    ) -> None:
        self._node = node
        self._own = node.identity.name.raw
        self._is_client = node.is_client
        self._links = links
        self._table = table
        self._granted = granted
        self._verdicts = verdicts
        settings = node.settings
        # a request is valid for as long as its link is expected, and both clocks may differ by the skew
        validity = EXPECTED_TIMEOUT_SECONDS + 2 * settings.clock_skew
        self._seen = DuplicateFilter(node.clock, validity, MAX_REMEMBERED_IDS)
        # one for each linked peer, signed by it
        self._waiting: dict[Name, _Waiting] = {}

    def stop(self) -> None:
        """Drop the requests that wait."""
        for each in self._waiting.values():
            cancel(each.call)
        self._waiting.clear()

    def peer_doubted(self, peer: Peer) -> None:
        """The probe of its link was not answered: judge its request in the next turn."""
        self._judge_soon(peer)

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """Its link is gone, and nothing keeps its request waiting."""
        self._judge_soon(peer)

    def _judge_soon(self, peer: Peer) -> None:
        waiting = self._waiting.get(peer.name)
        if waiting is not None:
            waiting.call.reset(0)

    def request_received(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        """
        A node asks us for a connection.

        @param link: the link that the request came by.
        @raise WireError: it is no request; the relay that passed it on is not to blame.
        """
        asked = IncomingRequest.read(envelope, link)
        if asked.key in self._seen:
            self._verdicts.repeated(asked)
            return
        problem = self.problem_with(asked)
        if problem is _LINKED and (asked.peer in self._waiting or self._holds(asked.signed)):
            if asked.peer not in self._waiting or self._renews(asked):
                self._probe(asked)
        else:
            self._act(problem, asked)

    def _renews(self, asked: IncomingRequest) -> bool:
        """Whether a request takes the place of the one of this peer that waits, which is dropped then."""
        waiting = self._waiting[asked.peer]
        waited = self._node.clock.seconds() - waiting.since
        is_newer = asked.request.nonce != waiting.nonce and waited >= RENEW_SECONDS
        if not is_newer or not self._holds(asked.signed):
            return False
        cancel(waiting.call)
        return True

    def _probe(self, asked: IncomingRequest) -> None:
        held = self._links.link_to(asked.peer)
        if held is not None:
            held.suspect()

        def probed() -> None:
            del self._waiting[asked.peer]
            if asked.key in self._seen:
                return  # a copy came when the link was doubted, and was judged
            self._act(self.problem_with(asked), asked)

        clock = self._node.clock
        call = clock.callLater(PROBE_WAIT_SECONDS, probed)
        self._waiting[asked.peer] = _Waiting(asked.request.nonce, clock.seconds(), call)

    def _act(self, problem: str, asked: IncomingRequest) -> None:
        if problem:
            self._verdicts.refuse(asked.peer, problem)
        else:
            held = self._links.link_to(asked.peer)
            if held is not None and _has_moved(held, asked.request):
                # doubted before its successor comes, which would wait for what may be on its way
                held.suspect()
            self._verdicts.accept(asked)

    def _holds(self, signed: Signed) -> bool:
        return body_holds(self._node.identity, self._node.settings.network, REQUEST_LABEL, signed)

    def problem_with(self, asked: IncomingRequest) -> str:
        """The reason to refuse a request, by the cheapest check that fails; empty if it is accepted."""
        request = asked.request
        now = self._node.network_now()
        skew = self._node.settings.clock_skew
        if request.recipient != self._own:
            return "it is for somebody else"
        # a request is not valid for longer than we would expect the link, whatever it says itself
        expiry = min(request.expiry, request.issued + EXPECTED_TIMEOUT_SECONDS)
        if expiry < now - skew or request.issued > now + skew:
            return "it has expired, or the clocks differ (the setting clock_skew says by how much they may)"
        if request.use is LinkUse.ATTACHED:
            return "it asks for nothing"
        # Incarnations only grow, so a request with a lower one was sent before a restart. A greater one is
        # acted upon only when the signature holds: otherwise a forgery could close the peer's links.
        before = self._links.peer(asked.peer)
        newer = 0 if before is None else request.incarnation - before.facts.incarnation
        if newer < 0:
            return "it is of an earlier incarnation"
        # one that has no link with us says in its Hello what it is, and is judged then
        if request.use is LinkUse.MEMBER and before is not None and newer == 0 and before.facts.is_client:
            return "it is a client, which cannot route for others"
        held = before if before is not None and newer == 0 and before.use >= request.use else None
        improves = held is not None and (
            held.link.path_kind is PathKind.TUNNEL or held.link.is_doubted or _has_moved(held.link, request)
        )
        if held is not None and not improves:
            return _LINKED
        if not self._holds(asked.signed):
            return "its signature does not hold"
        return self._problem_with_signed(asked, restarted=newer > 0, improves=improves)

    def _problem_with_signed(self, asked: IncomingRequest, restarted: bool, improves: bool) -> str:
        peer, request = asked.peer, asked.request
        # after the signature: otherwise a forgery with the same nonce would keep the real request out
        if self._seen.seen(asked.key):
            return "it came before"
        # before the table is asked: an old entry of the peer would make the new link unwanted
        if restarted:
            self._links.drop(peer, CloseReason.RESTARTED)
        first = next(iter(request.candidates), None)
        # a link that replaces a tunnel or a dead link takes no new place
        if not improves and not self._wants(peer, request.use, None if first is None else from_wire(first)):
            return "the link is not wanted"
        return ""

    def _wants(self, name: Name, use: LinkUse, endpoint: Endpoint | None) -> bool:
        if use is LinkUse.MEMBER:
            # its candidates may say nothing of the prefix that a link with it counts for
            return (
                not self._is_client and self._table.wants(name, endpoint) and self._links.has_room(name, use)
            )
        return self._granted.has_room(name)


def _has_moved(link: ILink, request: ConnectRequest) -> bool:
    """
    Whether a peer that asks again names addresses on the internet, but not the one that our link leads to: no
    connection from there is left, or soon none will be.
    """
    there = link.connection.peer
    if is_local_only(there):
        return False
    named = [each for each in map(from_wire, request.candidates) if each.is_v6 == there.is_v6]
    known = [each for each in named if not is_local_only(each)]
    return bool(known) and there.host not in {each.host for each in known}
