"""
Candidates: the addresses that the two ends of a connection request give each other. Crust knows ours. Those
of a peer are given by a stranger, who may name the address of a third party to have us dial it.
"""

from __future__ import annotations

from typing import Final

from twisted.logger import Logger

from ...endpoints import Endpoint, is_local_only, refusal_to_dial
from ...history import Way
from ...limits import MAX_CANDIDATES
from ...names import Name
from ...quietlog import QuietLog
from ...timing.ratelimit import KeyedLimits, SlidingWindow
from ...wire.codec import from_wire, to_wire
from ...wire.messages import WireEndpoint
from ..node import Node

MAX_ANSWERED_PER_PREFIX_PER_MINUTE: Final = 32
"""Addresses in one /24 or /48 that may be dialled because answers named them."""
MAX_ANSWERED_PER_LOCAL_ENDPOINT_PER_MINUTE: Final = 8
"""Dials of one local address and port because answers named it."""


class CandidateExchange:
    """Made at each start, asked by what sends and receives requests and responses."""

    log = Logger()

    def __init__(self, node: Node) -> None:
        self._settings = node.settings
        self._crust = node.crust
        self._quiet = QuietLog(self.log, node.clock.seconds)
        seconds = node.clock.seconds
        self._answered: KeyedLimits[str] = KeyedLimits(
            lambda: SlidingWindow(MAX_ANSWERED_PER_PREFIX_PER_MINUTE, 60.0, seconds)
        )
        self._answered_locally: KeyedLimits[Endpoint] = KeyedLimits(
            lambda: SlidingWindow(MAX_ANSWERED_PER_LOCAL_ENDPOINT_PER_MINUTE, 60.0, seconds)
        )

    def ours(self) -> tuple[WireEndpoint, ...]:
        """The addresses at which others may be able to dial us, for a request or a response."""
        return tuple(to_wire(each) for each in self._crust.candidates[:MAX_CANDIDATES])

    def dialable(self, peer: Name, candidates: tuple[WireEndpoint, ...], source: str) -> tuple[Endpoint, ...]:
        """
        The addresses of a peer that may be dialled; the others are logged with the reason.

        @param source: the message that gave them, in words.
        """
        found: list[Endpoint] = []
        given = candidates[:MAX_CANDIDATES]
        # before any is refused: a person who asks why there is no link should see all that we were told
        self._crust.history.told(peer, map(from_wire, given), source)
        for each in given:
            endpoint = from_wire(each)
            problem = refusal_to_dial(
                endpoint,
                self._settings.private_dialling,
                self._crust.endpoints,
                self._crust.on_link_networks,
                self._crust.own_hosts,
            )
            if problem is None:
                found.append(endpoint)
            else:
                self._crust.history.tried(peer, Way.DIAL, endpoint, f"not dialled: {problem}")
                self._quiet.info(
                    problem,
                    "{endpoint}, given by {peer}, is not dialled: {reason}",
                    endpoint=endpoint,
                    peer=peer,
                    reason=problem,
                )
        return tuple(found)

    def affordable(self, peer: Name, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        """
        The addresses of a response that may be dialled now: at most C{MAX_ANSWERED_PER_PREFIX_PER_MINUTE} a
        minute, and of local ones, of which a whole network may stand on one machine, each at most
        C{MAX_ANSWERED_PER_LOCAL_ENDPOINT_PER_MINUTE} times.

        A request counts against C{stranger_dials}. A response does not, since we asked for it. But
        its sender is often a node that we know by name only, and may name a third party's address as well.
        """
        found = []
        for each in endpoints:
            local = is_local_only(each)
            if self._answered_locally.take(each) if local else self._answered.take(each.prefix):
                found.append(each)
            else:
                problem = "too many answers named addresses near it within a minute"
                self._crust.history.tried(peer, Way.DIAL, each, f"not dialled: {problem}")
        return tuple(found)
