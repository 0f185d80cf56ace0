"""
A router between a host and the internet, as a value: its kind of NAT, and its answers to stray packets.

The kinds are named as in RFC 3489, since that is what people call them; RFC 4787 would say which mapping and
which filtering each has.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Nat(Enum):
    """A kind of router. For TCP and UDP alike, but for the last."""

    FIREWALL = "firewall"
    """No translation: hosts have public addresses; in comes only what belongs to something that went out."""
    FULL_CONE = "full cone"
    """A port inside has one port outside for all remote ends, and any host may come in by it."""
    RESTRICTED = "restricted"
    """The same, but in come only addresses that this port has sent something to."""
    PORT_RESTRICTED = "port-restricted"
    """
    What Linux does as a home router: the port outside is the one inside if that is free, and in comes only
    what belongs to something that went out. When two hosts use one port, free is decided for each remote end.
    """
    SYMMETRIC = "symmetric"
    """Each connection has a port outside of its own, drawn at random, and only its remote end may come in."""
    BLOCKED = "no inbound, no UDP"
    """As symmetric, but hosts may dial only the network of the rendezvous, and UDP goes nowhere."""

    @property
    def one_port(self) -> bool:
        """Whether the port outside is the same for all remote ends, and is remembered for as long."""
        return self in (Nat.FULL_CONE, Nat.RESTRICTED)

    @property
    def random_port(self) -> bool:
        """Whether each connection has another port outside."""
        return self in (Nat.SYMMETRIC, Nat.BLOCKED)

    @property
    def translates(self) -> bool:
        """Whether hosts have other addresses inside than outside."""
        return self is not Nat.FIREWALL


class Stray(Enum):
    """What a router does with packets that it does not let in."""

    DROP = "drop"
    REJECT = "reject"
    """A filter answers: a TCP reset, or that the port is unreachable."""
    ANSWER = "answer"
    """
    The router's own stack answers, which has no listener, and its table of connections remembers that.
    But what is for a host behind a L{Nat.FIREWALL} is not for the router's own stack: that is dropped.
    """


@dataclass(frozen=True, slots=True, eq=False)
class Router:
    """
    One router, with a LAN behind it. Each is one of its own: hosts that share it are on the same LAN.

    @ivar hairpin: whether hosts inside can reach one another by their addresses outside.
    @ivar upnp: whether it maps ports when asked: UPnP IGD and NAT-PMP, by Debian's miniupnpd.
    @ivar natpmp: whether it does so by NAT-PMP alone, also if its own address is a private one.
    @ivar lan: the first three numbers of the LAN's addresses, as C{192.168.1}; several routers may have the
        same. Empty is one that no other router has.
    @ivar behind: the carrier's router that this one is behind; C{None} is the internet.
    @ivar pool: whether it has a second address outside, by which hosts go to other networks than that of the
        rendezvous.
    @ivar ports: how many ports outside it has for all its hosts, and how many connections it lets them have
        at once; 0 is as many as there are.
    @ivar lets_out: the ports outside that hosts may dial over TCP, and nothing else; empty is all.
    """

    nat: Nat
    stray: Stray = Stray.DROP
    hairpin: bool = False
    upnp: bool = False
    natpmp: bool = False
    lan: str = ""
    behind: Router | None = None
    lets_out: tuple[int, ...] = ()
    pool: bool = False
    ports: int = 0
