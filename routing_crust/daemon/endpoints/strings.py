"""
The strings of endpoints: C{routing:NAME/PROTOCOL} to connect to, C{routing:PROTOCOL} to listen on.

They use the node that runs in this process and, if there is none, the daemon on this machine. C{network=ID}
chooses among several; C{socket=PATH} or C{state-dir=FOLDER} chooses the daemon with that control socket. A
server may name the peers that may connect: C{allow=NAME,NAME}. C{keep=TIME}, such as C{1h}, is for how long a
stream may wait for another link when its own is lost; for a server, the most that peers may have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from zope.interface import implementer

from ...errors import NotConnected, RoutingCrustError
from ...forwarding_rules import EVERYONE, is_nickname, is_tag, parse_keep
from ...names import Name, is_prefix
from ...routing.service import RoutingService, running_services
from ...streams import RoutingClientEndpoint, RoutingServerEndpoint
from ...streams.frames import check_protocol
from ..members.networks_here import private_networks
from ..state_directory import DEFAULT_NETWORK, default_state_dir, socket_path
from .client import DaemonClientEndpoint, LocalDaemon
from .server import DaemonServerEndpoint

_OPTIONS: Final = "socket=PATH, state-dir=FOLDER, network=ID and keep=TIME"


@dataclass(frozen=True, slots=True)
class NodeSelector:
    """
    Chooses the node that an endpoint uses.

    @ivar socket: the control socket of a daemon, if the string names one.
    @ivar network: the network of the node, if the string names one.
    """

    socket: Path | None
    network: str | None

    def service(self, own_name: Name | None = None) -> RoutingService | None:
        """
        Find the service of this process to use; C{None} if it is a daemon.

        @raise NotConnected: several would do.
        """
        if self.socket is not None:
            return None
        found = [
            each
            for each in running_services()
            if self.network in (None, each.settings.network) and own_name in (None, each.node_name)
        ]
        # to guess would open a stream in the wrong network, which fails far from here
        if len(found) > 1:
            networks = ", ".join(dict.fromkeys(each.settings.network for each in found))
            raise NotConnected(
                f"{len(found)} nodes run in this process (networks: {networks}): say which with network=ID; "
                "if they are of one network, use RoutingClientEndpoint or RoutingServerEndpoint"
            )
        return found[0] if found else None

    def daemon(self, reactor: Any) -> LocalDaemon:
        """
        The daemon to use where there is no service in this process: as for the commands, that of this user's
        only private network, where nothing else is said.

        @raise NotConnected: there are several.
        """
        return LocalDaemon(reactor, self.socket or socket_path(self._state_dir()))

    def _state_dir(self) -> Path:
        if self.network is not None:
            return default_state_dir(self.network)
        found = [each.parent for each in private_networks()]
        if len(found) > 1:
            folders = ", ".join(each.name for each in found)
            raise NotConnected(
                f"there are several private networks here ({folders}): say which with "
                f"network={found[0].name} for instance"
            )
        return found[0] if found else default_state_dir(DEFAULT_NETWORK)


@implementer(IStreamClientEndpoint)
class NamedClientEndpoint:
    """The client endpoint of C{routing:NAME/PROTOCOL}. It chooses its node at each L{connect}."""

    def __init__(
        self, reactor: Any, name: str, protocol: str, where: NodeSelector, keep: float | None = None
    ) -> None:
        self._reactor = reactor
        self._name = name
        self._protocol = protocol
        self._where = where
        self._keep = keep

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Open a stream, as L{RoutingClientEndpoint.connect} or L{DaemonClientEndpoint.connect} does."""
        try:
            service = self._where.service()
            if service is not None:
                endpoint = RoutingClientEndpoint(service, self._name, self._protocol, self._keep)
                return endpoint.connect(protocolFactory)
            daemon = self._where.daemon(self._reactor)
        except RoutingCrustError as error:
            return fail(error)
        return DaemonClientEndpoint(daemon, self._name, self._protocol, self._keep).connect(protocolFactory)


@implementer(IStreamServerEndpoint)
class NamedServerEndpoint:
    """The server endpoint of C{routing:PROTOCOL}. It chooses its node at each L{listen}."""

    def __init__(
        self,
        reactor: Any,
        protocol: str,
        allow: tuple[str, ...],
        own_name: Name | None,
        where: NodeSelector,
        keep: float | None = None,
    ) -> None:
        self._reactor = reactor
        self._protocol = protocol
        self._allow = allow
        self._own_name = own_name
        self._where = where
        self._keep = keep

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Offer the protocol, as L{RoutingServerEndpoint.listen} or L{DaemonServerEndpoint.listen} does."""
        try:
            service = self._where.service(self._own_name)
            if service is not None:
                allow = None if EVERYONE in self._allow else self._allow
                own = RoutingServerEndpoint(service, self._protocol, allow, self._keep)
                listening: Deferred[Any] = own.listen(protocolFactory)
                return listening
            daemon = self._where.daemon(self._reactor)
        except RoutingCrustError as error:
            return fail(error)
        endpoint = DaemonServerEndpoint(daemon, self._protocol, self._allow, self._own_name, self._keep)
        return endpoint.listen(protocolFactory)


def parse_client(reactor: Any, *words: str, **options: str) -> NamedClientEndpoint:
    """
    Make the endpoint of a client's string.

    @raise ValueError: it cannot be used; the text says what to write.
    """
    name, slash, protocol = _only(words, "routing:NAME/PROTOCOL").partition("/")
    if not slash:
        raise ValueError(f"routing:{name}: write routing:NAME/PROTOCOL, since a client must know the peer")
    where, keep = _where(options), _keep(options)
    _refuse_others(options)
    return NamedClientEndpoint(reactor, _checked(name), check_protocol(protocol), where, keep)


def parse_server(reactor: Any, *words: str, **options: str) -> NamedServerEndpoint:
    """
    Make the endpoint of a server's string.

    @raise ValueError: it cannot be used; the text says what to write.
    """
    first, slash, protocol = _only(words, "routing:PROTOCOL").partition("/")
    # NAME/PROTOCOL, as in the text of the address that getHost() returns
    own_name = Name.from_text(first) if slash else None
    allow = tuple(_checked(each.strip()) for each in options.pop("allow", EVERYONE).split(","))
    where, keep = _where(options), _keep(options)
    _refuse_others(options, ", and allow=NAME,NAME")
    return NamedServerEndpoint(reactor, check_protocol(protocol or first), allow, own_name, where, keep)


def _only(words: tuple[str, ...], form: str) -> str:
    if len(words) != 1:
        raise ValueError(f"write {form}, then options such as {_OPTIONS}")
    return words[0]


def _checked(name: str) -> str:
    # whose nickname it is, is known when the node is
    if name != EVERYONE and not (is_nickname(name) or is_prefix(name) or is_tag(name)):
        Name.from_text(name)
    return name


def _where(options: dict[str, str]) -> NodeSelector:
    # Twisted passes "state-dir" as a keyword, which no Python signature could name
    socket, folder = options.pop("socket", None), options.pop("state-dir", None)
    if socket is not None and folder is not None:
        raise ValueError("give socket= or state-dir=, not both")
    if folder is not None:
        return NodeSelector(socket_path(Path(folder).expanduser().absolute()), options.pop("network", None))
    return NodeSelector(None if socket is None else Path(socket), options.pop("network", None))


def _keep(options: dict[str, str]) -> float | None:
    text = options.pop("keep", None)
    return None if text is None else parse_keep(text)


def _refuse_others(options: dict[str, str], more: str = "") -> None:
    if options:
        raise ValueError(f"{next(iter(options))}=: there is no such option; there are {_OPTIONS}{more}")
