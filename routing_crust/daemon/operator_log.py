"""
The operator's log: the name of the node, its contacts, and what changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

from ..crust.reachability import Dialable
from ..endpoints import Contact, Direction, Endpoint, PathKind
from ..quietlog import QuietLog
from ..routing.events import (
    EndpointsChanged,
    GroupConnectedChanged,
    LinkChanged,
    LinkFacts,
    LinkGained,
    LinkLost,
    PeerJoined,
    PeerLeft,
    ReachabilityChanged,
    StateChanged,
)
from ..routing.service import RoutingService
from .text import connection_type

LINES_AT_ONCE: Final = 32
"""Lines of one kind and prefix: those of a start, say, with all its links."""


class OperatorLog:
    """
    Made by the daemon for one L{RoutingService}, whose events it logs until L{stop}. Peers cause most of
    them, so there are limits on their lines.
    """

    log = Logger()

    def __init__(self, service: RoutingService) -> None:
        self._service = service
        self._said: tuple[Endpoint, ...] = ()
        self._quiet = QuietLog(self.log, service.clock.seconds, LINES_AT_ONCE)
        # each call of observe() returns the function that ends it
        self._stops: list[Callable[[], None]] = [
            service.observe(StateChanged, self._state_changed),
            service.observe(GroupConnectedChanged, self._group_changed),
            service.observe(EndpointsChanged, self._endpoints_changed),
            service.observe(ReachabilityChanged, self._reachability_changed),
            service.observe(PeerJoined, self._peer_joined),
            service.observe(PeerLeft, self._peer_left),
            service.observe(LinkGained, self._link_gained),
            service.observe(LinkChanged, self._link_changed),
            service.observe(LinkLost, self._link_lost),
        ]

    def started(self) -> None:
        """Log the node's name and, if it listens, its contacts, each in a line to copy."""
        service = self._service
        self.log.info(
            "this is {role} {name} of the network {network}",
            role="the client" if service.settings.role.value == "client" else "the node",
            name=service.node_name,
            network=service.settings.network,
        )
        self._say_contacts(service.endpoints)

    def stop(self) -> None:
        """Log nothing more."""
        for stop in self._stops:
            stop()
        self._quiet.flush()

    def _state_changed(self, event: StateChanged) -> None:
        self._quiet.info("changes of state", "{new} (was {old})", new=event.new.value, old=event.old.value)

    def _group_changed(self, event: GroupConnectedChanged) -> None:
        if event.connected:
            self._quiet.info("neighbours", "linked with all neighbours")
        # while the node stops, its links go one by one: that is no news
        elif self._service.running:
            self._quiet.info("neighbours", "links with some neighbours are missing")

    def _endpoints_changed(self, event: EndpointsChanged) -> None:
        self._say_contacts(event.endpoints)

    def _reachability_changed(self, event: ReachabilityChanged) -> None:
        say = _in_words(event.reachability.dialable)
        self._quiet.info(
            "reachability", "{say} (NAT: {nat})", say=say, nat=event.reachability.nat.name.lower()
        )

    def _say_contacts(self, endpoints: tuple[Endpoint, ...]) -> None:
        # once each: the list comes whole whenever any of it changes
        for endpoint in endpoints:
            if endpoint not in self._said:
                contact = Contact(endpoint, self._service.node_name)
                self._quiet.info("contacts", "contact: {contact}", contact=contact)
        self._said = endpoints

    def _peer_joined(self, event: PeerJoined) -> None:
        self._quiet.info("members gained", "{peer} is in the routing table", peer=event.name)

    def _peer_left(self, event: PeerLeft) -> None:
        self._quiet.info("members lost", "{peer} has left the routing table", peer=event.name)

    def _link_gained(self, event: LinkGained) -> None:
        link = event.link
        self._quiet.info(
            "links gained",
            "link {direction} {kind} {peer} at {address} for {use}{path_kind}{one_way}",
            by=link.connection.peer.prefix,
            direction=_direction(link),
            kind="client" if link.is_client else "node",
            peer=link.name,
            address=link.connection.peer,
            use=link.use.name.lower(),
            path_kind=""
            if link.path_kind is PathKind.DIRECT
            else f", {connection_type(link.path_kind.value)}",
            one_way="" if link.two_way else ", one-way",
        )

    def _link_changed(self, event: LinkChanged) -> None:
        self._link_gained(LinkGained(event.new))

    def _link_lost(self, event: LinkLost) -> None:
        link = event.link
        self._quiet.info(
            "links lost",
            "lost the link {direction} {peer} at {address}: {reason}{detail}",
            by=link.connection.peer.prefix,
            direction=_direction(link),
            peer=link.name,
            address=link.connection.peer,
            reason=event.reason.text,
            detail=f" ({event.detail})" if event.detail else "",
        )


def _in_words(dialable: Dialable) -> str:
    if dialable is Dialable.YES:
        return "others can dial us from outside"
    if dialable is Dialable.NO:
        return "others cannot dial us from outside"
    return "whether others can dial us from outside is not known"


def _direction(link: LinkFacts) -> str:
    return "to" if link.direction is Direction.CONNECTED else "from"
