"""
A node that tests start on a host behind a router: C{python -m tests.natlab.mapped_node SEED ENDPOINT WAY}.
WAY is how the router is asked first: C{pcp} or C{natpmp}; over UPnP it is asked then.

Its port mapping has a clock of its own, which a test moves. It does what its standard input says, line by
line: C{advance SECONDS} moves that clock, C{changed} has the network changed, C{connect SEED ENDPOINT} dials
another, C{stop} ends it. It says what happens.
"""

from __future__ import annotations

import sys
from functools import partial
from random import Random, SystemRandom
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogBeginner
from twisted.protocols.basic import LineReceiver
from zope.interface import implementer

from routing_crust.config import Settings
from routing_crust.crust.interfaces import ICrustEvents, ILink
from routing_crust.crust.mapping import natpmprouter, pcprouter
from routing_crust.crust.mapping.gateway import find_gateway, find_gateways_v6
from routing_crust.crust.mapping.lease import RouterAccess
from routing_crust.crust.mapping.natpmprouter import NatPmpRouter
from routing_crust.crust.mapping.pcprouter import PcpRouter
from routing_crust.crust.mapping.portmapper import PortMapper, Told
from routing_crust.crust.mapping.upnp import UpnpRouter, in_daemon_thread
from routing_crust.crust.platform import Mapper, SystemPlatform
from routing_crust.crust.reachability import Reachability
from routing_crust.crust.service import CrustService
from routing_crust.endpoints import Endpoint
from routing_crust.errors import LinkClosed
from routing_crust.identity import Identity
from routing_crust.timing.shares import OURSELVES

from ..crust.addresses import identity, name

reactor: Any = _reactor


class MappedPlatform(SystemPlatform):
    """Asks routers in one way, then by UPnP, and again when this clock is advanced."""

    def __init__(self, clock: Clock, way: str) -> None:
        super().__init__(reactor)
        self._mapping_clock = clock
        self._first_way = way

    def mapper(
        self, settings: Settings, identity: Identity, random: Random, mapped: Told, unmapped: Told
    ) -> Mapper:
        pcp = partial(PcpRouter, reactor, partial(identity.sign, "port mapping", ""))
        first: Any = pcp if self._first_way == "pcp" else partial(NatPmpRouter, reactor)
        ways = (first, partial(UpnpRouter, random=random, in_thread=partial(in_daemon_thread, reactor)))
        access = RouterAccess(find_gateway, ways, find_gateways_v6, (pcp,))
        return PortMapper(settings, self._mapping_clock, random, access, mapped, unmapped)


@implementer(ICrustEvents)
class Node(LineReceiver):
    delimiter = b"\n"

    def __init__(self, seed: int, listen: Endpoint, way: str) -> None:
        self.clock = Clock()
        settings = Settings(listen=(listen,), lan_discovery=False)
        platform = MappedPlatform(self.clock, way)
        self.crust = CrustService(settings, identity(seed), platform, SystemRandom())
        self.mapper = self.crust._mapper

    def connectionMade(self) -> None:
        self.crust.start(self)

    def lineReceived(self, line: bytes) -> None:
        command, *words = line.decode().split()
        getattr(self, f"do_{command}")(*words)

    def do_advance(self, seconds: str) -> None:
        self.clock.advance(float(seconds))

    def do_changed(self) -> None:
        self.mapper.network_changed()

    def do_connect(self, seed: str, endpoint: str) -> None:
        made = self.crust.connect((Endpoint.from_text(endpoint),), name(int(seed)), b"", OURSELVES)
        made.addErrback(lambda failure: self.say("no link", failure.value))

    def do_stop(self) -> Deferred[None]:
        return self.crust.stop().addCallback(lambda _: reactor.stop())

    def say(self, *words: object) -> None:
        print(*words, flush=True)

    def on_connect(self, link: ILink) -> None:
        self.say("connected", link.path_kind.value, link.connection.peer)

    def on_accept(self, link: ILink) -> None:
        self.say("accepted", link.path_kind.value, link.connection.peer.host)

    def new_message(self, link: ILink, kind: int, payload: bytes) -> None:
        self.say("message", kind)

    def link_doubted(self, link: ILink) -> None:
        """Nothing to do."""

    def lost_connection(self, link: ILink, reason: LinkClosed) -> None:
        self.say("lost", reason)

    def bootstrap_finished(self, links: int, problem: str) -> None:
        self.say("bootstrapped", links, problem)

    def external_endpoints(self, endpoints: tuple[Endpoint, ...]) -> None:
        self.say("endpoints", *endpoints)
        self.say("mapped_ports", *self.crust.mapped_ports)

    def reachability_changed(self, reachability: Reachability) -> None:
        self.say("reachability", reachability.nat.name, reachability.dialable.value)

    def network_changed(self) -> None:
        self.say("changed")


def tell(event: Any) -> None:
    """Print what the port mapping logs, and all that is worse."""
    if event["log_namespace"].endswith("PortKeeper") or event["log_level"] >= LogLevel.warn:
        words = event["log_format"].format(**event) if event.get("log_format") else repr(event)
        print("log", event["log_level"].name, words, *filter(None, [event.get("log_failure")]), flush=True)


if __name__ == "__main__":
    # a router on a busy machine may need more than the 2 s that one at home gets: 32 s in all
    pcprouter.MAX_ATTEMPTS = natpmprouter.MAX_ATTEMPTS = 7  # type: ignore[misc]
    globalLogBeginner.beginLoggingTo([tell], redirectStandardIO=False)
    StandardIO(Node(int(sys.argv[1]), Endpoint.from_text(sys.argv[2]), sys.argv[3]))
    reactor.run()
