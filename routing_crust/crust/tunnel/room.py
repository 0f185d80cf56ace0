"""
The room for carried tunnels: how much memory they may take, and which of them makes room for another one.

A tunnel is on the account of the peer that asked for it, by the link that it asked by. Its far end is chosen
by that peer, so it counts for nothing: tunnels that are opened to a node take nothing of that node's share.
When the memory is taken, the account that holds most makes room. Within its own share a peer may have a
tunnel for which somebody waits replace one that is idle, or that its routing table merely likes to have.
"""

from __future__ import annotations

from typing import Final

from ...timing.shares import Account, Holdings
from .carried import CarriedTunnel
from .windows import TUNNEL_WINDOW_BYTES, WindowMemory

TUNNEL_OVERHEAD_BYTES: Final = 8 * 1024
"""What a carried tunnel takes besides the bytes that wait in it."""
LEAST_TUNNEL_BYTES: Final = TUNNEL_OVERHEAD_BYTES + 2 * TUNNEL_WINDOW_BYTES
"""What is set aside for each tunnel: its objects, and the first window of each direction."""


class TunnelRoom:
    """
    Made, and discarded, with its L{TunnelRelay<routing_crust.crust.tunnel.relay.TunnelRelay>}.

    @ivar windows: what fast tunnels take beyond their first windows.
    """

    def __init__(self, limit: int) -> None:
        """
        @param limit: what all tunnels together may take, in bytes.
        """
        self._limit = limit
        # the other half is for first windows, so that large ones never keep out a new tunnel
        self.windows = WindowMemory(limit // 2)
        self._held: Holdings[CarriedTunnel] = Holdings()

    def __len__(self) -> int:
        return len(self._held)

    def change(self, limit: int) -> None:
        """Have another limit from now on. Tunnels that there are stay until one more needs their room."""
        self._limit = limit
        self.windows.change(limit // 2)

    @property
    def exists(self) -> bool:
        """Whether even one tunnel has room."""
        return self._limit >= LEAST_TUNNEL_BYTES

    @property
    def is_full(self) -> bool:
        """Whether one more tunnel needs the room of another."""
        return (len(self._held) + 1) * LEAST_TUNNEL_BYTES + self.windows.taken > self._limit

    def add(self, tunnel: CarriedTunnel) -> None:
        """This tunnel is carried from now on."""
        self._held.add(tunnel, tunnel.account)

    def remove(self, tunnel: CarriedTunnel) -> None:
        """Nothing is left of it."""
        self._held.remove(tunnel)

    def loser(self, account: Account, awaited: bool) -> CarriedTunnel | None:
        """
        Which tunnel makes room for another one.

        @param account: who asks for it.
        @param awaited: whether it says that somebody waits for it, which counts against its own tunnels only.
        @return: C{None} if the newcomer has to be refused.
        """
        if self._held.would_even_out(account):
            return min(self._held.of_largest(account), key=_worth)
        if not awaited:
            return None
        return min((each for each in self._held.of(account) if each.may_yield), key=_worth, default=None)


def _worth(tunnel: CarriedTunnel) -> tuple[bool, bool, bool, float]:
    return tunnel.worth
