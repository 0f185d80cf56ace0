"""
Hosts of a laboratory that have IPv6 and nothing else, and an internet that has both::

    rendezvous  2a00:4:1::2 and 2a00:4:2::2     2a00:5:N::2  a public host

As with IPv4, these are addresses of real networks, and nothing gets out.
"""

from __future__ import annotations

from typing import Final

from .lab import Lab
from .layout import INTERNET, RENDEZVOUS

RENDEZVOUS_ADDRESSES: Final = ("2a00:4:1::2", "2a00:4:2::2")
_ON: Final = {
    "ipv6/conf/all/disable_ipv6": "0",
    "ipv6/conf/default/disable_ipv6": "0",
    "ipv6/conf/all/forwarding": "1",
}
_FIREWALL: Final = """
table ip6 firewall {
 chain own { type filter hook input priority filter; policy drop;
  iifname "lo" accept
  meta l4proto ipv6-icmp accept
  ct state established,related accept
 }
}
"""


def only_ipv6(lab: Lab, *hosts: str) -> None:
    """
    Take the IPv4 addresses from these public hosts and give them IPv6, which lets in only what belongs to
    something that went out; the rendezvous has both.
    """
    lab.namespace(INTERNET).sysctl(_ON)
    for address in RENDEZVOUS_ADDRESSES:
        _connect(lab, RENDEZVOUS, address.removesuffix("2"))
    for number, host in enumerate(hosts, start=1):
        lab.namespace(host).batch(["addr flush dev eth0"])
        _connect(lab, host, f"2a00:5:{number}::")
        lab.namespace(host).command("nft", "-f", "-", given=_FIREWALL)


def _connect(lab: Lab, host: str, network: str) -> None:
    space, (internet, port) = lab.namespace(host), lab.far_end(host)
    space.sysctl({name: value for name, value in _ON.items() if "forwarding" not in name})
    # without duplicate address detection, which takes seconds
    internet.batch([f"addr add {network}1/64 dev {port} nodad"])
    space.batch([f"addr add {network}2/64 dev eth0 nodad"])
    space.batch([f"route replace default via {network}1 dev eth0"])
