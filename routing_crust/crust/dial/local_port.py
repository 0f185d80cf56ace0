"""
Origins: which local address and port a connection is dialled from.

Mostly the system chooses a port. Where others are to learn how a NAT maps our listening port, or are to get
in through the hole that our own dial makes in it, we dial from that port. It can be taken: by another
connection between the same two ends, or by the peer's own dial, which has come before ours. These errors
are told from those of the far end here, so that the caller can dial again from any port.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Final

from twisted.internet import error

from ...endpoints import Endpoint

_LOCAL_ERRORS: Final = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EINVAL)


def origin_for(listening: Iterable[Endpoint], remote: Endpoint) -> Endpoint | None:
    """
    From which of our listening ports an endpoint can be dialled.

    @param listening: where we listen, with the real ports; wildcards are as good as any.
    @return: the first that fits, by its family, and since nothing leaves the host from a loopback address,
        nor the network from a link-local one; C{None} if none does.
    """
    for each in listening:
        here, there = each.address, remote.address
        stays_here = here.is_loopback and not there.is_loopback
        # no router forwards what comes from one, and the system does not object
        stays_near = here.is_link_local and not there.is_link_local
        if each.is_v6 == remote.is_v6 and not stays_here and not stays_near:
            return each
    return None


def is_local(problem: BaseException | None) -> bool:
    """
    Whether a dial has failed because of its origin, not of the far end: the port is taken
    (C{EADDRINUSE}), or there is a connection between these very two ends, or one is being made from the far
    end (C{EADDRNOTAVAIL}), or the far end cannot be reached from that address (C{EINVAL}).
    """
    if isinstance(problem, error.ConnectBindError):
        return True
    return isinstance(problem, error.ConnectError) and problem.osError in _LOCAL_ERRORS
