"""
Explains to an operator why a peer has a link with us, or has none.

Crust's L{History<routing_crust.history.History>} records what was tried; the state of the node decides what
will be. This module puts both together for one peer, on request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import inf, isinf
from typing import Final, Protocol

from ...crust.interfaces import ILink
from ...endpoints import Direction, Endpoint, PathKind
from ...history import Outcome, PeerHistory, Way
from ...hosts.contacts import NamedContact
from ...limits import REQUEST_INTERVAL_SECONDS, UNREACHABLE_SECONDS
from ...names import Name
from ..links.peer import Peer
from ..links.registry import LinkRegistry
from ..membership.neighbourhood import Neighbourhood
from ..node import Node

_DIALS: Final = (Way.DIAL, Way.PUNCH, Way.BOOTSTRAP)
_NOT_DIALLED: Final = "not dialled: "


@dataclass(frozen=True, slots=True)
class CandidateExplained:
    """
    An endpoint of the peer.

    @ivar endpoint: as text.
    @ivar sources: where we have it from, in words.
    @ivar outcome: the result of the last dial; empty without one within the last hour.
    @ivar obstacle: what prevents a dial now; empty if nothing does.
    @ivar next_seconds: in how many seconds it may be dialled; C{None} if it may not be at all.
    """

    endpoint: str
    sources: tuple[str, ...]
    outcome: str
    obstacle: str
    next_seconds: float | None


@dataclass(frozen=True, slots=True)
class AttemptExplained:
    """
    Something that was tried, or happened.

    @ivar seconds_ago: when, the last time.
    @ivar way: a L{Way}, as text.
    @ivar where: an endpoint, or a relay; may be empty.
    @ivar outcome: in words.
    @ivar good: whether it was a success.
    @ivar times: how often.
    """

    seconds_ago: float
    way: str
    where: str
    outcome: str
    good: bool
    times: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    What L{RoutingService.explain<routing_crust.routing.service.RoutingService.explain>} says of a peer.

    @ivar name: the peer, as text.
    @ivar linked: whether there is a confirmed link.
    @ivar summary: how it stands, in a sentence.
    @ivar candidates: its endpoints, as far as we know them.
    @ivar attempts: what was tried within the last hour, the latest last.
    @ivar next: what happens next, and what one can do.
    @ivar nickname: what people call the peer; empty if it has no nickname.
    """

    name: str
    linked: bool
    summary: str
    candidates: tuple[CandidateExplained, ...] = ()
    attempts: tuple[AttemptExplained, ...] = ()
    next: tuple[str, ...] = ()
    nickname: str = ""

    def as_dict(self) -> dict[str, object]:
        """The same in a form that can be written as JSON."""
        return asdict(self)


class PendingRequests(Protocol):
    """Knows the requests for connections that are under way: the C{OutgoingRequests}."""

    def request_age(self, name: Name) -> float | None:
        """For how many seconds a request to this node has been under way; C{None} if none is."""

    def cooldown_left(self, name: Name) -> float:
        """For how many more seconds this node is not asked on our own account."""


def explain(
    node: Node,
    links: LinkRegistry,
    neighbourhood: Neighbourhood,
    requests: PendingRequests,
    refusal: Callable[[Name, Endpoint], str | None],
    name: Name,
    reason: str = "",
) -> Explanation:
    """
    Say what a running node knows of a peer.

    @param refusal: why an address that a peer has given is not dialled; C{None} if it is.
    @param reason: why the tunnel to it has its relay; empty if there is none.
    """
    if name == node.name:
        return Explanation(str(name), False, "this is this node's own name")
    history = node.crust.history.of(name)
    peer = links.peer(name)
    now = node.clock.seconds()
    return Explanation(
        str(name),
        peer is not None,
        _summary(peer, history, now) + (f"; why that relay: {reason}" if reason else ""),
        _candidates(node, refusal, name, history),
        tuple(_attempt(each, now) for each in history.outcomes),
        # where there is a link nothing has to happen
        () if peer is not None else tuple(_next(node, neighbourhood, requests, name)),
    )


def _summary(peer: Peer | None, history: PeerHistory, now: float) -> str:
    if peer is not None:
        link = peer.link
        made = "we connected to" if link.direction is Direction.CONNECTED else "it connected from"
        if link.path_kind is PathKind.TUNNEL:
            made = "through the node at"
        since = now - peer.since
        return (
            f"there is a link: {link.path_kind.value}, {made} {link.connection.peer}, for {in_words(since)}, "
            f"in use as {peer.use.name.lower()}{_round_trip(link)}{_silence(link)}"
        )
    if not history.outcomes:
        return "there is no link, and none was tried within the last hour"
    last = history.outcomes[-1]
    where = f" at {last.where}" if last.where else ""
    ago = in_words(now - last.at)
    return f"there is no link; the last thing that happened, {ago} ago: {last.way.value}{where}: {last.text}"


def _round_trip(link: ILink) -> str:
    seconds = link.round_trip.smoothed
    return "" if seconds is None else f", round trip {_milliseconds(seconds)}"


def _silence(link: ILink) -> str:
    if not link.is_doubted:
        return ""
    return f"; it has not answered for {in_words(link.owed_for)}, and another one is tried for"


def _candidates(
    node: Node, refusal: Callable[[Name, Endpoint], str | None], name: Name, history: PeerHistory
) -> tuple[CandidateExplained, ...]:
    sources: dict[Endpoint, list[str]] = {}
    for contact in node.crust.configured_contacts():
        if contact.name == name:
            sources.setdefault(contact.endpoint, []).append("the setting contacts")
    for contact in node.crust.saved_contacts():
        if contact.name == name:
            sources.setdefault(contact.endpoint, []).append("the saved contacts")
    for told in history.told:
        sources.setdefault(told.endpoint, []).append(told.source)
    # what kept us from dialling then may not do so now; the attempts have it
    last = {
        each.where: each.text
        for each in history.outcomes
        if each.way in _DIALS and not each.text.startswith(_NOT_DIALLED)
    }
    found = [
        CandidateExplained(each.where, ("the setting contacts",), "", problem, None)
        for each in node.settings.contacts
        if isinstance(each, NamedContact) and each.name == name and (problem := node.crust.problem_with(each))
    ]
    for endpoint, who in sources.items():
        obstacle, seconds = node.crust.obstacle(endpoint, name)
        refused = "" if obstacle else refusal(name, endpoint)
        if refused:
            obstacle, seconds = refused, inf
        found.append(
            CandidateExplained(
                str(endpoint),
                tuple(who),
                last.get(str(endpoint), ""),
                obstacle,
                # JSON has no infinity
                None if isinf(seconds) else round(seconds, 1),
            )
        )
    return tuple(found)


def _attempt(each: Outcome, now: float) -> AttemptExplained:
    ago = round(max(0.0, now - each.at), 1)
    return AttemptExplained(ago, each.way.value, each.where, each.text, each.good, each.times)


def _next(node: Node, neighbourhood: Neighbourhood, requests: PendingRequests, name: Name) -> list[str]:
    """What is tried next without a link, and what an operator can do."""
    if not neighbourhood.bootstrapped:
        return [
            "this node has no way into the network yet, and until then asks for no node by name: see 'status'"
        ]
    age = requests.request_age(name)
    if age is not None:
        return [
            f"a request for a connection has been under way for {in_words(age)}; without an answer "
            f"within {REQUEST_INTERVAL_SECONDS:g} s another one follows while a caller waits, for "
            f"{UNREACHABLE_SECONDS:g} s in all"
        ]
    wait = requests.cooldown_left(name)
    if node.members.is_banned(name):
        return ["it is banned from this network: no member has a link with it, or takes anything from it"]
    if node.is_client or not neighbourhood.table.seeks(name):
        first = "this node does not try by itself: it does not need a link with it"
    elif wait:
        first = f"the routing table wants it, but it did not answer: left alone for {in_words(wait)}"
    else:
        first = "the routing table wants it: it is asked when the node looks around next, and hears of it"
    return [
        first,
        "messages reach it without a link of our own, if it is in the network; RoutingService.connect() or a "
        "stream asks it for one at once",
    ]


def _milliseconds(seconds: float) -> str:
    """A round trip: with a decimal where it is short."""
    in_ms = 1000 * seconds
    return f"{in_ms:.1f} ms" if in_ms < 10 else f"{in_ms:.0f} ms"


def in_words(seconds: float) -> str:
    """A time span."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole // 60 % 60} min"
