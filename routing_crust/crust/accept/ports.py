"""
Listening: the ports that others dial, all of them or none.

IPv4 and IPv6 wildcards listen on the same port beside each other, so the IPv6 one must take no IPv4
connections, although that is the default of many systems (RFC 3493, section 5.3).

We also dial from these ports, so other sockets of ours must be able to share them (C{SO_REUSEPORT}). But
any process of the same user could then share them as well, and get half of the connections. So each port is
taken for ourselves alone first, and opened for sharing once we listen: a second node, which begins in the
same way, finds it in use. No lock file could do that, for two nodes need not have a folder in common.

A socket that listens already, because the program that started this process made it, is used as it is.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any, Final

from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger

from ...endpoints import Endpoint
from ...errors import CannotListen

log = Logger()

BACKLOG: Final = 128
"""Connections that the system keeps for us until we accept them."""

SHARED: Final[int | None] = getattr(socket, "SO_REUSEPORT", None)
"""The option that lets us dial from a port at which we listen; not every system has it."""

NOTHING_GIVEN: Final[Mapping[Endpoint, socket.socket]] = MappingProxyType({})
_NO_IPV6: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
_LOWEST_FREE_PORT: Final = 1024


def open_ports(
    reactor: Any,
    factory: IProtocolFactory,
    endpoints: Sequence[Endpoint],
    given: Mapping[Endpoint, socket.socket] = NOTHING_GIVEN,
) -> tuple[IListeningPort, ...]:
    """
    Listen on each endpoint.

    @param reactor: provides C{IReactorSocket}. It gets the sockets only when all of them are bound, so
        that a failure leaves nothing open, not even until the reactor's next turn.
    @param given: sockets that listen already, each with where. They stay open when the ports are closed.
    @return: the ports, in the order of C{endpoints}. On a host without IPv6 an IPv6 wildcard is left out,
        with a line in the log, if there is something else to listen on.
    @raise CannotListen: one of them cannot be listened on; nothing is open.
    """
    with ExitStack() as stack:
        made = [each for each in endpoints if each not in given]
        refuse_overlaps(made, made)
        listeners = [_shared(given[each]) if each in given else _listen(each, stack) for each in endpoints]
        there = [each for each in listeners if isinstance(each, socket.socket)]
        for each in listeners:
            if isinstance(each, CannotListen):
                if not there:
                    raise each
                log.info("{problem}; listening on the rest", problem=str(each))
        # the reactor duplicates the descriptors, so that closing these sockets is right
        return tuple(reactor.adoptStreamPort(each.fileno(), each.family, factory) for each in there)


def real_endpoint(port: IListeningPort) -> Endpoint:
    """Where a port listens, with its real number."""
    host: Any = port.getHost()
    return Endpoint.of(host.host, host.port)


def refuse_overlaps(endpoints: Collection[Endpoint], others: Collection[Endpoint]) -> None:
    """
    Refuse addresses that a wildcard among others has as well. The system would say that their port is in use,
    and no other program uses it.

    @raise CannotListen: there is one.
    """
    for wide in others:
        for each in endpoints:
            both = each.port == wide.port != 0 and each.is_v6 == wide.is_v6
            if both and wide.address.is_unspecified and each != wide:
                raise CannotListen(
                    f"cannot listen on {each.host}, port {each.port}: {wide} in listen has all addresses "
                    "of this host at that port: leave one of the two out"
                )


def _listen(endpoint: Endpoint, stack: ExitStack) -> socket.socket | CannotListen:
    """
    @param stack: closes the socket.
    @return: a socket that listens, or why there is no IPv6 wildcard to listen on.
    @raise CannotListen: there must be such a socket.
    """
    family = socket.AF_INET6 if endpoint.is_v6 else socket.AF_INET
    try:
        # the socket needs the number of an IPv6 zone, which getaddrinfo looks up
        flags = socket.AI_NUMERICHOST | socket.AI_PASSIVE
        found = socket.getaddrinfo(endpoint.host, endpoint.port, family, socket.SOCK_STREAM, 0, flags)
        listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listener.setblocking(False)
        # connections of the last run in TIME_WAIT would keep a restarted node from its port for a minute
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # IPv4 has a socket of its own, for whose port this one would stand in the way
        if endpoint.is_v6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(found[0][4])
        listener.listen(BACKLOG)
        # only once we listen: else a second node of the same user could take half of the connections
        _shared(listener)
    except OSError as problem:
        error = CannotListen(_advice(endpoint, problem))
        if endpoint.is_v6 and endpoint.address.is_unspecified and problem.errno in _NO_IPV6:
            return error
        raise error from problem
    return listener


def _shared(listener: socket.socket) -> socket.socket:
    """Let other sockets of ours have its port, too."""
    if SHARED is not None:
        listener.setsockopt(socket.SOL_SOCKET, SHARED, 1)
    return listener


def _advice(endpoint: Endpoint, problem: OSError) -> str:
    if problem.errno == errno.EADDRINUSE:
        what = "another program listens there: stop it, or set listen to another port"
    elif problem.errno in (errno.EACCES, errno.EPERM) and endpoint.port < _LOWEST_FREE_PORT:
        what = (
            f"ports below {_LOWEST_FREE_PORT} need a permission that this process does not have: "
            "set listen to a higher port"
        )
    elif problem.errno in _NO_IPV6 and (
        endpoint.address.is_unspecified or problem.errno != errno.EADDRNOTAVAIL
    ):
        what = "this host has no IPv6: take the endpoint out of listen"
    elif problem.errno == errno.EINVAL and endpoint.address.is_link_local and "%" not in endpoint.host:
        what = (
            "a link-local address is one of an interface: write it with its name, as in "
            f"[{endpoint.host}%eth0]:{endpoint.port}"
        )
    elif problem.errno == errno.EADDRNOTAVAIL:
        what = "this host does not have the address: set listen to one that it has"
    else:
        what = f"{problem.strerror}: set listen to another address or port"
    return f"cannot listen on {endpoint.host}, port {endpoint.port}: {what}"
