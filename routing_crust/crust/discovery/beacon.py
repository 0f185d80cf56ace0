"""
The beacon: finds nodes on the local network, and lets them find us, by multicast.

A node that looks for others sends a SEEK, less and less often, until it is in the network; the others send an
ANSWER after a short random wait, so that they do not answer all at once, and none when enough others have
answered already. A SEEK that is repeated shows that those answers did not help: nodes that kept silent answer
it. L{routing_crust.crust.discovery.packet} has the format. A host without multicast has no beacon.

Keys are free, so everything here is limited by the address that a datagram came from
(L{routing_crust.crust.discovery.beacon_limits}).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from ...bounded_dict import BoundedDict
from ...endpoints import Contact
from ...identity import Identity
from ...names import Name
from ...quietlog import QuietLog
from ...timing.timers import cancel
from ...wire.fields import NONCE_BYTES
from .beacon_limits import BeaconLimits
from .multicast import BEACON_PORT, Place, open_socket
from .packet import MAX_DATAGRAM_BYTES, SALT_BYTES, BeaconKind, BeaconPacket, BeaconScope

FIRST_SEEK_WAIT_SECONDS: Final = 1.0
"""Seconds to the second SEEK; each later wait is twice as long, up to L{MAX_SEEK_WAIT_SECONDS}."""
MAX_SEEK_WAIT_SECONDS: Final = 30.0
MAX_ANSWER_WAIT_SECONDS: Final = 0.05
"""Seconds: the longest random wait before an ANSWER."""
ENOUGH_ANSWERS: Final = 8
"""Answers to one SEEK, by as many names at as many addresses, after which a node sends none."""

_MAX_HEARD: Final = 1024
"""Sealed SEEKs that are not answered again. Only members can make any."""
_MAX_UNANSWERED: Final = 64
"""SEEKs that we have left to others, of which a repetition is recognised."""


class _PendingAnswer:
    """An answer that waits for its moment, to one host."""

    def __init__(self, ear: _Ear, call: IDelayedCall) -> None:
        self.ear = ear
        self.call = call
        self.names: set[Name] = set()
        self.hosts: set[str] = set()

    @property
    def others(self) -> int:
        """How many others have answered: one name at many addresses is one, many at one address too."""
        return min(len(self.names), len(self.hosts))


class LanBeacon:
    """
    The beacon of one node. Made and stopped by L{CrustService<routing_crust.crust.service.CrustService>}.
    """

    log = Logger()

    def __init__(
        self,
        identity: Identity,
        scope: BeaconScope,
        reactor: Any,
        random: Random,
        found: Callable[[Contact], None],
        port: int = BEACON_PORT,
    ) -> None:
        """
        @param scope: whose beacons are heard.
        @param reactor: provides C{IReactorTime} and C{IReactorSocket}.
        @param found: called with each node that answers while we seek.
        @param port: the UDP port.
        """
        self._identity = identity
        self._scope = scope
        self._reactor = reactor
        self._clock: IReactorTime = reactor
        self._random = random
        self._found = found
        self._port = port
        self._ears: dict[Place, _Ear] = {}
        self._closing: dict[Deferred[Any], None] = {}
        self._nonce: bytes | None = None
        self._seek_call: IDelayedCall | None = None
        # by hosts as well: a host that copies the nonce of a SEEK must not take the answer to it
        self._pending: dict[bytes, dict[str, _PendingAnswer]] = {}
        self._heard: BoundedDict[bytes, None] = BoundedDict(_MAX_HEARD)
        self._unanswered: BoundedDict[bytes, None] = BoundedDict(_MAX_UNANSWERED)
        self._quiet = QuietLog(self.log, self._clock.seconds)

    @property
    def active(self) -> bool:
        """Whether there is any place where nodes could be found."""
        return bool(self._ears)

    def listen(self, places: Iterable[Place]) -> None:
        """Listen at these places and no others from now on. One log line names those without multicast."""
        wanted = [] if self._scope.is_silent else list(places)
        for place in [each for each in self._ears if each not in wanted]:
            self._close(self._ears.pop(place))
        problems = []
        for place in wanted:
            if place not in self._ears:
                problem = self._open(place)
                if problem:
                    problems.append(f"{place}: {problem}")
        if problems:
            self.log.info(
                "nodes on the local network are not looked for everywhere ({problems})",
                problems="; ".join(problems),
            )

    def seek(self) -> None:
        """Look for nodes until L{stop_seeking}. While seeking, no answers are given."""
        if self._nonce is None:
            self._nonce = self._random.randbytes(NONCE_BYTES)
            self._seek(FIRST_SEEK_WAIT_SECONDS)

    def stop_seeking(self) -> None:
        """Stop looking for nodes. Idempotent."""
        self._nonce = None
        cancel(self._seek_call)
        self._seek_call = None

    def stop(self) -> Deferred[None]:
        """
        Say and hear nothing more. Idempotent; L{listen} starts again.

        @return: fires when all sockets are closed and no delayed call is left; never fails.
        """
        self.stop_seeking()
        pending, self._pending = self._pending, {}
        for hosts in pending.values():
            for each in hosts.values():
                each.call.cancel()
        self.listen(())
        return gatherResults(list(self._closing)).addCallback(lambda _: None)

    def heard(self, datagram: bytes, host: str, place: Place) -> None:
        """A datagram came; anyone may have sent it. The cheap checks come first, the signature last."""
        ear = self._ears.get(place)
        beacon = None if ear is None else self._scope.read(datagram)
        if ear is None or beacon is None or beacon.name == self._identity.name:
            return
        if beacon.kind is BeaconKind.SEEK:
            # a SEEK is sent again in other bytes, where the members share a secret
            if self._scope.is_sealed and self._is_replay(datagram):
                return
            self._heard_seek(beacon, host, ear)
        else:
            self._heard_answer(beacon, host, ear)

    def _heard_seek(self, beacon: BeaconPacket, host: str, ear: _Ear) -> None:
        pending = self._pending.get(beacon.nonce, {})
        # a node that seeks is not in the network itself, and would lead others nowhere
        busy = self._nonce is not None or host in pending or not ear.limits.may_wait(host)
        if busy or not ear.place.port or not _is_signed(beacon, host, ear):
            return
        # so that the nodes of a network do not all answer at once
        wait = self._random.uniform(0, MAX_ANSWER_WAIT_SECONDS)
        call = self._clock.callLater(wait, self._answer, beacon.nonce, host)
        self._pending.setdefault(beacon.nonce, {})[host] = _PendingAnswer(ear, call)
        ear.limits.waits(host)

    def _heard_answer(self, beacon: BeaconPacket, host: str, ear: _Ear) -> None:
        pending = self._pending.get(beacon.nonce)
        # only signed answers count, else anybody could silence us
        if pending is not None and _is_signed(beacon, host, ear):
            for each in pending.values():
                each.names.add(beacon.name)
                each.hosts.add(host)
        if beacon.nonce != self._nonce:
            return
        endpoint = ear.place.endpoint_of(host, beacon.port)
        if endpoint is not None and _is_signed(beacon, host, ear):
            self._found(Contact(endpoint, beacon.name))

    def _is_replay(self, datagram: bytes) -> bool:
        salt = datagram[:SALT_BYTES]
        before = salt in self._heard
        self._heard.put(salt, None)
        return before

    def _answer(self, nonce: bytes, host: str) -> None:
        hosts = self._pending[nonce]
        pending = hosts.pop(host)
        if not hosts:
            del self._pending[nonce]
        limits = pending.ear.limits
        limits.waited(host)
        if pending.others >= ENOUGH_ANSWERS and nonce not in self._unanswered:
            self._unanswered.put(nonce, None)
        elif limits.may_answer(host):
            self._send(BeaconKind.ANSWER, nonce, pending.ear.place)

    def _seek(self, wait: float) -> None:
        assert self._nonce is not None
        self._seek_call = self._clock.callLater(wait, self._seek, min(2 * wait, MAX_SEEK_WAIT_SECONDS))
        for place in self._ears:
            self._send(BeaconKind.SEEK, self._nonce, place)

    def _send(self, kind: BeaconKind, nonce: bytes, place: Place) -> None:
        ear = self._ears.get(place)
        if ear is None:  # the interface has gone away meanwhile
            return
        datagram = self._scope.make(self._identity, kind, place.port, nonce, self._random)
        try:
            ear.transport.write(datagram, (place.group, self._port))
        except OSError as error:
            self._quiet.info(
                "a beacon that cannot be sent",
                "no beacon can be sent on {place} ({problem})",
                place=str(place),
                problem=error.strerror,
            )

    def _open(self, place: Place) -> str | None:
        """Open a socket. Returns the problem, if there is one."""
        ear = _Ear(self, place, self._clock.seconds)
        try:
            with open_socket(place, self._port) as here:
                # The reactor keeps a duplicate. One byte more, to tell a datagram that is too large.
                self._reactor.adoptDatagramPort(here.fileno(), here.family, ear, MAX_DATAGRAM_BYTES + 1)
        except OSError as error:
            return error.strerror or str(error)
        self._ears[place] = ear
        return None

    def _close(self, ear: _Ear) -> None:
        # interfaces come and go for as long as the node runs, so what is closed must not stay here
        closed = maybeDeferred(ear.transport.stopListening)
        self._closing[closed] = None
        closed.addBoth(lambda _: self._closing.pop(closed, None))


class _Ear(DatagramProtocol):
    """
    The protocol of one socket.

    @ivar place: where it is.
    @ivar limits: what is done for those who are heard there.
    """

    noisy = False
    transport: Any

    def __init__(self, beacon: LanBeacon, place: Place, seconds: Callable[[], float]) -> None:
        self._beacon = beacon
        self.place = place
        self.limits = BeaconLimits(seconds)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self._beacon.heard(datagram, addr[0], self.place)


def _is_signed(beacon: BeaconPacket, host: str, ear: _Ear) -> bool:
    # a flood of datagrams must not keep the reactor busy with signatures
    return ear.limits.may_check(host) and beacon.signature_holds()
