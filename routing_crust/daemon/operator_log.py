"""
The operator's log: the name of the node, its contacts, and what changes.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.logger import Logger

from ..config import Role
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
    observe_all,
)
from ..routing.service import RoutingService
from ..routing.state import State
from ..trust.networks import is_private
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
        self._tries = False
        self._quiet = QuietLog(self.log, service.clock.seconds, LINES_AT_ONCE)
        self._stop_observing = observe_all(
            service,
            {
                StateChanged: self._state_changed,
                GroupConnectedChanged: self._group_changed,
                EndpointsChanged: self._endpoints_changed,
                ReachabilityChanged: self._reachability_changed,
                PeerJoined: self._peer_joined,
                PeerLeft: self._peer_left,
                LinkGained: self._link_gained,
                LinkChanged: self._link_changed,
                LinkLost: self._link_lost,
            },
        )

    def starting(self) -> None:
        """Log the node's name, in a line to copy."""
        service = self._service
        self.log.info(
            "this is the {kind} {name} of the network {network}",
            kind="client" if service.settings.role is Role.CLIENT else "node",
            role=service.settings.role.value,
            name=service.node_name,
            network=service.settings.network,
            event="started",
        )
        if not is_private(service.settings.network):
            self._say_open()

    def _say_open(self) -> None:
        """Log who can get in, once: there are people who take the id for a secret."""
        permissions = self._service.settings.allow_peer
        everyones = dict.fromkeys(each.protocol for each in permissions if each.name is None)
        self.log.info(
            "this network is open: anybody who knows its id can join{may_use}",
            may_use=f", and use {', '.join(everyones)} here" if everyones else "",
            event="open network",
        )

    def started(self) -> None:
        """Log the node's contacts, if it listens, each in a line to copy."""
        self._say_contacts(self._service.endpoints)
        # it dials nobody, so nothing else would say that all is well
        if self._only_waits(self._service.state):
            self.log.info("waiting for the first peer", event="state", state=self._service.state.value)

    def stop(self) -> None:
        """Log nothing more."""
        self._stop_observing()
        self._quiet.flush()

    def _state_changed(self, event: StateChanged) -> None:
        if self._is_news(event):
            self._quiet.info(
                "changes of state",
                "{state} (was {old}){more}",
                state=event.new.value,
                old=event.old.value,
                more="; waiting for a peer" if self._only_waits(event.new) else "",
                event="state",
            )

    def _is_news(self, event: StateChanged) -> bool:
        # the end of the service has a line of its own, as has an attempt to bootstrap that failed
        failed = (event.old, event.new) == (State.BOOTSTRAPPING, State.DISCONNECTED)
        if failed or event.new is State.TERMINATED:
            return False
        again, self._tries = self._tries, event.new is State.BOOTSTRAPPING
        return not (again and self._tries)

    def _only_waits(self, state: State) -> bool:
        return state is State.DISCONNECTED and self._service.settings.role is Role.FIRST

    def _group_changed(self, event: GroupConnectedChanged) -> None:
        if event.connected:
            self._quiet.info("neighbours", "linked with all neighbours", event="neighbours")
        # while the node stops, its links go one by one: that is no news
        elif self._service.running:
            self._quiet.info("neighbours", "links with some neighbours are missing", event="neighbours")

    def _endpoints_changed(self, event: EndpointsChanged) -> None:
        self._say_contacts(event.endpoints)

    def _reachability_changed(self, event: ReachabilityChanged) -> None:
        dialable = event.reachability.dialable
        self._quiet.info(
            "reachability",
            "{say} (NAT: {nat})",
            say=_in_words(dialable),
            nat=event.reachability.nat.name.lower(),
            dialable=dialable.value,
            event="reachability",
        )

    def _say_contacts(self, endpoints: tuple[Endpoint, ...]) -> None:
        # once each: the list comes whole whenever any of it changes
        for endpoint in endpoints:
            if endpoint not in self._said:
                contact = Contact(endpoint, self._service.node_name)
                self._quiet.info("contacts", "contact: {contact}", contact=contact, event="contact")
        self._said = endpoints

    def _peer_joined(self, event: PeerJoined) -> None:
        # a link of its own tells of most of them
        self._quiet.debug("members gained", "{peer} is in the routing table", peer=event.name, event="joined")

    def _peer_left(self, event: PeerLeft) -> None:
        self._quiet.debug("members lost", "{peer} has left the routing table", peer=event.name, event="left")

    def _link_gained(self, event: LinkGained) -> None:
        self._say_link(event.link, "link")

    def _link_changed(self, event: LinkChanged) -> None:
        self._say_link(event.new, "link changed")

    def _say_link(self, link: LinkFacts, event: str) -> None:
        how = connection_type(link.path_kind.value)
        self._quiet.info(
            "links gained",
            "link {direction} {kind} {who} at {address} for {use}{how}{one_way}",
            kind="client" if link.is_client else "node",
            use=link.use.name.lower(),
            connection_type=how,
            how="" if link.path_kind is PathKind.DIRECT else f", {how}",
            one_way="" if link.two_way else ", one-way",
            event=event,
            **self._facts(link),
        )

    def _link_lost(self, event: LinkLost) -> None:
        link = event.link
        self._quiet.info(
            "links lost",
            "lost the link {direction} {who} at {address}: {reason}",
            reason=event.reason.text + (f" ({event.detail})" if event.detail else ""),
            event="link lost",
            **self._facts(link),
        )

    def _facts(self, link: LinkFacts) -> dict[str, Any]:
        nickname = self._service.directory.nickname_of(link.name)
        return {
            "by": link.connection.peer.prefix,
            "direction": "to" if link.direction is Direction.CONNECTED else "from",
            "who": f"{nickname} ({link.name.short})" if nickname else link.name,
            "nickname": nickname,
            "peer": link.name,
            "address": link.connection.peer,
        }


def _in_words(dialable: Dialable) -> str:
    if dialable is Dialable.YES:
        return "others can dial us from outside"
    if dialable is Dialable.NO:
        return "others cannot dial us from outside"
    return "whether others can dial us from outside is not known"
