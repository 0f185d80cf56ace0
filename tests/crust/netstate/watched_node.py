"""
A node that tests start in a network namespace: C{python -m tests.crust.netstate.watched_node SEED}.

It does what its standard input says, line by line: C{connect SEED ENDPOINT} dials another, C{send} sends a
frame on every link, C{stop} ends it. It says what happens.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.logger import LogLevel, globalLogBeginner
from twisted.protocols.basic import LineReceiver
from zope.interface import implementer

from routing_crust.config import Settings
from routing_crust.crust.interfaces import ICrustEvents, ILink
from routing_crust.crust.platform import SystemPlatform
from routing_crust.crust.reachability import Reachability
from routing_crust.crust.service import CrustService
from routing_crust.endpoints import Endpoint
from routing_crust.errors import LinkClosed
from routing_crust.timing.shares import OURSELVES

from ..addresses import at, identity, name

reactor: Any = _reactor


@implementer(ICrustEvents)
class Node(LineReceiver):
    delimiter = b"\n"

    def __init__(self, seed: int) -> None:
        settings = Settings(
            listen=(at("0.0.0.0:5483"),),
            lan_discovery=False,
            port_mapping=False,
            inactivity_timeout=300,
        )
        self.crust = CrustService(settings, identity(seed), SystemPlatform(reactor))
        self.links: list[ILink] = []

    def connectionMade(self) -> None:
        self.crust.start(self)
        self.say("started")

    def lineReceived(self, line: bytes) -> None:
        command, *words = line.decode().split()
        getattr(self, f"do_{command}")(*words)

    def do_connect(self, seed: str, endpoint: str) -> None:
        made = self.crust.connect((Endpoint.from_text(endpoint),), name(int(seed)), b"", OURSELVES)
        made.addErrback(lambda failure: self.say("no link", failure.value))

    def do_send(self) -> None:
        for link in self.links:
            link.send(200, b"")

    def do_stop(self) -> Deferred[None]:
        return self.crust.stop().addCallback(lambda _: reactor.stop())

    def say(self, *words: object) -> None:
        print(*words, flush=True)

    def on_connect(self, link: ILink) -> None:
        link.verified()
        self.links.append(link)
        self.say("link", link.connection.local.host, "to", link.connection.peer.host)

    on_accept = on_connect

    def new_message(self, link: ILink, kind: int, payload: bytes) -> None:
        self.say("message", kind)

    def link_doubted(self, link: ILink) -> None:
        """Nothing to do."""

    def lost_connection(self, link: ILink, reason: LinkClosed) -> None:
        self.links.remove(link)
        self.say("lost", link.connection.local.host, reason)

    def bootstrap_finished(self, links: int, problem: str) -> None:
        self.say("bootstrapped", links, problem)

    def external_endpoints(self, endpoints: tuple[Endpoint, ...]) -> None:
        self.say("endpoints", *endpoints)

    def reachability_changed(self, reachability: Reachability) -> None:
        self.say("reachability", reachability.nat.name, reachability.dialable.value)

    def network_changed(self) -> None:
        self.say("changed")


def tell(event: Any) -> None:
    """Print what goes wrong."""
    if event["log_level"] >= LogLevel.warn:
        words = event["log_format"].format(**event) if event.get("log_format") else repr(event)
        print("log", event["log_level"].name, words, *filter(None, [event.get("log_failure")]), flush=True)


if __name__ == "__main__":
    globalLogBeginner.beginLoggingTo([tell], redirectStandardIO=False)
    StandardIO(Node(int(sys.argv[1])))
    reactor.run()
