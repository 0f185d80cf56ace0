"""
Judging requests for a connection: cheap checks first, the signature only when they have passed, and last
whether the link is wanted.
"""

from __future__ import annotations

from collections.abc import Callable

from ...endpoints import Endpoint, PathKind
from ...errors import CloseReason
from ...names import Name
from ...wire.codec import from_wire
from ...wire.messages import ConnectRequest, LinkUse, Signed
from ..links.registry import LinkRegistry
from ..messaging.duplicates import DuplicateFilter
from ..node import Node
from .signing import REQUEST_LABEL, holds


class ConnectRequestValidator:
    """
    Made at each start, and asked by the responder. I remember the requests with a good signature, so that
    none is accepted twice.
    """

    def __init__(
        self, node: Node, links: LinkRegistry, wants: Callable[[Name, LinkUse, Endpoint | None], bool]
    ) -> None:
        """
        @param wants: whether a link for this use to a node at this endpoint is wanted.
        """
        self._node = node
        self._links = links
        self._wants = wants
        settings = node.settings
        validity = settings.expected_timeout + 2 * settings.clock_skew
        self._seen = DuplicateFilter(node.clock, validity, settings.max_remembered_ids)

    def has_seen(self, peer: Name, nonce: bytes) -> bool:
        """Whether this request has come before, with a good signature: copies may arrive by other routes."""
        return (peer, nonce) in self._seen

    def problem_with(self, peer: Name, signed: Signed, request: ConnectRequest) -> str:
        """The reason to refuse a request, by the cheapest check that fails; empty if it is accepted."""
        now = self._node.network_now()
        skew = self._node.settings.clock_skew
        if request.recipient != self._node.name.raw:
            return "it is for somebody else"
        # a request is not valid for longer than we would expect the link, whatever it says itself
        expiry = min(request.expiry, request.issued + self._node.settings.expected_timeout)
        if expiry < now - skew or request.issued > now + skew:
            return "it has expired, or the clocks differ (the setting clock_skew says by how much they may)"
        if request.use is LinkUse.ATTACHED:
            return "it asks for nothing"
        before = self._links.peer(peer)
        newer = 0 if before is None else request.incarnation - before.facts.incarnation
        if newer < 0:
            return "it is of an earlier incarnation"
        held = before if before is not None and newer == 0 and before.use >= request.use else None
        improves = held is not None and held.link.path_kind is PathKind.TUNNEL
        if held is not None and not improves:
            held.link.probe()  # a peer that asks for a link we have may have lost it
            return "there is such a link already"
        if not holds(self._node, REQUEST_LABEL, signed):
            return "its signature does not hold"
        return self._problem_with_signed(peer, request, restarted=newer > 0, improves=improves)

    def _problem_with_signed(
        self, peer: Name, request: ConnectRequest, restarted: bool, improves: bool
    ) -> str:
        # only now: else a forgery with the same nonce could keep the real one out
        if self._seen.seen((peer, request.nonce)):
            return "it came before"
        if restarted:
            self._links.drop(peer, CloseReason.RESTARTED)
        first = next(iter(request.candidates), None)
        # a link that replaces a tunnel takes no new place
        if not improves and not self._wants(peer, request.use, None if first is None else from_wire(first)):
            return "the link is not wanted"
        return ""
