"""
The Linux kernel's notifications of changes of the network, over rtnetlink (RFC 3549; C{rtnetlink(7)}).

Few of the many notifications mean that the paths to other hosts have changed: interfaces that start or stop
working, addresses, and routes other than those to our own addresses. One small class without I/O tells them
apart.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from ...bounded_dict import BoundedDict

GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""Links, and addresses and routes of both families."""
MAX_INTERFACES: Final = 1024

_HEADER: Final = Struct("=IHHII")  # length, type, flags, sequence number, port
_LINK: Final = Struct("=BxHiII")  # family, type, index, flags, what has changed
_ADDRESS: Final = Struct("=BBBBI")
_ROUTE: Final = Struct("=8BI")  # the fifth is the table

_OVERRUN, _NEW_LINK, _DEL_LINK = 4, 16, 17
_ADDRESSES: Final = (20, 21)
_ROUTES: Final = (24, 25)
_WORKING: Final = 0x1 | 0x40 | 0x10000
"""C{IFF_UP}, C{IFF_RUNNING} and C{IFF_LOWER_UP}."""
_LOCAL_TABLE: Final = 255
_CLONED: Final = 0x200


class NetworkNews:
    """Reads notifications; remembers which interfaces work."""

    def __init__(self) -> None:
        self._working: BoundedDict[int, int] = BoundedDict(MAX_INTERFACES)

    def matters(self, data: bytes) -> bool:
        """
        Whether a notification may change our paths to other hosts.

        @param data: one datagram. An unreadable message does not matter; messages after it are lost.
        """
        matters = False
        while len(data) >= _HEADER.size:
            length, kind, _, _, _ = _HEADER.unpack_from(data)
            # a length of 0 would be read for ever
            if length < _HEADER.size or length > len(data):
                break
            matters = self._message_matters(kind, data[_HEADER.size : length]) or matters
            # messages are aligned to 4 bytes (NLMSG_ALIGN)
            data = data[length + 3 & ~3 :]
        return matters

    def _message_matters(self, kind: int, body: bytes) -> bool:
        if kind in (_NEW_LINK, _DEL_LINK):
            return len(body) >= _LINK.size and self._link_matters(kind, body)
        if kind in _ADDRESSES:
            return len(body) >= _ADDRESS.size
        if kind in _ROUTES and len(body) >= _ROUTE.size:
            fields = _ROUTE.unpack_from(body)
            # routes to our own addresses come with these; cloned ones are the kernel's cache
            return fields[4] != _LOCAL_TABLE and not fields[8] & _CLONED
        return kind == _OVERRUN

    def _link_matters(self, kind: int, body: bytes) -> bool:
        family, _, index, flags, changed = _LINK.unpack_from(body)
        if family:  # what bridges and IPv6 have to say about an interface
            return False
        if kind == _DEL_LINK:
            # one that we have not heard of may have worked
            return bool(self._working.pop(index, _WORKING))
        # the kernel also reports counters and neighbours of bridges: only the state itself matters
        works = flags & _WORKING
        before = self._working.get(index)
        self._working.put(index, works)
        return bool(changed & _WORKING) if before is None else works != before
