"""
The numbers of tunnels: on each link, the tunnel behind each number.

The end of a link that is the TLS client numbers the tunnels that it opens, or hands on, with odd numbers, the
other with even ones, each one after another, so that the two never choose the same.
"""

from __future__ import annotations

from typing import Final

from ...errors import WireError
from ..interfaces import ILink
from .transport import Leg

TUNNEL_LIFETIME_SECONDS: Final = 3600
"""How long a tunnel is carried for others before it has to be asked for again."""


class _LinkNumbers:
    """The numbers of one link."""

    __slots__ = ("last", "legs")

    def __init__(self, link: ILink) -> None:
        # each step is 2, so the first numbers are 1 and 2
        self.last = -1 if link.initiator else 0
        self.legs: dict[int, Leg] = {}


class TunnelNumbers:
    """Made with each crust. Empty when no link has carried a tunnel."""

    def __init__(self) -> None:
        self._links: dict[ILink, _LinkNumbers] = {}

    def __len__(self) -> int:
        return len(self._links)

    def new(self, link: ILink) -> int:
        """A number that we have not used on this link. There are 2**31 of them."""
        numbers = self._links.setdefault(link, _LinkNumbers(link))
        numbers.last += 2
        return numbers.last

    def check(self, link: ILink, number: int) -> None:
        """
        Check that a number is one of those that the peer chooses.

        @raise WireError: it is one of ours.
        """
        if bool(number % 2) is link.initiator:
            raise WireError("the number of a tunnel is one of ours")

    def add(self, link: ILink, number: int, leg: Leg) -> None:
        """From now on this is behind a number."""
        self._links.setdefault(link, _LinkNumbers(link)).legs[number] = leg

    def leg(self, link: ILink, number: int) -> Leg | None:
        """What is behind a number."""
        numbers = self._links.get(link)
        return None if numbers is None else numbers.legs.get(number)

    def remove(self, link: ILink, number: int) -> None:
        """Nothing is behind it any more. Without effect if nothing was."""
        numbers = self._links.get(link)
        if numbers is not None:
            numbers.legs.pop(number, None)

    def link_lost(self, link: ILink) -> None:
        """The link is gone: so is all that was behind its numbers."""
        numbers = self._links.pop(link, None)
        if numbers is not None:
            # a copy: the legs remove their numbers from within this call
            for leg in list(numbers.legs.values()):
                leg.link_lost()
