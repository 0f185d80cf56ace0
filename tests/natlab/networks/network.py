"""
Networks that are hard on nodes, as values: where two nodes are in one, and what happens to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from typing import Final

from routing_crust.endpoints import PathKind

from ..ipv6 import RENDEZVOUS_ADDRESSES, only_ipv6
from ..lab import Lab
from ..matrix import EVERYWHERE, ONLY_A_TUNNEL, PORT, STRAIGHT
from ..router import Nat, Router

ANY: Final = STRAIGHT | ONLY_A_TUNNEL
OFFICE_HOSTS: Final = 20
DESK: Final = "desk"
"""What the names of hosts with other nodes begin with."""
FEW_PORTS: Final = 16
_CARRIERS: Final = (Nat.FULL_CONE, Nat.PORT_RESTRICTED, Nat.SYMMETRIC)
_EVERYWHERE_TWICE: Final = tuple(
    (*four, f"[{six}]:{PORT}") for four, six in zip(EVERYWHERE, RENDEZVOUS_ADDRESSES, strict=True)
)
Event = Callable[[Lab], object]


@dataclass(frozen=True, slots=True)
class Network:
    """
    @ivar name: as the table has it.
    @ivar hosts: what each host is behind. Bob asks for a link with Alice; the others are his neighbours.
    @ivar expected: the path kinds that are good enough.
    @ivar events: what happens one after the other, by its column of the table.
    @ivar loss: the share of packets that each access to the internet loses.
    @ivar within: seconds in which Bob is linked as expected, and in which he is again after each event.
    @ivar prepare: what is done to the laboratory before nodes start.
    @ivar endpoints: where the nodes on the internet listen.
    @ivar listen: where Alice, and where Bob listens.
    """

    name: str
    hosts: Mapping[str, Router | None]
    expected: frozenset[PathKind]
    events: Mapping[str, Event]
    loss: float = 0.0
    within: float = 8.0
    prepare: Callable[[Lab], object] = lambda lab: None
    endpoints: tuple[tuple[str, ...], ...] = EVERYWHERE
    listen: tuple[str, str] = (f"0.0.0.0:{PORT}", f"0.0.0.0:{PORT}")

    def __str__(self) -> str:
        return self.name

    @property
    def neighbours(self) -> tuple[str, ...]:
        """The hosts on which nodes run that nobody measures."""
        return tuple(each for each in self.hosts if each.startswith(DESK))


def networks() -> Iterator[Network]:
    """All of them."""
    yield from _lossy()
    yield from _few_ports()
    yield from _ipv6()
    yield _office()
    yield _phone()
    for carrier in _CARRIERS:
        for one, other in combinations_with_replacement(_CARRIERS, 2):
            for hairpin in (False, True):
                yield _neighbours(one, other, carrier, hairpin)
    ways = list(product(_CARRIERS, repeat=2))
    for one_way, other_way in combinations_with_replacement(ways, 2):
        yield _carriers(one_way, other_way)


def _lossy() -> Iterator[Network]:
    for loss, within in ((0.05, 15.0), (0.20, 60.0)):
        for one, other in ((None, Nat.PORT_RESTRICTED), (Nat.PORT_RESTRICTED,) * 2, (Nat.SYMMETRIC,) * 2):
            alice, bob = one and Router(one), Router(other)
            name = f"{one.value if one else 'public'} - {other.value}, {loss:.0%} of packets lost"
            kinds = _expected(one or Nat.FULL_CONE, other)
            yield Network(name, {"alice": alice, "bob": bob}, kinds, _usual(bob), loss=loss, within=within)


def _few_ports() -> Iterator[Network]:
    for one, other in ((Nat.RESTRICTED, Nat.RESTRICTED), (Nat.PORT_RESTRICTED, Nat.SYMMETRIC)):
        alice, bob = Router(one, ports=FEW_PORTS), Router(other, ports=FEW_PORTS)
        name = f"{one.value} - {other.value}, each with {FEW_PORTS} ports and connections"
        # a symmetric NAT with so few ports may happen to use the one that is looked for
        yield Network(name, {"alice": alice, "bob": bob}, STRAIGHT if one is other else ANY, _usual(bob))


def _ipv6() -> Iterator[Network]:
    anywhere = (f"[::]:{PORT}", f"0.0.0.0:{PORT}")
    for nat in (None, Nat.PORT_RESTRICTED, Nat.SYMMETRIC):
        bob = nat and Router(nat)
        events = _usual(bob) if bob else {"another address": lambda lab: lab.change_address("bob")}
        yield Network(
            f"IPv6 alone, firewall - IPv4 alone, {nat.value if nat else 'public'}",
            {"alice": None, "bob": bob},
            ONLY_A_TUNNEL,
            events,
            prepare=lambda lab: only_ipv6(lab, "alice"),
            endpoints=_EVERYWHERE_TWICE,
            listen=anywhere,
        )


def _office() -> Network:
    office = Router(Nat.PORT_RESTRICTED)
    others = {f"{DESK}{number}": office for number in range(1, OFFICE_HOSTS)}
    hosts = {"alice": Router(Nat.PORT_RESTRICTED), "bob": office, **others}
    return Network(
        f"port-restricted - office of {OFFICE_HOSTS}", hosts, STRAIGHT, _usual(office), within=15.0
    )


def _phone() -> Network:
    wlan, mobile = Router(Nat.PORT_RESTRICTED), Router(Nat.SYMMETRIC)
    events = {"out of the WLAN": lambda lab: lab.leave("bob"), "back in it": lambda lab: lab.come_back("bob")}
    return Network(
        "restricted - phone with WLAN (port-restricted) and mobile network (symmetric)",
        {"alice": Router(Nat.RESTRICTED), "bob": wlan, "mast": mobile},
        STRAIGHT,
        events,
        prepare=lambda lab: lab.add_uplink("bob", mobile),
    )


def _neighbours(one: Nat, other: Nat, carrier: Nat, hairpin: bool) -> Network:
    outer = Router(carrier, hairpin=hairpin)
    alice, bob = Router(one, behind=outer), Router(other, behind=outer)
    back = "with" if hairpin else "without"
    name = f"{one.value} - {other.value}, both behind one {carrier.value} carrier {back} hairpin"
    return Network(name, {"alice": alice, "bob": bob}, ANY, _usual(outer))


def _carriers(one_way: tuple[Nat, Nat], other_way: tuple[Nat, Nat]) -> Network:
    (one, one_outer), (other, other_outer) = one_way, other_way
    outer = Router(other_outer)
    alice, bob = Router(one, behind=Router(one_outer)), Router(other, behind=outer)
    name = f"{one.value} behind {one_outer.value} - {other.value} behind {other_outer.value}"
    kinds = _expected(_together(*one_way), _together(*other_way))
    return Network(name, {"alice": alice, "bob": bob}, kinds, _usual(outer))


def _usual(router: Router) -> Mapping[str, Event]:
    """What happens to most networks: to Bob's router, or to that of his carrier."""
    return {
        "connections forgotten": lambda lab: lab.forget_connections(router),
        "another address": lambda lab: lab.change_address(router),
    }


def _together(inner: Nat, outer: Nat) -> Nat:
    """The kind that a router behind another one amounts to: the stricter of the two."""
    return max(inner, outer, key=list(Nat).index)


def _expected(one: Nat, other: Nat) -> frozenset[PathKind]:
    hard = {Nat.SYMMETRIC, Nat.PORT_RESTRICTED}
    return ONLY_A_TUNNEL if Nat.SYMMETRIC in (one, other) and {one, other} <= hard else STRAIGHT
