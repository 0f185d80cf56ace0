"""
The paths that dials take: by which uplink of this host, and with how large segments. Usually the system
decides both. Where its choice was found not to work, what did is remembered here until the network changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from twisted.logger import Logger

from ...bounded_dict import BoundedDict
from ...endpoints import Endpoint
from ..reachability import PathProblems
from .uplinks import Uplink

SEGMENT_BYTES: Final = (1200, 536)
"""Tried in turn where larger segments get lost: what tunnels and DSL lines pass, and what all have to."""
SEGMENTS_LIFETIME_SECONDS: Final = 3600.0
"""After this time the size of the system is tried again."""
MAX_HOSTS: Final = 256
"""Hosts to which a path is remembered."""
HOSTS_THAT_CONVINCE: Final = 2
"""Networks to which a path had to be another one before all dials take it."""


@dataclass(frozen=True, slots=True)
class DialPath:
    """
    How the packets of one dial leave.

    @ivar uplink: by which interface; C{None} leaves it to the system.
    @ivar segment_bytes: the largest TCP segment, of both ends; 0 leaves it to the system.
    """

    uplink: Uplink | None = None
    segment_bytes: int = 0

    @property
    def in_words(self) -> str:
        """As in "no answer, by wlan0"; empty for the path of the system's choice."""
        by = f"by {self.uplink.interface}" if self.uplink is not None else ""
        small = f"with segments of {self.segment_bytes} bytes" if self.segment_bytes else ""
        return ", ".join(each for each in (by, small) if each)


SYSTEM_PATH: Final = DialPath()


class DialPaths:
    """One for all dials of a node."""

    log = Logger()

    def __init__(
        self,
        uplinks: Callable[[Endpoint], Sequence[Uplink]] = lambda endpoint: (),
        seconds: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """
        @param uplinks: by which uplinks an endpoint might be reached beside that of the system's choice.
        @param seconds: the clock: C{IReactorTime.seconds}.
        """
        self._uplinks = uplinks
        self._seconds = seconds
        self._segments: BoundedDict[Endpoint, tuple[int, float]] = BoundedDict(MAX_HOSTS)
        self._uplink_of: BoundedDict[Endpoint, Uplink] = BoundedDict(MAX_HOSTS)

    @property
    def problems(self) -> PathProblems:
        """What dials have to get around now."""
        now = self._seconds()
        return PathProblems(
            {host.host: size for host, (size, until) in self._segments.items() if until > now},
            tuple(dict.fromkeys(each.interface for each in self._uplink_of.values())),
        )

    def first(self, endpoint: Endpoint) -> DialPath:
        """The path to begin with."""
        return DialPath(self._first_uplink(endpoint), self._first_size(endpoint))

    def others(self, endpoint: Endpoint, path: DialPath) -> tuple[DialPath, ...]:
        """The other paths, for when nothing at all comes back by this one."""
        if path.uplink is None:
            ways: list[Uplink | None] = list(self._uplinks(endpoint))
        else:
            # the system may have changed its mind since, so its choice comes first
            ways = [None, *(each for each in self._uplinks(endpoint) if each != path.uplink)]
        return tuple(DialPath(each, path.segment_bytes) for each in ways)

    def smaller(self, path: DialPath) -> DialPath | None:
        """What to try where a connection is made and then nothing comes; C{None} if nothing is left."""
        sizes = (each for each in SEGMENT_BYTES if not path.segment_bytes or each < path.segment_bytes)
        size = next(sizes, 0)
        return DialPath(path.uplink, size) if size else None

    def worked(self, endpoint: Endpoint, path: DialPath) -> None:
        """A link was made by this path."""
        host = _host_of(endpoint)
        if path.uplink is None:
            # the system's choice works again
            for each in [each for each in self._uplink_of if each.is_v6 == host.is_v6]:
                del self._uplink_of[each]
        elif self._uplink_of.get(host) != path.uplink:
            self._uplink_of.put(host, path.uplink)
            self.log.warn(
                "{host} answers by {interface}, and not by the interface that the system prefers: "
                "see whether that has a way to the internet",
                host=host.host,
                interface=path.uplink.interface,
            )
        if path.segment_bytes and path.segment_bytes != self._size_for(host):
            self.small(endpoint, path.segment_bytes)

    def small(self, endpoint: Endpoint, size: int = SEGMENT_BYTES[0]) -> None:
        """Larger segments get lost on the way to this host or back."""
        host = _host_of(endpoint)
        if self._size_for(host) != size:
            self.log.warn(
                "large packets between us and {host} get lost and no router says so (an MTU black hole): "
                "segments of at most {size} bytes are used",
                host=host.host,
                size=size,
            )
        self._segments.put(host, (size, self._seconds() + SEGMENTS_LIFETIME_SECONDS))

    def network_changed(self) -> None:
        """Nothing that was found out needs to hold any more."""
        self._segments.clear()
        self._uplink_of.clear()

    def _first_uplink(self, endpoint: Endpoint) -> Uplink | None:
        host = _host_of(endpoint)
        known = self._uplink_of.get(host)
        if known is None:
            networks = {
                each.prefix: uplink for each, uplink in self._uplink_of.items() if each.is_v6 == host.is_v6
            }
            # one host that is off says nothing of a line
            if len(networks) < HOSTS_THAT_CONVINCE:
                return None
            known = next(reversed(list(networks.values())))
        return known if known in self._uplinks(endpoint) else None

    def _first_size(self, endpoint: Endpoint) -> int:
        size = self._size_for(_host_of(endpoint))
        if size:
            return size
        now = self._seconds()
        networks = {each.prefix: size for each, (size, until) in self._segments.items() if until > now}
        # to each of many networks: then it is the line of this host that loses them
        return max(networks.values()) if len(networks) >= HOSTS_THAT_CONVINCE else 0

    def _size_for(self, host: Endpoint) -> int:
        size, until = self._segments.get(host, (0, 0.0))
        return size if until > self._seconds() else 0


class PathsOfCrust:
    """
    The part of L{ICrust<routing_crust.crust.interfaces.ICrust>} that L{DialPaths} provides; a base class of
    its implementations.
    """

    _dial_paths: DialPaths

    @property
    def path_problems(self) -> PathProblems:
        return self._dial_paths.problems


def _host_of(endpoint: Endpoint) -> Endpoint:
    return Endpoint(endpoint.host, 1)
