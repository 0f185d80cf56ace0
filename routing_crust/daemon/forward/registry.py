"""
Keeps what the daemon carries for local programs: protocols that it exposes to peers, ports that it forwards
to them, and the open connections. Some of it is in the settings, some comes over the control socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...config import Settings
from ...forwarding_rules import EVERYONE, Exposure, Forward
from ...names import NAME_CHARACTERS, Name
from ...routing.naming.directory import Allowance
from ...routing.service import RoutingService
from ...streams import NodeAddress, streams_of
from .connections import Carried, CarriedConnections
from .datagrams.exposer import DatagramExposer
from .datagrams.forwarder import DatagramForwarder
from .datagrams.sockets import UdpPort, UdpTarget
from .exposer import Exposer
from .forwarder import PortForwarder
from .local_endpoints import listening_endpoint, on_loopback, target_endpoint
from .local_port import LocalPort
from .reports import Reports


@dataclass(frozen=True, slots=True)
class WaitingStream:
    """
    A stream that waits until a program accepts or refuses it.

    @ivar answer: fired with the protocol that the peer gets; cancelled when the peer gives up.
    """

    peer: NodeAddress
    answer: Deferred[IProtocol | None]


class ForwardRegistry:
    """
    Made by the daemon for one L{RoutingService}, discarded with L{stop}.

    @ivar service: the service.
    @ivar streams: the streams of the service.
    @ivar local: the connections of programs that use the control socket.
    @ivar others: the connections that belong to neither an exposer nor a forwarder.
    @ivar is_invited: whether a member was invited with leave to use a protocol; asked of those that nothing
        else allows.
    @ivar reports: hears of the peers of all that nobody watches in the foreground.
    @ivar configured_exposers: those of the settings, by protocol.
    @ivar configured_forwarders: those of the settings, by the endpoint that they listen on.
    @ivar waiting: the streams that such programs have neither accepted nor refused, by their numbers.
    """

    log = Logger()

    def __init__(self, service: RoutingService, reactor: Any) -> None:
        self.service = service
        self.streams = streams_of(service)
        self.local = CarriedConnections("local", self.streams.clock)
        self.others = [self.local]
        self.waiting: dict[int, WaitingStream] = {}
        self.is_invited: Callable[[Name, str], bool] = lambda name, protocol: False
        self.reports: Reports | None = None
        self.configured_exposers: dict[str, Exposer] = {}
        self.configured_forwarders: dict[str, LocalPort] = {}
        self._number = 0
        self._reactor = reactor
        self._exposers: list[Exposer] = []
        self._forwarders: list[LocalPort] = []
        # a total must not become less when one of them ends
        self._ending: list[CarriedConnections] = []
        self._ended: dict[str, Carried] = {}

    def start(self, settings: Settings) -> None:
        """
        Expose and forward what the settings say.

        @raise ConfigurationError: an endpoint cannot be used; nothing has been started.
        @raise CannotListen: a port cannot be listened on. What was started is to be stopped.
        """
        # all endpoints are made first, so that a bad one stops the daemon before anything is open
        exposers = [self.exposer("expose", each, self.allowed(settings, each)) for each in settings.expose]
        forwarders = [self.forwarder("forward", each) for each in settings.forward]
        for exposer in exposers:
            self.expose(exposer)
            self.configured_exposers[exposer.exposure.protocol] = exposer
        for forwarder in forwarders:
            self.configured_forwarders[on_loopback(forwarder.forward.listen)] = forwarder
            _raise_now(self.forward(forwarder).addErrback(self._cannot_forward))

    def allowed(self, settings: Settings, exposure: Exposure) -> Allowance:
        """The peers that may have what is exposed, by the settings."""
        return self.service.directory.allowance(
            EVERYONE if each.name is None else each.name
            for each in settings.allow_peer
            if each.protocol == exposure.protocol
        )

    def target(self, exposure: Exposure) -> IStreamClientEndpoint | UdpTarget:
        """
        Where an exposed program of the settings is.

        @raise ConfigurationError: the endpoint cannot be used.
        """
        return self._target("expose", exposure)

    def _target(self, setting: str, exposure: Exposure) -> IStreamClientEndpoint | UdpTarget:
        make = UdpTarget if exposure.is_udp else target_endpoint
        return make(self._reactor, setting, exposure.target)

    def is_offered(self, protocol: str) -> bool:
        """Whether something is offered by this name."""
        return protocol in self.streams.protocols

    def drain(self, why: str) -> None:
        """Close all forwarded ports, and refuse new streams; connections that are open stay."""
        self.streams.refuse_new(why)
        for each in self._forwarders:
            each.drain()

    def of_programs(self, setting: str) -> list[dict[str, object]]:
        """What programs in the foreground expose or forward, as values for JSON."""
        mine: list[Any] = self._exposers if setting == "expose" else self._forwarders
        configured = [*self.configured_exposers.values(), *self.configured_forwarders.values()]
        return [
            {
                "entry": str(each.exposure if setting == "expose" else each.forward),
                "origin": "program",
                **({"allow": list(each.allowed.texts)} if setting == "expose" else {}),
            }
            for each in mine
            if each not in configured
        ]

    def removed(self, what: Exposer | LocalPort) -> int:
        """
        Remove something, and tell the peers of its connections, which end.

        @return: how many connections those are.
        """
        mine: list[Any] = self._exposers if isinstance(what, Exposer) else self._forwarders
        mine.remove(what)
        return what.remove()

    def exposer(self, setting: str, exposure: Exposure, allowed: Allowance) -> Exposer:
        """
        Make what exposes a program.

        @param setting: the setting that an error names.
        @raise ConfigurationError: the endpoint cannot be used.
        """
        exposer = (DatagramExposer if exposure.is_udp else Exposer)(
            exposure,
            allowed,
            self._target(setting, exposure),
            self.streams,
            lambda name: self.is_invited(name, exposure.protocol),
        )
        exposer.reports = self.reports
        return exposer

    def forwarder(self, setting: str, forward: Forward) -> LocalPort:
        """
        Make what forwards a port.

        @param setting: the setting that an error names.
        @raise ConfigurationError: the endpoint cannot be used.
        """
        forwarder: LocalPort
        if forward.is_udp:
            port = UdpPort(self._reactor, setting, forward.listen)
            forwarder = DatagramForwarder(forward, port, self.service)
        else:
            endpoint = listening_endpoint(self._reactor, setting, forward.listen)
            forwarder = PortForwarder(forward, endpoint, self.service)
        forwarder.reports = self.reports
        return forwarder

    def expose(self, exposer: Exposer) -> None:
        """
        Begin to expose a program.

        @raise CannotListen: something is offered by this name already.
        """
        exposer.start()
        self._exposers.append(exposer)

    def forward(self, forwarder: LocalPort) -> Deferred[None]:
        """
        Begin to forward a port.

        @return: fires with C{None} when its port is open; fails with
            L{CannotListen<routing_crust.errors.CannotListen>}.
        """
        # before it listens, so that end() and stop() find it
        self._forwarders.append(forwarder)

        def failed(failure: Failure) -> Failure:
            self._forwarders.remove(forwarder)
            return failure

        return forwarder.start().addErrback(failed)

    def end(self, what: Exposer | LocalPort) -> Deferred[None]:
        """
        End an exposer or forwarder.

        @return: fires with C{None} when its port and its connections are closed.
        """
        mine: list[Any] = self._exposers if isinstance(what, Exposer) else self._forwarders
        # one whose port could not be opened is not there any more
        if what in mine:
            mine.remove(what)
            self._ending.append(what.connections)
        return what.stop().addCallback(lambda _: self._has_ended(what.connections))

    def _has_ended(self, connections: CarriedConnections) -> None:
        if connections in self._ending:
            self._ending.remove(connections)
            kind = connections.kind
            self._ended[kind] = self._ended.get(kind, Carried()).plus(connections.carried)

    def wait_for_program(self, peer: NodeAddress) -> int:
        """
        Keep a stream of this peer waiting until a program accepts or refuses it.

        @return: the number that the program names it by.
        """
        self._number = number = self._number + 1

        def given_up(_: object) -> None:
            self.waiting.pop(number, None)

        self.waiting[number] = WaitingStream(peer, Deferred(given_up))
        return number

    def stop(self) -> Deferred[None]:
        """
        End every exposer and forwarder. Streams of programs end with their connections to the control socket.

        @return: fires with C{None} when no port and no connection of theirs is left.
        """
        everything: list[Exposer | LocalPort] = [*self._forwarders, *self._exposers]
        ending = [self.end(each) for each in everything]
        return gatherResults(ending).addCallback(lambda _: None)

    def status(self) -> dict[str, object]:
        """The part of the daemon's status about streams."""
        owners: list[Exposer | LocalPort] = [*self._exposers, *self._forwarders]
        # programs on the control socket have streams too, without an exposer or forwarder
        connections = [*(each.connections for each in owners), *self.others]
        streams = self.streams.status()
        forwarded = [each.status() for each in self._forwarders]
        carried = [one for each in connections for one in each.status()]
        suspended = streams["suspended"]
        assert isinstance(suspended, dict)
        peers = {str(each["peer"]) for each in (*forwarded, *carried)} | suspended.keys()
        return {
            "offered": streams["offered"],
            "stream_counts": streams["open"],
            "suspended": suspended,
            "exposed": [each.status() for each in self._exposers],
            "forwarded": forwarded,
            "streams": carried,
            "nicknames": self._nicknames(peers),
            "carried": self._carried(connections),
        }

    def _nicknames(self, peers: Iterable[str]) -> dict[str, str]:
        """What people call those of these peers that have a nickname, and are not given by it."""
        # no nickname is as long as a name
        names = [Name.from_text(each) for each in sorted(peers) if len(each) == NAME_CHARACTERS]
        found = {str(each): self.service.directory.nickname_of(each) for each in names}
        return {name: nickname for name, nickname in found.items() if nickname}

    def _carried(self, connections: Iterable[CarriedConnections]) -> dict[str, dict[str, int]]:
        found = dict(self._ended)
        for each in (*connections, *self._ending):
            found[each.kind] = found.get(each.kind, Carried()).plus(each.carried)
        return {kind: asdict(each) for kind, each in sorted(found.items())}

    def _cannot_forward(self, failure: Failure) -> Failure:
        self.log.error("{problem}", problem=failure.getErrorMessage())
        return failure


def _raise_now(deferred: Deferred[None]) -> None:
    """Raise the error of a Deferred that has failed already; a later one has been logged."""
    failures: list[Failure] = []
    deferred.addErrback(failures.append)
    if failures:
        failures[0].raiseException()
