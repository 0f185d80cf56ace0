"""
The client of UPnP: it controls the router's Internet Gateway Device by the library C{miniupnpc} (the extra
C{upnp}).

The library blocks: for 4 seconds when no router answers, longer when one dies halfway. So each job runs in a
thread. These threads are not the reactor's, since the reactor waits for its own at the end of the process: a
stop would wait for a router that is gone. Only the gateway is trusted; any host of the local network could
claim to be a router.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from math import inf
from random import Random
from threading import Lock, Thread
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ...endpoints import LOWEST_PORT_FROM_STRANGERS, Endpoint
from ...errors import InvalidEndpoint
from .lease import Gateway, Lease, RouterProblem

DESCRIPTION: Final = "routing-crust"
"""What the router's own pages show beside the mapping."""
DISCOVER_MS: Final = 1000
MAX_OTHER_PORTS: Final = 4
"""Upper bound of other external ports that are tried when the wanted one is taken."""

_TCP: Final = "TCP"
_TAKEN: Final = ("ConflictInMappingEntry", "ConflictWithOtherMechanisms")
# The errors of routers that only make permanent mappings; the second is that of old ones.
_PERMANENT_ONLY: Final = ("OnlyPermanentLeasesSupported", "Invalid Args")

T = TypeVar("T")
InThread = Callable[[Callable[[], Any]], "Deferred[Any]"]


class _Taken(Exception):
    """The external port belongs to another host."""


class _NoLifetimes(Exception):
    """The router only makes permanent mappings."""


def in_daemon_thread(reactor: Any, job: Callable[[], T]) -> Deferred[T]:
    """
    Run a job in a thread of its own, which does not delay the end of the process.

    @param reactor: provides C{IReactorFromThreads}.
    @return: fires with the job's result or failure. Cancelling it does not stop the job.
    """
    done: Deferred[T] = Deferred()

    def work() -> None:
        try:
            result: T | Failure = job()
        except Exception:  # every failure goes to the Deferred
            result = Failure()
        reactor.callFromThread(done.callback, result)

    Thread(target=work, name="UPnP", daemon=True).start()
    return done


class Igd:
    """
    A router's Internet Gateway Device, for one port of ours. All methods but L{give_up} block, and run one at
    a time.
    """

    def __init__(self, gateway: Gateway, load: Callable[[], Any]) -> None:
        """
        @param load: imports C{miniupnpc}.
        """
        self._gateway = gateway
        self._load = load
        self._igd: Any = None
        self._external_port: int | None = None  # what is mapped, or will be in a moment
        self._given_up = False
        # two locks: a job holds the first for seconds, and give_up must not block the reactor's thread on it
        self._job = Lock()
        self._state = Lock()

    def give_up(self) -> bool:
        """
        Map nothing from now on.

        @return: whether there is a mapping to be removed, or may be one in a moment.
        """
        with self._state:
            self._given_up = True
            return self._external_port is not None

    def map(self, local_port: int, wanted: Sequence[int], lifetime: int) -> Lease:
        """
        Map the first of some external ports that is free.

        @param wanted: the external ports, best first.
        @raise RouterProblem: none can be had.
        """
        with self._job:
            self._find()
            address = self._external_address()
            for each in wanted:
                try:
                    granted = self._add(each, local_port, lifetime)
                except _Taken:
                    continue
                return Lease(
                    UpnpRouter.way, self._gateway.address, Endpoint(address, each), local_port, granted
                )
            ports = ", ".join(map(str, wanted))
            raise RouterProblem(f"the ports {ports} are all taken")

    def holds(self, lease: Lease) -> bool:
        with self._job:
            self._find()
            if self._external_address() != lease.external.host:
                return False
            return self._owner_of(lease.external.port) == (self._gateway.local, lease.local_port)

    def remove(self) -> None:
        with self._job:
            if self._external_port is not None:
                self._call("deleteportmapping", self._external_port, _TCP)
                self._external_port = None

    def _find(self) -> None:
        """Find the router's device. Any failure forgets it, since a restart may have changed its address."""
        if self._igd is not None:
            return
        try:
            igd = self._load().UPnP(multicastif=self._gateway.local, discoverdelay=DISCOVER_MS)
        except ImportError as error:
            raise RouterProblem("miniupnpc is not installed: it comes with routing-crust[upnp]") from error
        try:
            igd.discover()
            url = igd.selectigd()
        except Exception as error:  # the library raises nothing else; Exception('Success') without a router
            raise RouterProblem("no router answers") from error
        host = urlsplit(str(url)).hostname
        if host != self._gateway.address:
            raise RouterProblem(f"{host} answers, which is not our gateway")
        self._igd = igd

    def _external_address(self) -> str:
        text = self._call("externalipaddress")
        try:
            endpoint = Endpoint.of(text, 0)
        except InvalidEndpoint:
            raise RouterProblem("the router has no address itself") from None
        if endpoint.is_v6 or endpoint.address.is_unspecified:
            raise RouterProblem("the router has no IPv4 address itself")
        return endpoint.host

    def _owner_of(self, external_port: int) -> tuple[str, int] | None:
        found = self._call("getspecificportmapping", external_port, _TCP)
        return None if found is None else (str(found[0]), int(found[1]))

    def _add(self, external_port: int, local_port: int, lifetime: int) -> float:
        """
        @return: for how long it was granted.
        @raise _Taken: the port is another's.
        """
        ours = (self._gateway.local, local_port)
        # some routers silently let a newer mapping replace that of another host
        if self._owner_of(external_port) not in (None, ours):
            raise _Taken
        # noted under the lock before the request: give_up then knows that there may be one to remove
        with self._state:
            if self._given_up:
                raise RouterProblem("it is not wanted any more")
            self._external_port = external_port
        try:
            self._ask_to_add(external_port, ours, lifetime)
        except _NoLifetimes:
            self._ask_to_add(external_port, ours, 0)
            return inf
        return lifetime

    def _ask_to_add(self, external_port: int, ours: tuple[str, int], seconds: int) -> None:
        """
        @raise _Taken: the port is another's.
        @raise _NoLifetimes: the router knows mappings without an end only.
        """
        try:
            self._igd.addportmapping(external_port, _TCP, *ours, DESCRIPTION, "", seconds)
        except Exception as error:  # the library raises nothing else
            why = str(error)
            if seconds and why in _PERMANENT_ONLY:
                raise _NoLifetimes from error
            self._external_port = None
            if why in _TAKEN:
                raise _Taken from error
            self._igd = None
            raise RouterProblem(f"the router said {why!r}") from error

    def _call(self, what: str, *arguments: Any) -> Any:
        try:
            return getattr(self._igd, what)(*arguments)
        except Exception as error:  # the library raises nothing else
            self._igd = None
            raise RouterProblem(f"the router said {str(error)!r}") from error


def load_miniupnpc() -> Any:
    """
    The library, which need not be installed.

    @raise ImportError: it is not.
    """
    return import_module("miniupnpc")


class UpnpRouter:
    """
    A gateway that speaks UPnP, for one port of ours.
    """

    way = "UPnP"
    check_every = 600.0

    def __init__(
        self,
        gateway: Gateway,
        random: Random,
        in_thread: InThread,
        load: Callable[[], Any] = load_miniupnpc,
    ) -> None:
        """
        @param random: for external ports.
        @param in_thread: runs a job in a thread, as L{in_daemon_thread}.
        @param load: imports C{miniupnpc}.
        """
        self._in_thread = in_thread
        self._random = random
        self._igd = Igd(gateway, load)

    async def map(self, local_port: int, external_port: int, lifetime: int) -> Lease:
        # drawn here: the source of randomness is the reactor thread's
        others = [self._random.randint(LOWEST_PORT_FROM_STRANGERS, 65535) for _ in range(MAX_OTHER_PORTS)]
        wanted = (external_port, *others)
        lease: Lease = await self._in_thread(partial(self._igd.map, local_port, wanted, lifetime))
        return lease

    async def holds(self, lease: Lease) -> bool:
        return bool(await self._in_thread(partial(self._igd.holds, lease)))

    async def remove(self) -> None:
        if self._igd.give_up():
            await self._in_thread(self._igd.remove)
