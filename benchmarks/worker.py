"""
A worker process: runs one actor, whose methods are called by lines on standard input (L{.processes}).

Started by the benchmark as C{python -m benchmarks.worker ACTOR CORE [PROFILE]}; ends when its input does.
"""

from __future__ import annotations

import cProfile
import gc
import importlib
import json
import os
import resource
import sys
from collections.abc import Coroutine
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.internet.stdio import StandardIO
from twisted.logger import ILogObserver, LogLevel, globalLogBeginner, textFileLogObserver
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import provider

ACTORS: Final = {
    "bare": "benchmarks.bare:BareActor",
    "amp": "benchmarks.amp:AMPActor",
    "link": "benchmarks.ours:LinkActor",
    "handshake": "benchmarks.set_ups:HandshakeActor",
    "service": "benchmarks.by_name:ServiceActor",
    "first-sender": "benchmarks.first_messages:FirstSender",
    "newcomers": "benchmarks.first_messages:Newcomers",
    "session-handshakes": "benchmarks.first_messages:Handshakes",
    "streams": "benchmarks.streaming:OurStreams",
    "passing-streams": "benchmarks.survival:PassingStreams",
    "bare-streams": "benchmarks.streaming:BareStreams",
    "plain": "benchmarks.forwarding.plain:PlainStreams",
    "forward-ours": "benchmarks.forwarding.ours:ForwardingNode",
    "forward-ssh": "benchmarks.forwarding.programs:Ssh",
    "forward-socat": "benchmarks.forwarding.programs:Socat",
    "foolscap": "benchmarks.foolscap_calls:FoolscapActor",
    "simulation": "benchmarks.simulated:SimulationActor",
    "clock": "benchmarks.simulated:ClockActor",
    "ed25519": "benchmarks.signatures:SignatureActor",
    "soak-node": "benchmarks.soak.actors:SoakNode",
    "soak-crowd": "benchmarks.soak.actors:SoakCrowd",
}


class Commands(LineOnlyReceiver):
    """Turns lines into calls of the actor's methods, and what they return into lines."""

    delimiter = b"\n"
    MAX_LENGTH = 1 << 20
    transport: Any

    def __init__(self, reactor: Any, actor: Any) -> None:
        self._reactor = reactor
        self._actor = actor

    def lineReceived(self, line: bytes) -> None:
        """Make one call."""
        call = json.loads(line)
        Deferred.fromCoroutine(self._answer(call["id"], call["do"], call["with"]))

    async def _answer(self, ident: int, do: str, arguments: dict[str, Any]) -> None:
        try:
            result: Any = getattr(self._actor, f"do_{do}")(**arguments)
            if isinstance(result, (Coroutine, Deferred)):
                result = await result
            answer = {"id": ident, "ok": result}
        except Exception:
            answer = {"id": ident, "error": Failure().getTraceback()}
        self.transport.write(json.dumps(answer).encode() + b"\n")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The benchmark is done with us."""
        if self._reactor.running:
            self._reactor.stop()


def pin(core: int) -> None:
    """Stay on one core, if the system can do that; C{-1} is any."""
    if core >= 0 and hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[core % len(allowed)]})


def raise_file_limit() -> None:
    """Allow as many descriptors as the system lets us have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(arguments: list[str]) -> None:
    """Run one actor until standard input closes."""
    pin(int(arguments[1]))
    raise_file_limit()
    globalLogBeginner.beginLoggingTo([_report_errors], redirectStandardIO=False)
    module, _, name = ACTORS[arguments[0]].partition(":")
    actor = getattr(importlib.import_module(module), name)
    from twisted.internet import reactor

    StandardIO(Commands(reactor, actor(reactor)), reactor=reactor)
    gc.freeze()  # what was imported is not walked again, on any side
    if len(arguments) > 2:
        cProfile.runctx("reactor.run()", {"reactor": reactor}, {}, arguments[2])
    else:
        reactor.run()


_print_event = textFileLogObserver(sys.stderr)


@provider(ILogObserver)
def _report_errors(event: Any) -> None:
    if event["log_level"] >= LogLevel.error:
        _print_event(event)


if __name__ == "__main__":
    main(sys.argv[1:])
