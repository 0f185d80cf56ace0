"""
Control messages: those that nodes send each other by name for the network's own sake.

Here they are taken apart and handed to whom they concern: group queries and answers, requests for
connections and responses, and the records of clients. What cannot be read is dropped: the relay that passed
it on is not to blame for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from ...crust.interfaces import ILink
from ...errors import CloseReason, WireError
from ...names import Name
from ...quietlog import QuietLog
from ...timing.ratelimit import KeyedLimits, TokenBucket
from ...wire.codec import decode, encode
from ...wire.messages import Envelope, EnvelopeKind, GroupAnswer, GroupQuery
from ..links.peer import Peer, PeerListener
from ..membership.client_publisher import open_record

if TYPE_CHECKING:
    from ..core import RoutingCore


class ControlMessages(PeerListener):
    """Made with its core, fed by the messenger with what is addressed to us."""

    log = Logger()

    def __init__(self, core: RoutingCore) -> None:
        self._core = core
        self._quiet = QuietLog(self.log, core.clock.seconds)
        settings, seconds = core.settings, core.clock.seconds
        self._rates: KeyedLimits[Name] = KeyedLimits(
            lambda: TokenBucket(settings.control_rate, settings.control_burst, seconds)
        )
        self._handlers = {
            EnvelopeKind.GROUP_QUERY: self._group_query,
            EnvelopeKind.GROUP_ANSWER: self._group_answer,
            EnvelopeKind.CONNECT_REQUEST: self._connect_request,
            EnvelopeKind.CONNECT_RESPONSE: self._connect_response,
            EnvelopeKind.CONNECT_GO: self._connect_go,
            EnvelopeKind.CLIENT_RECORD: self._client_record,
        }

    def received(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        """
        A control message for us.

        @param link: the link that it came by, whose peer's C{control_rate} it counts against; C{None} for
            one that did not leave this node.
        """
        handler = self._handlers.get(envelope.kind)
        if handler is None or (link is not None and not self._rates.take(link.peer)):
            return
        try:
            handler(envelope, source, link)
        except WireError as error:
            self._quiet.info(
                "bad control messages",
                "dropped a control message of {source}: {problem}",
                source=source,
                problem=error,
            )

    def send(
        self,
        kind: EnvelopeKind,
        destination: Name,
        body: bytes,
        proxy: Name | None = None,
        via: ILink | None = None,
        attempt: int = 0,
    ) -> int | None:
        """Send a control message to a node by name. See L{Messenger.send_control}."""
        return self._core.messenger.send_control(
            kind, destination, body, destination_proxy=proxy, via=via, attempt=attempt
        )

    def send_query(self, query: GroupQuery, of: Name | None, via: ILink | None, attempt: int) -> None:
        """Send a group query to the node C{of}, or towards the node nearest to its target."""
        destination = Name(query.target) if of is None else of
        self._core.messenger.send_control(
            EnvelopeKind.GROUP_QUERY,
            destination,
            encode(query),
            nearest=of is None,
            via=via,
            attempt=attempt,
        )

    def send_record(self, name: Name, record: bytes) -> None:
        """Send our client record to a member of our group."""
        self.send(EnvelopeKind.CLIENT_RECORD, name, record)

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """Its rate is counted no longer."""
        self._rates.forget(peer.name)

    def _group_query(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        query = decode(GroupQuery, envelope.body, self._core.settings.max_control)
        target = Name(query.target)
        # without who asks: it knows itself, and its place is somebody else's whom it may not know
        members = tuple(name.raw for name in self._core.neighbourhood.close_group(target, (source,)))
        answer = encode(GroupAnswer(query.nonce, target.raw, members, self._core.time.now()))
        proxy = Name(envelope.source_proxy) if envelope.source_proxy else None
        self._core.messenger.send_control(
            EnvelopeKind.GROUP_ANSWER, source, answer, destination_proxy=proxy, via=link
        )

    def _group_answer(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        answer = decode(GroupAnswer, envelope.body, self._core.settings.max_control)
        if self._core.queries.answered(answer, source):
            self._core.time.heard(source, answer.time)

    def _connect_request(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        self._core.responder.request_received(envelope, link)

    def _connect_response(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        self._core.connector.response_received(envelope)

    def _connect_go(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        self._core.responder.go_received(envelope, source)

    def _client_record(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        opened = open_record(self._core.settings, self._core.identity, envelope.body)
        if opened is not None and self._core.table.is_close_to(opened[0]):
            self._core.clients.publish(*opened)
