"""
The path kind that two nodes get: each pair of places, with each kind of router.

Two nodes on the internet run before: through these the two find each other, and these observe what their NATs
do. The node that is measured starts last and requests a link at once, so the time includes all that a
newcomer has to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from itertools import combinations_with_replacement
from typing import Final

from routing_crust.endpoints import PathKind

from .called import Called, NothingCame
from .lab import Lab
from .layout import RENDEZVOUS, RENDEZVOUS_ADDRESSES
from .router import Nat, Router, Stray

PORT: Final = 5483
TUNNEL_WITHIN: Final = 3.0
"""Seconds to a tunnel, where there can be nothing better."""
_SETTLED: Final = 10.0
STRAIGHT: Final = frozenset({PathKind.DIRECT, PathKind.MAPPED, PathKind.PUNCHED})
ONLY_A_TUNNEL: Final = frozenset({PathKind.TUNNEL})


class Place(Enum):
    """Where a node can be."""

    PUBLIC = "public"
    FIREWALL = "firewall"
    FULL_CONE = "full cone"
    RESTRICTED = "restricted"
    PORT_RESTRICTED = "port-restricted"
    SYMMETRIC = "symmetric"
    DOUBLE = "double NAT"
    BLOCKED = "no inbound, no UDP"

    def router(self, stray: Stray) -> Router | None:
        """What a host in such a place is behind: one of its own for each call."""
        if self is Place.PUBLIC:
            return None
        if self is Place.DOUBLE:
            return Router(Nat.PORT_RESTRICTED, stray=stray, behind=Router(Nat.PORT_RESTRICTED, stray=stray))
        return Router(Nat(self.value), stray=stray)


@dataclass(frozen=True, slots=True)
class Pair:
    """
    Where the two are.

    @ivar same_lan: whether they are on the LAN of one router, which does no hairpin.
    """

    one: Place
    other: Place
    same_lan: bool = False

    def __str__(self) -> str:
        return f"{self.one.value}, same LAN" if self.same_lan else f"{self.one.value} - {self.other.value}"

    @property
    def expected(self) -> frozenset[PathKind]:
        """The path kinds that are good enough."""
        places = {self.one, self.other}
        if self.same_lan:
            return STRAIGHT
        if Place.BLOCKED in places:
            return ONLY_A_TUNNEL
        hard = {Place.SYMMETRIC, Place.PORT_RESTRICTED, Place.DOUBLE, Place.FIREWALL}
        return ONLY_A_TUNNEL if Place.SYMMETRIC in places and places <= hard else STRAIGHT


def all_pairs() -> Iterator[Pair]:
    """Each of them once."""
    for one, other in combinations_with_replacement(Place, 2):
        yield Pair(one, other)
    for place in (Place.PORT_RESTRICTED, Place.SYMMETRIC, Place.BLOCKED):
        yield Pair(place, place, same_lan=True)


@dataclass(frozen=True, slots=True)
class Try:
    """
    The result of one try.

    @ivar path_kind: the best that was reached; C{None} if there was no link.
    @ivar linked: seconds from the start of the second node, which knows only contacts, until that path kind.
    @ivar message: seconds from its start until its first message was acknowledged, over what there was then.
    @ivar problem: what went wrong, if anything did.
    """

    path_kind: PathKind | None = None
    linked: float = 0.0
    message: float = 0.0
    problem: str = ""

    def is_good(self, expected: frozenset[PathKind]) -> bool:
        """Whether the result is one that is expected, in time."""
        in_time = self.linked <= TUNNEL_WITHIN or expected is not ONLY_A_TUNNEL
        return self.path_kind in expected and in_time and not self.problem


EVERYWHERE: Final = tuple((f"{each}:{PORT}",) for each in RENDEZVOUS_ADDRESSES)
"""Where the nodes on the internet listen, unless said otherwise."""


class Meeting:
    """
    Two nodes on the internet of a laboratory, by which others find each other.

    @ivar lab: the laboratory, which is there.
    """

    def __init__(
        self, lab: Lab, expected: frozenset[PathKind], endpoints: Sequence[Sequence[str]] = EVERYWHERE
    ) -> None:
        """
        @param expected: the path kinds that are good enough.
        @param endpoints: where each of the two nodes listens.
        """
        self.lab = lab
        self._expected = expected
        self._endpoints = endpoints
        self._contacts: list[str] = []
        self._known: list[Called] = []

    def start(self) -> None:
        """
        Start the nodes on the internet.

        @raise NothingCame: they did not come up.
        """
        for each in self._endpoints:
            node = Called(self.lab, RENDEZVOUS, each, *self._contacts)
            self._known.append(node)
            self._contacts += [f"{node.name}@{endpoint}" for endpoint in each]
        self._known[-1].wait("link")

    def once(self) -> Try:
        """Start the two nodes, and wait for their link."""
        self.lab.forget_all_connections()
        try:
            with self.pair() as (_, bob):
                return self.watch(bob)
        except NothingCame as problem:
            return Try(problem=str(problem))

    @contextmanager
    def pair(
        self, listen: tuple[str, str] = (f"0.0.0.0:{PORT}", f"0.0.0.0:{PORT}")
    ) -> Iterator[tuple[Called, Called]]:
        """
        Two nodes, I{alice} and I{bob}, the second of which asks for a link with the first.

        @param listen: where the one and the other listens.
        """
        with self.node("alice", listen[0]) as alice:
            for known in self._known:
                alice.wait("link", peer=known.name)
            # it does not always learn its NAT, and must get its link all the same
            alice.wait_or_go_on(
                lambda each: each["what"] == "connected" and each["nat"] != "unknown", _SETTLED
            )
            with self.node("bob", listen[1], call=alice.name) as bob:
                yield alice, bob

    def node(self, host: str, listen: str, call: str = "") -> Called:
        """Start another node, which knows those on the internet."""
        return Called(self.lab, host, [listen], *self._contacts, call=call)

    def watch(self, bob: Called) -> Try:
        """Wait for the link and the first message of the node that asks."""
        message = float(bob.wait("message")["seconds"])
        try:
            link = bob.wait_for(
                lambda each: each["what"] == "link" and PathKind(each["path_kind"]) in self._expected
            )
        except NothingCame as problem:
            path_kind, seconds = bob.last_link()
            return Try(path_kind, seconds, message, str(problem))
        return Try(PathKind(link["path_kind"]), float(link["seconds"]), message)


def measure(pair: Pair, stray: Stray, delay: float = 0.010, tries: int = 3) -> list[Try]:
    """
    Build a laboratory and try some times.

    @param delay: of each access to the internet, one way, in seconds.
    @raise LabError: none can be built here.
    """
    one = pair.one.router(stray)
    other = one if pair.same_lan else pair.other.router(stray)
    with Lab({"alice": one, "bob": other}, delay=delay) as lab:
        meeting = Meeting(lab, pair.expected)
        try:
            meeting.start()
        except NothingCame as problem:
            return [Try(problem=str(problem))] * tries
        return [meeting.once() for _ in range(tries)]
