"""
Ranking: in which order the endpoints of a peer are dialled.

The nearest first, since they answer soonest if they answer at all: this machine, a network that we are
in, the internet, then what we cannot place. Within each of these IPv6 and IPv4 take turns, IPv6 first
(RFC 8305, section 4), so that a family that does not work costs one step of the stagger and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_network
from itertools import zip_longest

from ...endpoints import Endpoint, is_local_only


def rank(endpoints: Iterable[Endpoint], on_link: Sequence[str] = ()) -> tuple[Endpoint, ...]:
    """
    @param endpoints: in the peer's own order, which is kept where nothing speaks against it.
    @param on_link: the networks of our own interfaces, as texts.
    @return: the same without repetitions, in the order in which they should be dialled.
    """
    networks = [ip_network(each) for each in on_link]
    classes: tuple[list[Endpoint], ...] = ([], [], [], [])
    for endpoint in dict.fromkeys(endpoints):
        address = endpoint.address
        if address.is_loopback:
            place = 0
        elif any(address in network for network in networks if network.version == address.version):
            place = 1
        else:
            # a private address of a network that we are not in may be another host's here, or no one's
            place = 3 if is_local_only(endpoint) else 2
        classes[place].append(endpoint)
    return tuple(endpoint for each in classes for endpoint in _taking_turns(each))


def _taking_turns(endpoints: list[Endpoint]) -> list[Endpoint]:
    v6 = [each for each in endpoints if each.is_v6]
    v4 = [each for each in endpoints if not each.is_v6]
    return [each for pair in zip_longest(v6, v4) for each in pair if each is not None]
