"""
A laboratory of real NATs: hosts, routers and an internet of their own, in network namespaces of this machine.

What each host is behind is given as L{Router}s::

    home = Router(Nat.PORT_RESTRICTED, behind=Router(Nat.SYMMETRIC))
    with Lab({"alice": home, "bob": home, "carol": None}, delay=0.010) as lab:
        lab.socket("alice").connect((lab.rendezvous[0], 5483))
        lab.forget_connections(home)

Several may run at the same time, also in one process. Everything is gone when the C{with} block is left; a
laboratory whose process was killed is removed by the next one that is built.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import lru_cache
from itertools import count
from math import inf
from types import TracebackType
from typing import IO, Any, Final

from . import natpmp, wire
from .layout import INTERNET, RENDEZVOUS_ADDRESSES, Layout, Node, Wire
from .namespaces import PATH, PREFIX, LabError, Namespace, batch, kill_all_in, remove_orphans
from .router import Nat, Router
from .rules import SILENT_RULES, UPNP_RULES, cut_ruleset, mend_ruleset, ruleset
from .upnp import PortMappingDaemon

_numbers = count(1)
SECOND_UPLINK_HOST: Final = 200
SECOND_UPLINK_METRIC: Final = 500
_SETTINGS: Final = {
    "ipv4/ip_forward": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
    "ipv4/icmp_ratelimit": "0",
    # with br_netfilter on this machine, routers would filter the frames within their LANs
    "bridge/bridge-nf-call-iptables": "0",
    # IPv4 only: nodes must not get around a NAT, nor wait for addresses to settle
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
}


@lru_cache
def why_not(*, delay: bool = False, upnp: bool = False) -> str:
    """
    Why no laboratory can be built here; empty if one can.

    @param delay: whether it is to have delay or loss.
    @param upnp: whether it is to have routers that map ports.
    """
    if os.geteuid() != 0:
        return "network namespaces take root"
    for program in ("ip", "nft", *(["miniupnpd"] if upnp else [])):
        if shutil.which(program, path=PATH) is None:
            return f"{program} is not installed"
    try:
        with Lab({"one": Router(Nat.FULL_CONE)}, delay=0.001 if delay else 0.0) as lab:
            lab.forget_connections("one")
    except (LabError, OSError) as problem:
        return f"network namespaces with NATs cannot be made here: {problem}"
    return ""


class Lab:
    """
    A laboratory. A place in it is a host's name, a L{Router}, L{RENDEZVOUS} or L{INTERNET}.

    @ivar rendezvous: the addresses of the host L{RENDEZVOUS}, which is on the internet; they are on two
        networks, so that two nodes can run there.
    """

    rendezvous = RENDEZVOUS_ADDRESSES

    def __init__(self, hosts: Mapping[str, Router | None], *, delay: float = 0.0, loss: float = 0.0) -> None:
        """
        @param hosts: the names of the hosts, and what each is behind; C{None} is nothing.
        @param delay: of each access to the internet but the rendezvous's, one way, in seconds: a round trip
            of two hosts takes four times that.
        @param loss: which share of packets is lost there, 0 to 1.
        """
        self._layout = Layout(hosts)
        self._delay = delay
        self._loss = loss
        self._prefix = f"{PREFIX}-{os.getpid()}-{next(_numbers)}-"
        self._spaces = {name: Namespace(self._prefix + name) for name in self._layout.nodes}
        self._programs: list[subprocess.Popen[Any]] = []
        self._nats = {router: router.nat for router in self._layout.names}
        self._ending = ExitStack()
        self._wires: IO[bytes] | None = None

    def __enter__(self) -> Lab:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """
        Build it.

        @raise LabError: this is not possible; nothing is left of it.
        """
        remove_orphans()
        try:
            self._build()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill what runs in it, and remove all of it, also after a failed start."""
        spaces = [each for each in self._spaces.values() if each.path.exists()]
        try:
            kill_all_in(spaces)
        finally:
            for program in self._programs:
                program.wait()
            self._ending.close()
            batch((f"netns del {each.name}" for each in spaces), "-force")

    # ---- Addresses.

    def namespace(self, place: str | Router) -> Namespace:
        """The namespace of a place."""
        return self._spaces[self._name(place)]

    def address(self, place: str | Router) -> str:
        """The own address of a place, that of a router on the side of the internet."""
        return self._node(place).address

    def public(self, place: str | Router) -> str:
        """The address by which the internet knows it."""
        return self._layout.public(self._name(place))

    # ---- Programs and sockets.

    def popen(self, place: str | Router, *arguments: str, **options: Any) -> subprocess.Popen[Any]:
        """Start a program at a place, with the options of L{subprocess.Popen}. The laboratory ends it."""
        program = self.namespace(place).popen(arguments, **options)
        self._programs.append(program)
        return program

    def run(self, place: str | Router, *arguments: str) -> str:
        """
        Run a program at a place, and wait for it.

        @return: what it prints.
        @raise LabError: it fails.
        """
        return self.namespace(place).command(*arguments)

    def socket(self, place: str | Router, kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A socket at a place, for use in this process; the caller closes it."""
        return self.namespace(place).inside(lambda: socket.socket(socket.AF_INET, kind))

    # ---- Changes.

    def forget_connections(self, place: str | Router) -> None:
        """Clear a router's table of connections, as a restart does."""
        if isinstance(place, Router):
            self._set_rules(place)
        self.namespace(place).forget_connections()

    def forget_all_connections(self) -> None:
        """Clear the table of each router."""
        for router in self._layout.names:
            self.forget_connections(router)

    def change_nat(self, router: Router, nat: Nat, *, forget: bool = True) -> None:
        """
        Change the kind of a router.

        @param forget: whether it then forgets its connections; otherwise those that are open live on, and the
            ports of those that have ended are gone.
        @raise ValueError: the one translates and the other does not, so that all addresses would change.
        """
        if not (self._nats[router].translates and nat.translates):
            raise ValueError("the hosts behind a firewall have other addresses")
        self._nats[router] = nat
        if forget:
            self.forget_connections(router)
        else:
            self._set_rules(router)

    def change_address(self, place: str | Router) -> str:
        """
        Change the address of a host or a router; a router then forgets its connections.

        @return: the new one.
        @raise ValueError: a firewall's hosts have addresses of their own.
        """
        node = self._node(place)
        if node.router is not None and not node.router.nat.translates:
            raise ValueError("the address of a firewall appears in no connection")
        old, new = node.address, self._layout.another_address(node.name)
        own, device = self.namespace(place), node.outwards
        # in this order: with the first address of a network, the kernel removes the others of it
        own.batch([f"addr del {old}/24 dev {device}", f"addr add {new}/24 dev {device}"])
        node.addresses[node.addresses.index((device, f"{old}/24"))] = (device, f"{new}/24")
        node.address = new
        self._restore_routes(node.name)
        if node.router is not None:
            self.forget_connections(node.router)
        return new

    def add_address(self, host: str) -> str:
        """
        A host gets an address beside its own, on the same network.

        @return: the new one.
        """
        node, new = self._node(host), self._layout.another_address(self._name(host))
        self.namespace(host).batch([f"addr add {new}/24 dev {node.outwards}"])
        return new

    def link(self, place: str | Router, *, up: bool) -> None:
        """Switch the device towards the internet on or off; the kernel notifies programs there."""
        node = self._node(place)
        self.namespace(place).batch([f"link set {node.outwards} {'up' if up else 'down'}"])
        if up:
            self._restore_routes(node.name)

    def leave(self, host: str) -> None:
        """A host leaves its network, so that its system takes device and address away."""
        node = self._node(host)
        self.link(host, up=False)
        self.namespace(host).batch([f"addr flush dev {node.outwards}"])

    def come_back(self, host: str) -> None:
        """A host that has left is in its network again, with the same address."""
        node = self._node(host)
        self.namespace(host).batch([f"addr add {node.address}/24 dev {node.outwards}"])
        self.link(host, up=True)

    def add_uplink(self, host: str, router: Router) -> str:
        """
        A host gets a second way to the internet, through a router that has other hosts behind it. Its system
        goes on with the first.

        @return: its address there.
        """
        space, lan = self.namespace(host), self.namespace(router)
        device, port, home = "eth1", f"u-{host}", self._layout.lan_of(router)
        batch([f"link add {device} netns {space.name} type veth peer name {port} netns {lan.name}"])
        lan.batch([f"link set {port} master lan0", f"link set {port} up"])
        address = f"{home}.{SECOND_UPLINK_HOST}"
        space.batch(
            [
                f"link set {device} up",
                f"addr add {address}/24 dev {device}",
                f"route add default via {home}.1 dev {device} metric {SECOND_UPLINK_METRIC}",
            ]
        )
        return address

    def lose_large(self, place: str | Router, mtu: int) -> None:
        """
        Silently lose packets larger than this beyond the device of a place, in both directions: the network
        there has a smaller MTU, and no router says so.
        """
        for space, device in ((self.namespace(place), self._node(place).outwards), self.far_end(place)):
            space.command("nft", "-f", "-", given=SILENT_RULES)
            space.batch([f"link set {device} mtu {mtu}"])

    def cut(self, place: str | Router) -> None:
        """
        Silently drop all packets from and to a place, beyond its own device.
        """
        self._at_far_end(place, cut_ruleset)

    def mend(self, place: str | Router) -> None:
        """Undo L{cut}."""
        self._at_far_end(place, mend_ruleset)

    def trouble(self, *, loss: float, rate: float = inf) -> None:
        """
        Have the accesses to the internet that have a delay lose this share of packets from now on.

        @param rate: how many bytes a second each of them carries each way. Where more want to go, packets
            wait for up to two seconds before they are lost.
        """
        assert self._wires is not None, "there is no access with a delay"
        self._wires.write(f"{self._delay} {loss} {rate}\n".encode())
        self._wires.flush()

    def calm(self) -> None:
        """Undo L{trouble}."""
        self.trouble(loss=self._loss)

    def far_end(self, place: str | Router) -> tuple[Namespace, str]:
        """The namespace and the device at the other end of a place's wire towards the internet."""
        end = self._layout.wires[self._name(place)]
        return self._spaces[end.upstream], end.port

    def _at_far_end(self, place: str | Router, rules: Callable[[str], str]) -> None:
        space, port = self.far_end(place)
        space.command("nft", "-f", "-", given=rules(port))

    # ---- How it is built.

    def _name(self, place: str | Router) -> str:
        return self._layout.names[place] if isinstance(place, Router) else place

    def _node(self, place: str | Router) -> Node:
        return self._layout.nodes[self._name(place)]

    def _build(self) -> None:
        wires = self._layout.wires.values()
        slow = [each for each in wires if each.access and (self._delay or self._loss)]
        batch(
            [f"netns add {each.name}" for each in self._spaces.values()]
            + [self._veth(each) for each in wires if each not in slow]
        )
        for space in self._spaces.values():
            space.sysctl(_SETTINGS)
        if slow:
            self._start_wires(slow)
        for name in self._layout.nodes:
            self._spaces[name].batch(self._set_up(name))
        for name in self._layout.nodes:
            self._spaces[name].batch(f"route add {each}" for each in self._layout.nodes[name].routes)
        for router in self._layout.names:
            self._set_rules(router)
            if router.natpmp:
                self._start_natpmp(router)
            if router.upnp:
                daemon = self._ending.enter_context(PortMappingDaemon())
                self._programs.append(daemon.start(self.namespace(router)))

    def _start_natpmp(self, router: Router) -> None:
        space, outside = self.namespace(router), self.address(router)
        space.command("nft", "-f", "-", given=UPNP_RULES)
        inside = next(each for device, each in self._node(router).addresses if device == "lan0")
        program = (sys.executable, "-I", "-S", natpmp.__file__, inside.partition("/")[0], outside)
        running = space.popen(program, env={"PATH": PATH}, stdout=subprocess.PIPE)
        self._programs.append(running)
        # a node that is refused does not ask again for two minutes
        said = self._ending.enter_context(running.stdout)
        if not said.readline():
            raise LabError("the NAT-PMP daemon has ended")

    def _veth(self, each: Wire) -> str:
        one, other = self._spaces[each.node].name, self._spaces[each.upstream].name
        return f"link add {each.device} netns {one} type veth peer name {each.port} netns {other}"

    def _set_up(self, name: str) -> list[str]:
        node = self._layout.nodes[name]
        ports = [each for each in self._layout.wires.values() if each.upstream == name]
        lines = ["link set lo up"]
        if node.router is not None:
            lines += ["link add lan0 type bridge forward_delay 0 mcast_snooping 0", "link set lan0 up"]
        lines += [f"link set {each.port} master lan0" for each in ports if each.in_lan]
        lines += [f"link set {each.port} up" for each in ports]
        if name != INTERNET:
            lines.append(f"link set {node.outwards} up")
        return lines + [f"addr add {address} dev {device}" for device, address in node.addresses]

    def _start_wires(self, slow: list[Wire]) -> None:
        with ExitStack() as taps:
            ends = []
            for each in slow:
                for name, device in ((each.node, each.device), (each.upstream, each.port)):
                    ends.append(self._spaces[name].open_tap(device))
                    taps.callback(os.close, ends[-1])
            program = (sys.executable, "-I", "-S", wire.__file__)
            options = (str(self._delay), str(self._loss), *map(str, ends))
            running = self.popen(INTERNET, *program, *options, stdin=subprocess.PIPE, pass_fds=ends)
        # closing it ends the process, and the end of this process does
        assert running.stdin is not None
        self._wires = self._ending.enter_context(running.stdin)

    def _set_rules(self, router: Router) -> None:
        second = self._layout.another_address(self._name(router)) if router.pool else ""
        rules = ruleset(replace(router, nat=self._nats[router]), self.address(router), second)
        self.namespace(router).command("nft", "-f", "-", given=rules)

    def _restore_routes(self, name: str) -> None:
        """Routes end with their device or address; those that cannot be had now are had later."""
        with suppress(LabError):
            routes = self._layout.nodes[name].routes
            self._spaces[name].batch((f"route replace {each}" for each in routes), "-force")
