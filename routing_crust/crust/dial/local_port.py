"""
Origins: which local address and port a connection is dialled from.

Mostly the system chooses a port. Where others are to learn how a NAT maps our listening port, or are to get
in through the hole that our own dial makes in it, we dial from that port. It can be taken: by another
connection between the same two ends, or by the peer's own dial, which has come before ours. These errors
are told from those of the far end here, so that whoever dials can do without the port.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Any, Final

from twisted.internet import error
from twisted.internet.interfaces import IConnector, IProtocolFactory
from twisted.internet.tcp import makeBinding

from ...endpoints import Endpoint

_LOCAL_ERRORS: Final = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EINVAL)


def origin_for(listening: Iterable[Endpoint], remote: Endpoint) -> Endpoint | None:
    """
    From which of our listening ports an endpoint can be dialled.

    @param listening: where we listen, with the real ports; wildcards are as good as any.
    @return: the first that fits, by its family, and since nothing leaves the host from a loopback address;
        C{None} if none does.
    """
    for each in listening:
        stays_here = each.address.is_loopback and not remote.address.is_loopback
        if each.is_v6 == remote.is_v6 and not stays_here:
            return each
    return None


def dial_from(
    reactor: Any, remote: Endpoint, factory: IProtocolFactory, origin: Endpoint | None
) -> IConnector:
    """
    Begin one TCP connection, without a time limit.

    @param reactor: provides C{IReactorTCP}.
    @param origin: the local address and port, one that we listen on; C{None} leaves both to the system.
    @return: the connector. If it fails with an error of which L{is_local} is true, C{origin} is to blame.
    """
    bind = None
    if origin is not None:
        host = "" if origin.address.is_unspecified and not origin.is_v6 else origin.host
        bind = makeBinding(host, origin.port, reuseAddress=True, reusePort=True)
    connector: IConnector = reactor.connectTCP(
        remote.host, remote.port, factory, timeout=None, bindAddress=bind
    )
    return connector


def is_local(problem: BaseException | None) -> bool:
    """
    Whether a dial has failed because of its origin, not of the far end: the port is taken
    (C{EADDRINUSE}), or there is a connection between these very two ends, or one is being made from the far
    end (C{EADDRNOTAVAIL}), or the far end cannot be reached from that address (C{EINVAL}).
    """
    if isinstance(problem, error.ConnectBindError):
        return True
    return isinstance(problem, error.ConnectError) and problem.osError in _LOCAL_ERRORS
