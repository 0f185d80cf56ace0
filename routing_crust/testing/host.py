"""
A simulated host: a node with what lasts when its process ends, which is its disk, its address and its clock.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from twisted.internet.defer import Deferred, succeed

from ..config import Role, Settings
from ..endpoints import Contact, Endpoint
from ..identity import Identity
from ..names import Name
from ..routing.core import RoutingCore
from ..routing.events import StateChanged
from ..routing.private.membership import Membership
from ..routing.service import RoutingService, forget_running
from ..routing.state import State
from ..timing.steadyclock import SteadyClock
from .clock import HostClock
from .memory.crust import MemoryCrust
from .memory.internet import Router
from .memory.network import MemoryNetwork


class Home(NamedTuple):
    """
    Where a node is: its address, and what it stands behind.
    """

    endpoint: Endpoint
    nat: Router | None = None


class Disk(NamedTuple):
    """
    What was put on a node's disk before its first start; its credentials in a private network only.
    """

    settings: Settings
    identity: Identity
    membership: Membership | None = None


class SimulatedNode:
    """
    Made by L{SimulatedNetwork.node<routing_crust.testing.simulation.SimulatedNetwork.node>}.

    @ivar identity: its key, which is on its disk.
    @ivar settings: its settings, which are on its disk too.
    @ivar membership: its credentials in a private network, which are on its disk as well.
    @ivar clock: its clock, which may be wrong.
    @ivar service: the service; another one after each crash.
    @ivar crust: what makes its links; another one after each crash.
    @ivar running: whether its process is there.
    @ivar nat: what it stands behind, if anything.
    """

    service: RoutingService
    crust: MemoryCrust

    def __init__(
        self,
        network: MemoryNetwork,
        clock: HostClock,
        home: Home,
        disk: Disk,
        seed: float,
        setup: Callable[[RoutingService], object] | None,
    ) -> None:
        self.nat = home.nat
        self.settings, self.identity, self.membership = disk
        self.clock = clock
        self.running = False
        self._network = network
        self._random = Random(seed)
        self._setup = setup
        self._endpoint = home.endpoint
        self._incarnation = 0
        self._wakes = 0.0
        self._saved: tuple[Contact, ...] = ()
        self._boot()

    @property
    def name(self) -> Name:
        """The node's name."""
        return self.identity.name

    @property
    def host(self) -> str:
        """Its IP address."""
        return self._endpoint.host

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens, or would, were it not a client."""
        return self._endpoint

    @property
    def contact(self) -> Contact | None:
        """Where others find it; C{None} for a client, and for a node behind a NAT."""
        hidden = self.settings.role is Role.CLIENT or self.nat is not None
        return None if hidden else Contact(self._endpoint, self.name)

    @property
    def is_client(self) -> bool:
        """Whether it is a client."""
        return self.settings.role is Role.CLIENT

    @property
    def core(self) -> RoutingCore | None:
        """What its service is made of since its last start; for checks that look inside."""
        return self.service._core

    @property
    def connected(self) -> bool:
        """Whether it is in state C{CONNECTED}."""
        return self.running and self.service.state is State.CONNECTED

    @property
    def joined(self) -> bool:
        """Whether it has its close group; a client, whether it is connected."""
        return self.connected and (self.is_client or self.service.group_connected)

    @property
    def asleep(self) -> bool:
        """Whether it sleeps."""
        return self.running and self.clock.now < self._wakes

    def start(self) -> None:
        """Start the process; without effect while it runs."""
        if self.running:
            return
        self._network.trace.note("start", self.host)
        self.running = True
        self.service.startService()

    def stop(self) -> Deferred[None]:
        """
        Stop the service as an application does.

        @return: fires with C{None} when it has stopped.
        """
        if not self.running:
            return succeed(None)
        self._network.trace.note("stop", self.host)
        self.running = False
        return self.service.stopService()

    def crash(self, silently: bool = False) -> None:
        """
        Kill the process. What it has on its disk stays. Deferreds that its service has given out never fire,
        as their application is gone too.

        @param silently: whether the host goes down as well, so that peers hear nothing.
        """
        if not self.running:
            return
        self._network.trace.note("crash", self.host, int(silently))
        self.running = False
        forget_running(self.service)
        self._network.crash(self.crust, silently)
        self.clock = self.clock.next_process()

    def restart(self) -> None:
        """Start again after a crash or a stop: the same key, address and disk, another process."""
        if self.running:
            return
        # the next process reads what this one has left on the disk
        self._saved = self.crust.saved_contacts()
        self._boot()
        self.start()

    def sleep(self, seconds: float) -> None:
        """Close the lid of the host for this time: nothing reaches it, and its time stands still."""
        if not self.running:
            return
        self._network.trace.note("sleep", self.host, seconds)
        self._network.sleep(self.crust)
        self.clock.sleep(seconds)
        self._wakes = max(self._wakes, self.clock.now + seconds)
        # the one that falls asleep: after a crash there is another
        crust = self.crust
        self._network.clock.callLater(seconds, self._network.wake, crust)

    def flush_nat(self) -> None:
        """Have its NAT, the outermost if there are two, forget everything: links through it fall silent."""
        if self.nat is not None:
            self._network.trace.note("flush", self.host)
            self._network.flush_nat(self.nat)

    def change_address(self) -> None:
        """Give its NAT, the outermost if there are two, another external address. It forgets everything."""
        if self.nat is not None:
            self._network.trace.note("readdress", self.host)
            self._network.change_address(self.nat)

    def jump_clock(self, seconds: float) -> None:
        """Set its clock forward, or back where C{seconds} is negative."""
        self._network.trace.note("jump", self.host, seconds)
        self.clock.jump(seconds)

    def _boot(self) -> None:
        """A new process."""
        clock = SteadyClock(self.clock)
        network, saved = self._network, self._saved
        self.crust = MemoryCrust(
            network, self.settings, self.identity, (self._endpoint,), saved=saved, clock=clock
        )
        self.service = RoutingService(
            self.settings,
            reactor=clock,
            identity=self.identity,
            membership=self.membership,
            crust=self.crust,
            # another one for each process, and the same ones in each run of a seed
            random=Random(self._random.random()),
        )
        self.service.incarnation = self._incarnation
        self.service.observe(StateChanged, self._state_changed)
        if self._setup is not None:
            self._setup(self.service)

    def _state_changed(self, event: StateChanged) -> None:
        self._incarnation = self.service.incarnation
        self._network.trace.note("state", self.host, event.new.value)

    def __repr__(self) -> str:
        if not self.running:
            return f"{self.name.short} at {self.host}: down"
        service = self.service
        joined = "joined" if self.joined else "not joined"
        links = len(self.crust.links)
        return f"{self.name.short} at {self.host}: {service.state.value}, {joined}, links: {links}"
