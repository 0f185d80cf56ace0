"""
Admission: which peers we link with, and how often the addresses that strangers gave are dialled.

Nothing here does I/O or logs: a L{AdmissionRefusal} says why, and which setting would change it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from ..config import Settings, names_in
from ..endpoints import Endpoint, is_local_only
from ..errors import LimitReached
from ..names import NAME_CHARACTERS, Name
from ..timing.ratelimit import SWEEP_AT_KEYS
from ..timing.shares import Account, SharedWindow

MAX_LOCAL_DIALS_PER_ENDPOINT: Final = 12
"""Dials a minute to one address and port of a local network that strangers gave."""
MAX_LOCAL_DIALS_PER_HOST: Final = 60
"""Such dials a minute to one host, which may run many nodes."""
MAX_LOCAL_DIALS: Final = 240
"""Such dials a minute in all."""


@dataclass(frozen=True, slots=True)
class AdmissionRefusal:
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
        self.change(allow, deny)

    def change(self, allow: Iterable[str], deny: Iterable[str]) -> None:
        """Judge by other lists from now on."""
        self._allowed_names, self._allowed_networks = _split(allow)
        self._denied_names, self._denied_networks = _split(deny)

    def refusal_of_address(self, endpoint: Endpoint) -> AdmissionRefusal | None:
        """Whether an address alone is reason enough to refuse."""
        denied = _first(self._denied_networks, endpoint)
        if denied is not None:
            return AdmissionRefusal("the address is on the deny list", "deny", denied)
        if self._allowed_names or not self._allowed_networks or _first(self._allowed_networks, endpoint):
            return None
        return AdmissionRefusal("the address is not on the allow list", "allow", "none fits")

    def refusal_of_peer(self, name: Name, endpoint: Endpoint) -> AdmissionRefusal | None:
        """Whether a peer with this name, at this address, is to be refused."""
        if name in self._denied_names:
            return AdmissionRefusal("the name is on the deny list", "deny", str(name))
        refusal = self.refusal_of_address(endpoint)
        if refusal or name in self._allowed_names or not self._allowed_names:
            return refusal
        if _first(self._allowed_networks, endpoint):
            return None
        return AdmissionRefusal("neither the name nor the address is on the allow list", "allow", "none fits")

    def refusal_of_name(self, name: Name) -> AdmissionRefusal | None:
        """Whether a peer is to be refused whose address is not known, since a tunnel leads to it."""
        if name in self._denied_names:
            return AdmissionRefusal("the name is on the deny list", "deny", str(name))
        if name in self._allowed_names or not (self._allowed_names or self._allowed_networks):
            return None
        return AdmissionRefusal(
            "the name is not on the allow list, nor is its address known", "allow", "none fits"
        )


@dataclass(frozen=True, slots=True)
class _DialLimit:
    """
    How many dials of strangers there may be in a minute.

    @ivar target: what is counted together.
    @ivar setting: which moves the limit; empty if none does.
    """

    target: str
    limit: float
    setting: str = ""


class StrangerBudget:
    """
    How often addresses are dialled that only strangers vouch for, so that nodes cannot be turned against a
    third party. No party may take more of it than is left for the others.

    Whether a local address is dialled at all is for
    L{refusal_to_dial<routing_crust.endpoints.refusal_to_dial>}. They have a budget of their own, which is
    larger, since all nodes of one machine or one network may use it, and counts hosts instead of prefixes.
    """

    def __init__(self, settings: Settings, seconds: Callable[[], float]) -> None:
        """
        @param seconds: the clock: C{IReactorTime.seconds}.
        """
        self._settings = settings
        self._seconds = seconds
        self._windows: dict[str, SharedWindow] = {}
        self._sweep_at = SWEEP_AT_KEYS

    def spend(self, endpoint: Endpoint, asked_by: Account) -> None:
        """
        Count one dial.

        @param asked_by: on whose account.
        @raise LimitReached: it may not be; nothing was counted.
        """
        # all are asked before any is charged: a refusal by the second must not use up the first
        limits = self._limits_for(endpoint)
        for each in limits:
            window = self._windows.get(each.target)
            if window is not None:
                window.change(each.limit)  # the setting may be another since it was made
            # a window that is not there yet has room for one
            if window is not None and not window.may_take(asked_by):
                raise LimitReached(
                    f"too many strangers' addresses in {each.target} were dialled within a minute",
                    each.setting,
                    each.limit,
                )
        for each in limits:
            self._window(each).take(asked_by)

    def __len__(self) -> int:
        return len(self._windows)

    def _limits_for(self, endpoint: Endpoint) -> tuple[_DialLimit, ...]:
        settings = self._settings
        if is_local_only(endpoint):
            return (
                _DialLimit(str(endpoint), MAX_LOCAL_DIALS_PER_ENDPOINT),
                _DialLimit(endpoint.host, MAX_LOCAL_DIALS_PER_HOST),
                _DialLimit("all local networks", MAX_LOCAL_DIALS),
            )
        by_prefix = settings.stranger_dials_per_prefix
        return (
            _DialLimit(endpoint.prefix, by_prefix, "stranger_dials_per_prefix"),
            _DialLimit("all of the internet", settings.stranger_dials, "stranger_dials"),
        )

    def _window(self, limit: _DialLimit) -> SharedWindow:
        window = self._windows.get(limit.target)
        if window is None:
            self._sweep()
            window = self._windows[limit.target] = SharedWindow(limit.limit, 60.0, self._seconds)
        return window

    def _sweep(self) -> None:
        if len(self._windows) >= self._sweep_at:
            self._windows = {key: each for key, each in self._windows.items() if not each.unused}
            self._sweep_at = max(SWEEP_AT_KEYS, 2 * len(self._windows))


def _split(entries: Iterable[str]) -> tuple[frozenset[Name], tuple[IPv4Network | IPv6Network, ...]]:
    entries = tuple(entries)
    # no network is written with as many characters as a name
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
