"""
A node that is measured: C{python -m tests.natlab.caller LISTEN [CONTACT ...] [--call NAME]}.

It says what happens, a line of JSON each: C{node} with its contact once it is there, C{connected} with what
it believes of its NAT when it is and each time that this changes, C{link} with the path kind and the seconds
since its start, and C{message} with the seconds until the first message was acknowledged. For each line of
its standard input it sends another message, and says C{again} with the seconds that this took and the path
kind of the link by then. It ends when its standard input does.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, globalLogBeginner
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from routing_crust import Contact, Endpoint, Name, Role, RoutingService, Settings
from routing_crust.errors import RoutingCrustError
from routing_crust.routing.events import LinkChanged, LinkFacts, LinkGained, LinkLost, ReachabilityChanged

reactor: Any = _reactor
AGAIN = 0.5
"""Seconds after which it repeats a request that failed."""


class Caller:
    """A service that reports its events, and those of one link if it is to make one."""

    def __init__(self, listen: Sequence[Endpoint], contacts: Sequence[Contact], callee: Name | None) -> None:
        self._callee = callee
        settings = Settings(
            role=Role.NODE if contacts else Role.FIRST,
            listen=tuple(listen),
            contacts=tuple(contacts),
            lan_discovery=False,
            port_mapping=False,
        )
        self.service = RoutingService(settings, reactor=reactor)
        self.service.observe(LinkGained, lambda event: self._linked(event.link))
        self.service.observe(LinkChanged, lambda event: self._linked(event.new))
        self.service.observe(LinkLost, lambda event: self._lost(event.link, event.reason.value))
        self.service.observe(ReachabilityChanged, lambda event: self._reachable())

    async def run(self) -> None:
        self._began = time.monotonic()
        self.service.startService()
        say("node", contact=str(self.service.contact or ""), name=str(self.service.node_name))
        await self.service.when_connected()
        self._reachable()
        if self._callee is not None:
            await self._call(self._callee)
            say("message", seconds=time.monotonic() - self._began)

    async def again(self) -> None:
        """Send another message to the node that was called."""
        assert self._callee is not None
        began = time.monotonic()
        await self._call(self._callee)
        seconds = time.monotonic() - began
        link = await self.service.connect(self._callee)
        say("again", seconds=seconds, path_kind=link.path_kind.value)

    async def _call(self, callee: Name) -> None:
        while not await self._has_sent(callee):
            await deferLater(reactor, AGAIN)

    async def _has_sent(self, callee: Name) -> bool:
        try:
            await self.service.connect(callee)
            await self.service.send(callee, b"hello")
        except RoutingCrustError as problem:
            say("problem", text=str(problem))
            return False
        return True

    def _reachable(self) -> None:
        say("connected", nat=self.service.status()["nat"], seconds=time.monotonic() - self._began)

    def _linked(self, link: LinkFacts) -> None:
        if self._callee in (None, link.name):
            say(
                "link",
                peer=str(link.name),
                path_kind=link.path_kind.value,
                seconds=time.monotonic() - self._began,
            )

    def _lost(self, link: LinkFacts, reason: str) -> None:
        if self._callee in (None, link.name):
            say("lost", peer=str(link.name), path_kind=link.path_kind.value, reason=reason)


class _Orders(LineOnlyReceiver):
    """Standard input."""

    delimiter = b"\n"

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def lineReceived(self, line: bytes) -> None:
        _report_failure(Deferred.fromCoroutine(self._caller.again()))

    def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008
        reactor.stop()


def say(what: str, **values: object) -> None:
    """Print a line."""
    print(json.dumps({"what": what, **values}), flush=True)


def _report_failure(running: Deferred[None]) -> None:
    running.addErrback(lambda failure: say("error", text=failure.getTraceback()))


def _complain(event: Any) -> None:
    if event["log_level"] >= LogLevel.error:
        say("error", text=repr(event.get("log_failure") or event.get("log_format")))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.natlab.caller")
    parser.add_argument("listen", type=lambda text: [Endpoint.from_text(each) for each in text.split(",")])
    parser.add_argument("contacts", type=Contact.from_text, nargs="*")
    parser.add_argument("--call", type=Name.from_text)
    options = parser.parse_args()
    globalLogBeginner.beginLoggingTo([_complain], redirectStandardIO=False)
    caller = Caller(options.listen, options.contacts, options.call)
    StandardIO(_Orders(caller))
    _report_failure(Deferred.fromCoroutine(caller.run()))
    reactor.run()


if __name__ == "__main__":
    sys.exit(main())
