"""
A home: two hosts behind a router that maps ports when it is asked, in network namespaces::

    one  192.168.77.10 --+
                         +-- 192.168.77.1  router  5.5.5.11, 5.5.5.12 -- 5.5.5.1  outside
    two  192.168.77.11 --+

The router is Linux with nftables, and Debian's miniupnpd answers on it. That maps only for routers with a
public address, and it can be told which of them it has.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from twisted.internet import reactor as _reactor
from twisted.trial.unittest import SkipTest

from ..daemon.children import Child, ProcessTestCase

reactor: Any = _reactor

ROUTER: Final = "192.168.77.1"
PUBLIC: Final = "5.5.5.11"

_RULES = """
table ip nat {
 chain post { type nat hook postrouting priority srcnat; oifname "wan0" masquerade; }
 chain forward { type filter hook forward priority filter; policy drop;
  ct state established,related accept
  ct status dnat accept
  iifname "lan0" oifname "wan0" accept
 }
 chain input { type filter hook input priority filter;
  iifname "wan0" ct state new drop
 }
}
table inet filter {
 chain forward { type filter hook forward priority -5; jump miniupnpd; }
 chain miniupnpd { }
 chain prerouting { type nat hook prerouting priority -101; jump prerouting_miniupnpd; }
 chain postrouting { type nat hook postrouting priority 99; jump postrouting_miniupnpd; }
 chain prerouting_miniupnpd { }
 chain postrouting_miniupnpd { }
}
"""
_CONF = """
ext_ifname=wan0
listening_ip=lan0
enable_natpmp={natpmp}
enable_upnp={upnp}
secure_mode=yes
system_uptime={long_up}
uuid=67e6dd7d-5ecc-45ea-8cdb-29ff02e7ebb1
allow 1024-65535 0.0.0.0/0 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""


def run(*arguments: str, given: str = "") -> str:
    """Run a command and return what it prints."""
    done = subprocess.run(arguments, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


class Program(Child):
    """A child whose errors are in its output, in their place."""

    def errReceived(self, data: bytes) -> None:
        self.outReceived(data)


class HomeTestCase(ProcessTestCase):
    """Each test has a home of its own, and nothing of it stays."""

    def setUp(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("network namespaces take root")
        for program in ("ip", "nft", "miniupnpd"):
            if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
                raise SkipTest(f"{program} is not installed")
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)
        self.made = 0
        for host in ("outside", "router", "one", "two"):
            self.add_namespace(host)
        self.connect()

    def name_of(self, host: str) -> str:
        """The namespace of a host."""
        return f"rc{os.getpid()}-{host}"

    def on(self, host: str, *arguments: str, given: str = "") -> str:
        """Run a command on a host."""
        return run("ip", "netns", "exec", self.name_of(host), *arguments, given=given)

    def add_namespace(self, host: str) -> None:
        try:
            run("ip", "netns", "add", self.name_of(host))
        except AssertionError as problem:
            raise SkipTest(f"network namespaces cannot be made here: {problem}") from None
        self.addCleanup(run, "ip", "netns", "del", self.name_of(host))
        # until IPv6 has seen that nobody else has an address, for up to 2 s, the host does not answer at it
        self.on(host, "sysctl", "-eqw", "net.ipv6.conf.default.accept_dad=0")
        self.on(host, "ip", "link", "set", "lo", "up")

    def wire(self, host: str, device: str, other: str, port: str) -> None:
        ends = (("name", device, self.name_of(host)), ("name", port, self.name_of(other)))
        (_, one, here), (_, two, there) = ends
        run("ip", "link", "add", one, "netns", here, "type", "veth", "peer", "name", two, "netns", there)
        self.on(host, "ip", "link", "set", device, "up")
        self.on(other, "ip", "link", "set", port, "up")

    def connect(self) -> None:
        for setting in ("net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=0"):
            self.on("router", "sysctl", "-eqw", setting)
        self.wire("router", "wan0", "outside", "eth0")
        self.on("outside", "ip", "addr", "add", "5.5.5.1/24", "dev", "eth0")
        for number in (11, 12):
            self.on("router", "ip", "addr", "add", f"5.5.5.{number}/24", "dev", "wan0")
        self.on("router", "ip", "link", "add", "lan0", "type", "bridge", "forward_delay", "0")
        self.on("router", "ip", "addr", "add", f"{ROUTER}/24", "dev", "lan0")
        self.on("router", "ip", "link", "set", "lan0", "up")
        for number, host in enumerate(("one", "two"), start=10):
            self.wire(host, "eth0", "router", f"lan{number}")
            self.on("router", "ip", "link", "set", f"lan{number}", "master", "lan0")
            self.on(host, "ip", "addr", "add", f"192.168.77.{number}/24", "dev", "eth0")
            self.on(host, "ip", "route", "add", "default", "via", ROUTER)
        self.on("router", "nft", "-f", "-", given=_RULES)

    def spawn_on(self, host: str, *arguments: str) -> Child:
        """A program on a host, which is killed with the test."""
        place = ("netns", "exec", self.name_of(host))
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
        return self.start_child(Program(), "ip", *place, *arguments, env=env)

    async def start_router(
        self, *, natpmp: bool = True, upnp: bool = True, public: str = PUBLIC, long_up: bool = True
    ) -> Child:
        """
        Have the router map ports.

        @param public: what it takes for its external address; empty lets it see for itself.
        @param long_up: whether it claims to have been up for as long as this machine.
        """
        words = {True: "yes", False: "no"}
        self.made += 1
        conf = self.folder / f"{self.made}.conf"
        conf.write_text(_CONF.format(natpmp=words[natpmp], upnp=words[upnp], long_up=words[long_up]))
        address = ("-o", public) if public else ()
        pid = str(conf.with_suffix(".pid"))
        child = self.spawn_on("router", "miniupnpd", "-d", "-f", str(conf), "-P", pid, *address)
        await child.wait_for("Listening for NAT-PMP" if natpmp else "HTTP listening on port")
        return child

    async def restart_router(self, router: Child, **options: Any) -> Child:
        """The router is switched off and on: another one comes that knows nothing of the mappings."""
        transport: Any = router.transport
        transport.signalProcess("TERM")
        await router.ended
        for chain in ("miniupnpd", "prerouting_miniupnpd", "postrouting_miniupnpd"):
            self.on("router", "nft", "flush", "chain", "inet", "filter", chain)
        return await self.start_router(**options)

    def mappings(self) -> list[str]:
        """What the router's kernel hands on at the moment, each as C{external port -> host:port}."""
        chain = self.on("router", "nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd")
        lines = [line.split() for line in chain.splitlines() if " dnat " in line]
        return sorted(f"{words[words.index('dport') + 1]} -> {words[-1]}" for words in lines)
