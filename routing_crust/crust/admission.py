"""
Admission: which peers we link with, and how often the addresses that strangers gave are dialled.

Nothing here does I/O or logs: a L{Refusal} says why, and which setting would change it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from ..config import Settings, names_in
from ..endpoints import Endpoint, is_local_only
from ..errors import LimitReached
from ..names import NAME_CHARACTERS, Name
from ..timing.ratelimit import KeyedLimits, SlidingWindow, TokenBucket


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    Why something may not be.

    @ivar why: in words.
    @ivar setting: the setting that decides.
    @ivar limit: its value, or the entry of the list that fits.
    """

    why: str
    setting: str
    limit: float | str

    def __str__(self) -> str:
        return f"{self.why} (limit {self.limit}, setting {self.setting})"


class Rules:
    """
    The allow and deny lists. Deny goes before allow; an empty allow list allows everyone. A network
    decides before the TLS handshake; a name can only decide after it, so a list with a name in it lets
    every address through until then.
    """

    def __init__(self, allow: Iterable[str], deny: Iterable[str]) -> None:
        """
        @param allow: names and networks, as in the setting C{allow}.
        @param deny: names and networks, as in the setting C{deny}.
        """
        self._allowed_names, self._allowed_networks = _split(allow)
        self._denied_names, self._denied_networks = _split(deny)

    def refusal_of_address(self, endpoint: Endpoint) -> Refusal | None:
        """Whether an address alone is reason enough to refuse."""
        denied = _first(self._denied_networks, endpoint)
        if denied is not None:
            return Refusal("the address is on the deny list", "deny", denied)
        if self._allowed_names or not self._allowed_networks or _first(self._allowed_networks, endpoint):
            return None
        return Refusal("the address is not on the allow list", "allow", "none fits")

    def refusal_of_peer(self, name: Name, endpoint: Endpoint) -> Refusal | None:
        """Whether a peer with this name, at this address, is to be refused."""
        if name in self._denied_names:
            return Refusal("the name is on the deny list", "deny", str(name))
        refusal = self.refusal_of_address(endpoint)
        if refusal or name in self._allowed_names or not self._allowed_names:
            return refusal
        if _first(self._allowed_networks, endpoint):
            return None
        return Refusal("neither the name nor the address is on the allow list", "allow", "none fits")

    def refusal_of_name(self, name: Name) -> Refusal | None:
        """Whether a peer is to be refused whose address is not known, since a tunnel leads to it."""
        if name in self._denied_names:
            return Refusal("the name is on the deny list", "deny", str(name))
        if name in self._allowed_names or not (self._allowed_names or self._allowed_networks):
            return None
        return Refusal("the name is not on the allow list, nor is its address known", "allow", "none fits")


class StrangerBudget:
    """
    How often addresses are dialled that only strangers vouch for, so that nodes cannot be turned against a
    third party. Loopback and private addresses cost nothing: whether they are dialled at all is for
    L{refusal_to_dial<routing_crust.endpoints.refusal_to_dial>}.
    """

    def __init__(self, settings: Settings, seconds: Callable[[], float]) -> None:
        """
        @param seconds: the clock: C{IReactorTime.seconds}.
        """
        self._settings = settings
        self._all = TokenBucket(settings.stranger_dials / 60, max(1.0, settings.stranger_dials), seconds)
        # no burst on top of the rate: the host at the other end may never have asked for it
        self._prefixes: KeyedLimits[str] = KeyedLimits(
            lambda: SlidingWindow(settings.stranger_dials_per_prefix, 60.0, seconds)
        )

    def spend(self, endpoint: Endpoint) -> None:
        """
        Count one dial.

        @raise LimitReached: it may not be; nothing was counted.
        """
        if is_local_only(endpoint):
            return
        settings = self._settings
        if self._prefixes.wait(endpoint.prefix) > 0:
            raise LimitReached(
                f"too many strangers' addresses in {endpoint.prefix} were dialled within a minute",
                "stranger_dials_per_prefix",
                settings.stranger_dials_per_prefix,
            )
        if not self._all.take():
            raise LimitReached(
                "too many strangers' addresses were dialled within a minute",
                "stranger_dials",
                settings.stranger_dials,
            )
        self._prefixes.take(endpoint.prefix)

    def __len__(self) -> int:
        return len(self._prefixes)


def _split(entries: Iterable[str]) -> tuple[frozenset[Name], tuple[IPv4Network | IPv6Network, ...]]:
    entries = tuple(entries)
    networks = (ip_network(each) for each in entries if len(each) != NAME_CHARACTERS)
    return names_in(entries), tuple(networks)


def _first(networks: tuple[IPv4Network | IPv6Network, ...], endpoint: Endpoint) -> str | None:
    if not networks:
        return None
    address = endpoint.address
    for network in networks:
        if network.version == address.version and address in network:
            return str(network)
    return None
