"""
All that the page shows at one moment, as values for JSON. What peers have chosen, such as nicknames and
reasons, is in it as text in which no character can change the direction of writing or be invisible; the page
escapes the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from ...errors import InvalidName
from ...routing.service import RoutingService
from ..rates import StreamRates
from ..text import one_line
from .journal import EventJournal

Status = Mapping[str, Any]


class PageSource(Protocol):
    """What the page shows."""

    @property
    def status(self) -> Callable[[], Status]:
        """As C{routing-crust status --json}."""

    @property
    def members(self) -> Callable[[], Iterable[Mapping[str, Any]] | None]:
        """As C{routing-crust members --json}; C{None} in an open network."""


class ServiceSource:
    """The source of a program that has a node of its own."""

    def __init__(self, service: RoutingService) -> None:
        self._service = service

    def status(self) -> Status:
        """The status of the service."""
        return self._service.status()

    def members(self) -> None:
        """Nothing: the certificates are the program's own affair."""


@dataclass(frozen=True, slots=True)
class NodeSource:
    """
    What the page of a daemon shows.

    @ivar status: as C{routing-crust status --json}.
    @ivar members: as C{routing-crust members --json}; C{None} in an open network.
    """

    status: Callable[[], Mapping[str, Any]]
    members: Callable[[], Iterable[Mapping[str, Any]] | None]


class Served(Protocol):
    """The page of a daemon, while it is there to be looked at."""

    def start(self) -> None:
        """Listen."""

    def stop(self) -> Deferred[None]:
        """Listen no more."""


class Snapshots:
    """Makes them, and knows the one before, for rates."""

    def __init__(self, service: RoutingService, source: PageSource, journal: EventJournal) -> None:
        self._service = service
        self._source = source
        self._journal = journal
        self._rates = StreamRates()

    def take(self) -> bytes:
        """The present one, as JSON."""
        status = self._source.status()
        members = self._source.members()
        rates = self._rates.of(status.get("streams", ()), self._service.clock.seconds())
        snapshot = {
            "status": status,
            "stream_rates": {str(number): each for number, each in rates.items()},
            "members": None if members is None else list(members),
            "states": self._journal.states(),
            "events": self._journal.events(),
        }
        return as_json(snapshot)

    def explanation(self, name: str) -> bytes | None:
        """Why there is a link with this peer, or none, as JSON; C{None} if this is no name."""
        try:
            return as_json(self._service.explain(name).as_dict())
        except InvalidName:
            return None


def as_json(value: object) -> bytes:
    """One line of ASCII, with escapes for what a browser could show in another place than it stands."""
    return json.dumps(_cleaned(value), separators=(",", ":")).encode("ascii")


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, Mapping):
        return {one_line(str(key)): _cleaned(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(each) for each in value]
    return value
