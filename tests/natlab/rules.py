"""
The rules of a router for nftables. Its two devices are called C{wan0} and C{lan0}.

Linux translates addresses as a port-restricted or, with random ports, as a symmetric NAT. A cone is made of
maps that learn from each packet that goes out which port inside has which outside: they give later
connections the same port, and let others in by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .layout import DIALABLE
from .router import Nat, Router, Stray

PROTOCOLS = ("tcp", "udp")
_TABLE = "lab"
_MEMORY = "flags dynamic,timeout; timeout 10m; size 65535;"
_EPHEMERAL = "32768-60999"
FIRST_PORT = 40960
"""Of a router that has few."""
_ENDPOINT = "ipv4_addr . inet_service"

UPNP_RULES = """
table inet filter {
 chain forward { type filter hook forward priority -5; jump miniupnpd; }
 chain miniupnpd { }
 chain prerouting { type nat hook prerouting priority -101; jump prerouting_miniupnpd; }
 chain postrouting { type nat hook postrouting priority 99; jump postrouting_miniupnpd; }
 chain prerouting_miniupnpd { }
 chain postrouting_miniupnpd { }
}
"""
"""The chains that miniupnpd writes its rules into; they go before ours."""
SILENT_RULES = """
table ip silent {
 chain own { type filter hook output priority filter; icmp type destination-unreachable drop; }
}
"""
"""For a router that does not say which packets are too large for it."""


def ruleset(router: Router, outside: str, second: str = "") -> str:
    """
    The input of C{nft -f}, in one transaction: it replaces the rules that were there, maps included.

    @param outside: the router's own address on the side of the internet.
    @param second: another one of it, if it has a pool of them.
    """
    learns = router.nat.one_port or router.hairpin
    lines = [f"table ip {_TABLE}", f"delete table ip {_TABLE}", f"table ip {_TABLE} {{"]
    if learns:
        lines += _memory()
    if router.nat.translates:
        lines += _chain("arriving", "nat hook prerouting priority dstnat;", _arriving(router, outside))
        lines += _chain("leaving", "nat hook postrouting priority srcnat;", _leaving(router, outside, second))
    lines += _chain("through", "filter hook forward priority filter; policy drop;", _through(router))
    lines += _chain("own", "filter hook input priority filter;", _own(router, outside))
    return "\n".join([*lines, "}", ""])


def cut_ruleset(port: str) -> str:
    """What C{nft -f} is given so that nothing passes a device any more, in neither direction."""
    hooks = "".join(
        f'chain {hook} {{ type filter hook {hook} device "{port}" priority 0; policy drop; }}\n'
        for hook in ("ingress", "egress")
    )
    return f"table netdev cut_{port} {{\n{hooks}}}\n"


def mend_ruleset(port: str) -> str:
    """What undoes that."""
    return f"delete table netdev cut_{port}\n"


def _chain(name: str, kind: str, rules: Iterable[str]) -> list[str]:
    return [f"chain {name} {{ type {kind}", *rules, "}"]


def _memory() -> Iterator[str]:
    """
    C{outside_of}: the endpoint outside of one inside; C{inside_of}: the other way round; C{taken}: ports
    outside that have an endpoint inside; C{met}: which addresses each port outside has sent something to.
    """
    for protocol in PROTOCOLS:
        yield f"map {protocol}_outside_of {{ type {_ENDPOINT} : {_ENDPOINT}; {_MEMORY} }}"
        yield f"map {protocol}_inside_of {{ type inet_service : {_ENDPOINT}; {_MEMORY} }}"
        yield f"set {protocol}_taken {{ type inet_service; {_MEMORY} }}"
        yield f"set {protocol}_met {{ type {_ENDPOINT}; {_MEMORY} }}"
    # after the translation: the source is the endpoint outside, what it was is in the original tuple
    yield "chain learn { type filter hook postrouting priority srcnat + 50;"
    inside = "ct original ip saddr . ct original proto-src"
    for protocol in PROTOCOLS:
        out = f'oifname "wan0" meta l4proto {protocol}'
        outside = f"ip saddr . {protocol} sport"
        yield f"{out} ct direction original update @{protocol}_outside_of {{ {inside} : {outside} }}"
        yield f"{out} ct direction original update @{protocol}_inside_of {{ {protocol} sport : {inside} }}"
        yield f"{out} ct direction original update @{protocol}_taken {{ {protocol} sport }}"
        # only packets of hosts count as sent, not the router's own answers to strangers
        yield f'iifname "lan0" {out} update @{protocol}_met {{ ip daddr . {protocol} sport }}'
    yield "}"


def _arriving(router: Router, outside: str) -> Iterator[str]:
    for protocol in PROTOCOLS:
        inwards = f"dnat ip to {protocol} dport map @{protocol}_inside_of"
        known = f"ip saddr . {protocol} dport @{protocol}_met " if router.nat is Nat.RESTRICTED else ""
        if router.nat.one_port:
            yield f'iifname "wan0" ip daddr {outside} {known}{inwards}'
        if router.hairpin:
            yield f'iifname "lan0" ip daddr {outside} {inwards}'


def _leaving(router: Router, outside: str, second: str) -> Iterator[str]:
    ports = f"{FIRST_PORT}-{FIRST_PORT + router.ports - 1}" if router.ports else ""
    if router.pool:
        yield f'oifname "wan0" ip daddr != {DIALABLE} snat to {second}'
    if router.nat.one_port:
        # hairpinned packets too: their source is the same as for hosts outside
        devices = '{ "wan0", "lan0" }' if router.hairpin else '"wan0"'
        for protocol in PROTOCOLS:
            same = f"snat ip to ip saddr . {protocol} sport map @{protocol}_outside_of"
            yield f'iifname "lan0" oifname {devices} {same}'
            another = f"masquerade to :{ports or _EPHEMERAL} fully-random"
            yield f'oifname "wan0" {protocol} sport @{protocol}_taken {another}'
    for protocol in PROTOCOLS if ports else ():
        yield f'oifname "wan0" meta l4proto {protocol} masquerade to :{ports}'
    yield 'oifname "wan0" masquerade' + (" fully-random" if router.nat.random_port else "")
    if router.hairpin:
        yield f'iifname "lan0" oifname "lan0" snat to {outside}'


def _through(router: Router) -> Iterator[str]:
    if router.nat is Nat.BLOCKED:
        yield "meta l4proto udp drop"
    yield "ct state established,related accept"
    yield "ct status dnat accept"
    to = f" ip daddr {DIALABLE}" if router.nat is Nat.BLOCKED else ""
    if router.lets_out:
        to += f" tcp dport {{ {', '.join(map(str, router.lets_out))} }}"
    if router.ports:
        # the kernel gives a port to several connections, to other hosts each
        yield f'iifname "lan0" oifname "wan0" ct state new ct count over {router.ports} drop'
    yield f'iifname "lan0" oifname "wan0"{to} ct state new accept'
    if router.stray is Stray.REJECT:
        yield from _reject('iifname "wan0" ')


def _own(router: Router, outside: str) -> Iterator[str]:
    # hosts that have their ports mapped use its address inside
    yield f'iifname "lan0" ip daddr != {outside} accept'
    yield "ct state established,related accept"
    if router.stray is Stray.REJECT:
        yield from _reject("")
    elif router.stray is Stray.DROP:
        yield 'iifname != "lo" drop'


def _reject(which: str) -> Iterator[str]:
    yield f"{which}meta l4proto tcp reject with tcp reset"
    yield f"{which}reject"
