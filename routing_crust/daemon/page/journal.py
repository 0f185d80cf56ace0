"""
What has happened lately: the latest events with their reasons, the states of the last hour, and how often
each kind of event came about since the start. All of it is bounded, whatever peers do.
"""

from __future__ import annotations

from collections import Counter, deque
from itertools import count
from typing import Final

from ...names import Name
from ...routing.events import (
    EndpointsChanged,
    GroupConnectedChanged,
    LinkChanged,
    LinkFacts,
    LinkGained,
    LinkLost,
    ReachabilityChanged,
    StateChanged,
    observe_all,
)
from ...routing.service import RoutingService
from ..text import connection_type, path_text

MAX_EVENTS: Final = 200
MAX_STATES: Final = 400
STATES_SECONDS: Final = 3600.0
"""For how long states are shown."""
MAX_TEXT_CHARACTERS: Final = 300
"""Characters of an event, which may quote what a peer sent."""


class EventJournal:
    """
    Made for one L{RoutingService}, whose events it keeps until L{stop}.

    @ivar counts: how often each kind of event came about, by the name of a metric and the value of its label.
    """

    def __init__(self, service: RoutingService) -> None:
        self._service = service
        self._events: deque[tuple[int, float, str, str, str]] = deque(maxlen=MAX_EVENTS)
        self._numbers = count(1)
        now = service.clock.seconds()
        self._states: deque[tuple[float, str]] = deque([(now, service.state.value)], maxlen=MAX_STATES)
        self.counts: Counter[tuple[str, str]] = Counter()
        self._stop_observing = observe_all(
            service,
            {
                StateChanged: self._state_changed,
                GroupConnectedChanged: self._group_changed,
                EndpointsChanged: self._endpoints_changed,
                ReachabilityChanged: self._reachability_changed,
                LinkGained: self._link_gained,
                LinkChanged: self._link_changed,
                LinkLost: self._link_lost,
            },
        )

    def stop(self) -> None:
        """Keep nothing more."""
        self._stop_observing()

    def add(self, kind: str, text: str, peer: Name | str = "") -> None:
        """
        Keep an event.

        @param kind: a fixed word of the program.
        @param text: what has happened, in words.
        @param peer: whom it is about.
        """
        now = self._service.clock.seconds()
        self._events.append((next(self._numbers), now, kind, str(peer), text[:MAX_TEXT_CHARACTERS]))

    def events(self) -> list[dict[str, object]]:
        """The latest first, as values for JSON."""
        now = self._service.clock.seconds()
        return [
            {
                "number": number,
                "seconds_ago": round(max(0.0, now - at), 1),
                "kind": kind,
                "peer": peer,
                # looked up each time: a certificate may come after the event
                "nickname": self._nickname(peer),
                "text": text,
            }
            for number, at, kind, peer, text in reversed(self._events)
        ]

    def states(self) -> list[dict[str, object]]:
        """The states of the last hour, the oldest first, each with its age; as values for JSON."""
        now = self._service.clock.seconds()
        # the one that holds now stays, however old it is, and so does what the hour began with
        while len(self._states) > 1 and now - self._states[1][0] > STATES_SECONDS:
            self._states.popleft()
        return [{"state": state, "seconds_ago": round(max(0.0, now - at), 1)} for at, state in self._states]

    def _nickname(self, peer: str) -> str:
        try:
            return self._service.directory.nickname_of(Name.from_text(peer)) if peer else ""
        except ValueError:  # it is a nickname itself
            return ""

    def _state_changed(self, event: StateChanged) -> None:
        self._states.append((self._service.clock.seconds(), event.new.value))
        self.counts["state_changes", event.new.value] += 1
        self.add("state", f"{event.new.value} (was {event.old.value})")

    def _group_changed(self, event: GroupConnectedChanged) -> None:
        self.add(
            "neighbours", "linked with all neighbours" if event.connected else "some neighbours are missing"
        )

    def _endpoints_changed(self, event: EndpointsChanged) -> None:
        where = ", ".join(map(str, event.endpoints))
        self.add(
            "endpoints", f"others can dial {where}" if where else "others cannot dial any address of ours"
        )

    def _reachability_changed(self, event: ReachabilityChanged) -> None:
        found = event.reachability
        self.add(
            "reachability", f"dialable from outside: {found.dialable.value} (NAT: {found.nat.name.lower()})"
        )

    def _link_gained(self, event: LinkGained) -> None:
        self.counts["links_gained", connection_type(event.link.path_kind.value)] += 1
        self._link("link", event.link)

    def _link_changed(self, event: LinkChanged) -> None:
        self.counts["links_replaced", connection_type(event.new.path_kind.value)] += 1
        self._link("link changed", event.new)

    def _link(self, kind: str, link: LinkFacts) -> None:
        how = path_text(link.path_kind.value, None if link.via is None else link.via.short)
        self.add(kind, f"{how}, at {link.connection.peer}, for {link.use.name.lower()}", link.name)

    def _link_lost(self, event: LinkLost) -> None:
        self.counts["links_lost", event.reason.name.lower()] += 1
        detail = f" ({event.detail})" if event.detail else ""
        self.add("link lost", f"{event.reason.text}{detail}", event.link.name)
