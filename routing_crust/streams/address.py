"""
The address of one end of a stream: a node and a protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.interfaces import IAddress
from zope.interface import implementer

from ..names import Name


@implementer(IAddress)
@dataclass(frozen=True, slots=True)
class NodeAddress:
    """
    The address of one end of a stream.

    @ivar name: the node's name, proven.
    @ivar protocol: the name of the protocol, as the end that listens gave it.
    """

    name: Name
    protocol: str

    def __str__(self) -> str:
        return f"routing:{self.name}/{self.protocol}"
