"""
The crust of a node in the network in memory: the real one, on a machine of that network.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime

from ...config import Role, Settings
from ...crust.interfaces import ILink
from ...crust.service import CrustService
from ...endpoints import Contact, Endpoint
from ...identity import Identity
from .machine import MemoryMachine
from .network import MemoryNetwork


class MemoryCrust(CrustService):
    """
    A L{CrustService} that can be asked more than the layer above may know. It is a
    L{Host<routing_crust.testing.memory.transport.Host>} of the network too.

    @ivar network: what joins it with others.
    @ivar machine: what it stands on.
    @ivar identity: whose crust it is.
    @ivar host: the IP address that its connections come from.
    @ivar listening: where it listens once it is started; nowhere, if it is a client.
    """

    def __init__(
        self,
        network: MemoryNetwork,
        settings: Settings,
        identity: Identity,
        endpoints: Sequence[Endpoint] = (),
        saved: Sequence[Contact] = (),
        clock: IReactorTime | None = None,
    ) -> None:
        """
        @param endpoints: where it listens; the default is an unused address of the network. A client
            has the first one's address and listens nowhere.
        @param saved: saved contacts from an earlier start, most recently proven first.
        @param clock: that of its host; the default is the network's.
        """
        own = tuple(endpoints) or (network.new_endpoint(),)
        host = own[0].host
        # without an internet all hosts are in one local network
        link_network = network.addresses if network.internet is None else network.internet.network_of(host)
        machine = MemoryMachine(network, own, link_network, saved, clock or network.clock)
        super().__init__(settings, identity, machine, network.random)
        self.network = network
        self.machine = machine
        self.identity = identity
        self.host = host
        self.listening = () if settings.role is Role.CLIENT else own

    def __repr__(self) -> str:
        return f"<MemoryCrust {self.identity.name.short} at {self.host}>"

    @property
    def links(self) -> tuple[ILink, ...]:
        """The links that are up, oldest first."""
        return tuple(self._links)
