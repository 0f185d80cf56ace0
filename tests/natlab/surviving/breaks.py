"""
The kinds of breaks: what happens to the link, the path, a host or a daemon, and when the path is back.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from ..router import Nat
from .household import Household

_RESET_RULES: Final = """
table ip resets {
 chain forward { type filter hook forward priority -300; ip protocol tcp reject with tcp reset; }
}
"""
_RESET_SECONDS: Final = 0.5
SLOW_BYTES_PER_SECOND: Final = 64 * 1024
"""Less than the download sends, by far."""


@dataclass(frozen=True, slots=True)
class Break:
    """
    @ivar kind: what the table calls it.
    @ivar play: breaks it, and returns when the path is back, or the peer can be reached again.
    @ivar long: whether that takes a minute or more.
    @ivar spares_link: whether the path is merely bad, so that the link must not be cut.
    """

    kind: str
    play: Callable[[Household], float]
    long: bool = False
    spares_link: bool = False


def reset(host: str, household: Household) -> float:
    """A router between sends resets for every packet of TCP."""
    space = household.lab.namespace(household.homes[host])
    space.command("nft", "-f", "-", given=_RESET_RULES)
    time.sleep(_RESET_SECONDS)
    space.command("nft", "delete", "table", "ip", "resets")
    return time.monotonic()


def silence(host: str, seconds: float, household: Household) -> float:
    """All packets of a host vanish, of which nobody is told."""
    router = household.homes[host]
    household.lab.cut(router)
    time.sleep(seconds)
    household.lab.mend(router)
    return time.monotonic()


def flush(host: str, household: Household) -> float:
    """A router forgets its connections."""
    household.lab.forget_connections(household.homes[host])
    return time.monotonic()


def reboot(host: str, seconds: float, household: Household) -> float:
    """A router is off for a time, has forgotten everything, and gets another external address."""
    router = household.homes[host]
    household.lab.cut(router)
    time.sleep(seconds)
    household.lab.mend(router)
    household.lab.change_address(router)
    return time.monotonic()


def move(host: str, household: Household) -> float:
    """A host gets another address on its network."""
    household.lab.change_address(host)
    return time.monotonic()


def unplug(host: str, seconds: float, household: Household) -> float:
    """The network device of a host is off for a time."""
    household.lab.link(host, up=False)
    time.sleep(seconds)
    household.lab.link(host, up=True)
    return time.monotonic()


def sleep(host: str, seconds: float, household: Household) -> float:
    """The daemon of a host stands still for a time, as on a host that sleeps."""
    daemon = household.node(host)
    daemon.signal(signal.SIGSTOP)
    time.sleep(seconds)
    daemon.signal(signal.SIGCONT)
    return time.monotonic()


def lose(share: float, seconds: float, household: Household) -> float:
    """For a time, this share of packets is lost at each access to the internet."""
    household.lab.trouble(loss=share)
    time.sleep(seconds)
    household.lab.calm()
    return time.monotonic()


def fill(rate: float, seconds: float, household: Household) -> float:
    """For a time, the accesses to the internet carry less than is sent: packets wait for seconds there."""
    household.lab.trouble(loss=0.0, rate=rate)
    time.sleep(seconds)
    household.lab.calm()
    return time.monotonic()


def kill_relay(household: Household) -> float:
    """The relay of the tunnel is killed. It is started again when the connection goes on."""
    relay = household.relays[household.alice.link(household.bob.name)["via"]]
    relay.signal(signal.SIGKILL)
    return time.monotonic()


def open_nat(household: Household) -> float:
    """A router lets others in from now on, so that the tunnel is replaced by a link without a relay."""
    began = time.monotonic()
    household.lab.change_nat(household.homes["alice"], Nat.FULL_CONE, forget=False)
    household.lab.add_address("alice")
    outside = household.lab.public("alice").replace(".", r"\.")
    household.bob.wait(rf" link (?:to|from) node {household.alice.name} at {outside}:")
    return began


RESET: Final = "the connection is reset"
KILLED: Final = "the relay of the tunnel is killed (SIGKILL)"
REPLACED: Final = "a tunnel is replaced by a direct or punched link"


def _silent(seconds: float, way: str = "") -> str:
    return f"nothing comes through for {seconds:g} s{way}, and nobody is told"


TUNNELLED: Final = (
    Break(KILLED, kill_relay),
    Break(f"{_silent(5)} (tunnel)", partial(silence, "alice", 5)),
    Break("a router forgets its connections (tunnel)", partial(flush, "bob")),
    Break(KILLED, kill_relay),
    Break(REPLACED, open_nat),
)


"""Those of a tunnel; the last one ends it."""
DIRECT: Final = (
    Break(RESET, partial(reset, "alice")),
    Break(_silent(5), partial(silence, "alice", 5)),
    Break("a router forgets its connections", partial(flush, "alice")),
    Break("a router is off for 5 s, and has another external address then", partial(reboot, "alice", 5)),
    Break("a host gets another address", partial(move, "alice")),
    Break("a host has no network for 10 s", partial(unplug, "bob", 10)),
    Break(_silent(60), partial(silence, "bob", 60), long=True),
    Break("a daemon stands still for 90 s (SIGSTOP)", partial(sleep, "alice", 90), long=True),
    Break("a router forgets its connections", partial(flush, "bob")),
    Break(RESET, partial(reset, "bob")),
    Break("a router is off for 5 s, and has another external address then", partial(reboot, "bob", 5)),
    Break("a host gets another address", partial(move, "bob")),
    Break("a daemon stands still for 90 s (SIGSTOP)", partial(sleep, "bob", 90), long=True),
    Break(_silent(5), partial(silence, "bob", 5)),
    Break("a daemon stands still for 5 min (SIGSTOP)", partial(sleep, "bob", 300), long=True),
    Break("of all packets 20 % are lost at each access for 30 s", partial(lose, 0.2, 30), spares_link=True),
    Break(
        "an access is full for 20 s, and packets wait there for 2 s",
        partial(fill, SLOW_BYTES_PER_SECOND, 20),
        spares_link=True,
    ),
)
"""Those of a link without a relay."""
