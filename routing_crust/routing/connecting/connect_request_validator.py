"""
Requests for a connection, as they are judged by the one who is asked: cheap checks first, the signature
only when they have passed; and which of the addresses in them may be dialled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ...config import Settings
from ...crust.interfaces import ICrust
from ...endpoints import Endpoint, PathKind, is_local_only, refusal_to_dial
from ...errors import CloseReason
from ...history import Way
from ...identity import Identity
from ...names import Name
from ...quietlog import QuietLog
from ...timing.ratelimit import KeyedLimits, SlidingWindow
from ...wire.codec import from_wire
from ...wire.messages import ConnectRequest, LinkUse, Signed, WireEndpoint
from ..links.registry import LinkRegistry
from ..messaging.duplicates import DuplicateFilter

REQUEST_LABEL: Final = "connect-request"


class ConnectRequestValidator:
    """
    Made and asked by L{routing_crust.routing.connecting.connector.Connector}. It remembers the requests that
    it has let pass, so that none is accepted twice.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        clock: IReactorTime,
        crust: ICrust,
        links: LinkRegistry,
        wants: Callable[[Name, LinkUse, Endpoint | None], bool],
        network_now: Callable[[], float],
    ) -> None:
        """
        @param network_now: tells the network's time.
        @param wants: whether a link of this use to a node at such an endpoint is wanted.
        """
        self._settings = settings
        self._identity = identity
        self._clock = clock
        self._crust = crust
        self._links = links
        self._wants = wants
        self._network_now = network_now
        self._quiet = QuietLog(self.log, clock.seconds)
        validity = settings.expected_timeout + 2 * settings.clock_skew
        self._answered = KeyedLimits[str](
            lambda: SlidingWindow(settings.answered_per_prefix, 60.0, clock.seconds)
        )
        self._replays = DuplicateFilter(clock, validity, settings.max_remembered_ids)

    def holds(self, label: str, signed: Signed) -> bool:
        """Whether what is signed was signed under this label, for our network."""
        network = self._settings.network
        return self._identity.holds(signed.key, signed.signature, label, network, signed.body)

    def has_passed(self, peer: Name, nonce: bytes) -> bool:
        """Whether a request was accepted already: others may come of it, by other ways."""
        return (peer, nonce) in self._replays

    def problem_with(self, peer: Name, signed: Signed, request: ConnectRequest) -> str:
        """Why a request is not accepted, cheapest check first; empty if it is."""
        now = self._network_now()
        skew = self._settings.clock_skew
        if request.recipient != self._identity.name.raw:
            return "it is for somebody else"
        expiry = min(request.expiry, request.issued + self._settings.expected_timeout)
        if expiry < now - skew or request.issued > now + skew:
            return "it has expired, or the clocks differ (the setting clock_skew says by how much they may)"
        if request.use is LinkUse.ATTACHED:
            return "it asks for nothing"
        before = self._links.peer(peer)
        newer = 0 if before is None else request.incarnation - before.facts.incarnation
        if newer < 0:
            return "it is of an earlier incarnation"
        held = before if before is not None and newer == 0 and before.use >= request.use else None
        improved = held is not None and held.link.path_kind is PathKind.TUNNEL
        if held is not None and not improved:
            held.link.probe()  # for whoever asks for it may have lost it
            return "there is such a link already"
        if not self.holds(REQUEST_LABEL, signed):
            return "its signature does not hold"
        return self._problem_with_signed(peer, request, restarted=newer > 0, improved=improved)

    def _problem_with_signed(
        self, peer: Name, request: ConnectRequest, restarted: bool, improved: bool
    ) -> str:
        # only now: else a forgery with the same nonce could keep the real one out
        if self._replays.seen((peer, request.nonce)):
            return "it came before"
        if restarted:
            self._links.drop(peer, CloseReason.RESTARTED)
        first = next(iter(request.candidates), None)
        if not improved and not self._wants(peer, request.use, None if first is None else from_wire(first)):
            return "the link is not wanted"
        return ""

    def dialable(self, peer: Name, candidates: tuple[WireEndpoint, ...], source: str) -> tuple[Endpoint, ...]:
        """
        Which of a stranger's addresses may be dialled; the others are logged with the reason.

        @param source: where they stood, in words.
        """
        found: list[Endpoint] = []
        given = candidates[: self._settings.max_candidates]
        self._crust.history.told(peer, map(from_wire, given), source)
        for each in given:
            endpoint = from_wire(each)
            problem = refusal_to_dial(
                endpoint,
                self._settings.private_dialling,
                self._crust.endpoints,
                self._crust.on_link_networks,
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
        Which of the addresses in an answer may be dialled now. Whom we ask we have often only heard of, and
        it may name somebody else's address. What is over C{answered_per_prefix} is left out.
        """
        found = []
        for each in endpoints:
            if is_local_only(each) or self._answered.take(each.prefix):
                found.append(each)
            else:
                problem = "too many answers named addresses near it within a minute (answered_per_prefix)"
                self._crust.history.tried(peer, Way.DIAL, each, f"not dialled: {problem}")
        return tuple(found)
