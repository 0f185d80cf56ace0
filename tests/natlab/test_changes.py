"""What is done to a laboratory while it runs, as plain sockets see it."""

from __future__ import annotations

import errno
import socket
import struct

from .ipv6 import RENDEZVOUS_ADDRESSES, only_ipv6
from .layout import RENDEZVOUS
from .namespaces import PATIENCE
from .peers import PORT, Address, Peers, PeersTestCase, outcome
from .router import Nat, Router, Stray


def exchange(one: socket.socket, other: socket.socket, text: bytes) -> bytes:
    """Send something over a connection, and return what comes out at the other end."""
    one.sendall(text)
    return other.recv(99)


class RouterTests(PeersTestCase):
    def connected(self, peers: Peers) -> tuple[socket.socket, socket.socket, Address]:
        """A connection from the host to the rendezvous: both ends, and where the rendezvous sees the host."""
        near, _ = peers.rendezvous()
        own = peers.dial("host", near.getsockname())
        return (own, *peers.accept(near))

    def test_random_port_nat_that_forgets_gives_another_port(self) -> None:
        """A router that gives ports at random gives another one, which the other end does not know."""
        home = Router(Nat.SYMMETRIC)
        peers = self.build({"host": home})
        own, other, _ = self.connected(peers)
        self.assertEqual(exchange(own, other, b"before"), b"before")
        peers.lab.forget_connections(home)
        own.sendall(b"after")
        with self.assertRaises(ConnectionResetError):
            own.recv(99)

    def test_port_keeping_nat_goes_on_once_the_host_sends(self) -> None:
        """One that keeps the port goes on once the host has sent something, and not before."""
        home = Router(Nat.PORT_RESTRICTED)
        peers = self.build({"host": home})
        own, other, _ = self.connected(peers)
        near, _ = peers.rendezvous(socket.SOCK_DGRAM)
        host = peers.udp("host")
        host.sendto(b"open", near.getsockname())
        _, outside = near.recvfrom(99)
        peers.lab.forget_connections(home)
        near.sendto(b"lost", outside)
        self.assertEqual(exchange(own, other, b"after"), b"after")
        host.sendto(b"open again", near.getsockname())
        self.assertEqual(near.recvfrom(99), (b"open again", outside))
        near.sendto(b"there", outside)
        self.assertEqual(host.recv(99), b"there")

    def test_cone_that_forgets_lets_no_host_in_until_a_dial_out(self) -> None:
        """A cone forgets its mappings too."""
        home = Router(Nat.FULL_CONE, stray=Stray.REJECT)
        peers = self.build({"host": home})
        listener = peers.listener("host")
        _, _, outside = self.connected(peers)
        peers.dial(RENDEZVOUS, outside, port=0)
        peers.accept(listener)
        peers.lab.forget_connections(home)
        self.refused(peers, RENDEZVOUS, outside, port=0)
        _, far = peers.rendezvous()
        peers.dial("host", far.getsockname())
        peers.dial(RENDEZVOUS, outside, port=0)

    def test_router_can_become_one_of_another_kind(self) -> None:
        home = Router(Nat.SYMMETRIC)
        peers = self.build({"host": home})
        near, _ = peers.rendezvous(socket.SOCK_DGRAM)
        host = peers.udp("host")
        ports = []
        for nat in (Nat.FULL_CONE, Nat.SYMMETRIC, Nat.PORT_RESTRICTED):
            peers.lab.change_nat(home, nat)
            host.sendto(b"where?", near.getsockname())
            ports.append(near.recvfrom(99)[1][1])
        self.assertEqual((ports[0], ports[2]), (PORT, PORT))
        self.assertNotEqual(ports[1], PORT)

    def test_firewall_can_change_neither_kind_nor_address(self) -> None:
        """With it the hosts' own addresses would change; and its own one means nothing to anybody."""
        home, wall = Router(Nat.SYMMETRIC), Router(Nat.FIREWALL)
        lab = self.build({"host": home, "walled": wall}).lab
        self.assertRaises(ValueError, lab.change_nat, home, Nat.FIREWALL)
        self.assertRaises(ValueError, lab.change_nat, wall, Nat.FULL_CONE)
        self.assertRaises(ValueError, lab.change_address, wall)

    def test_changed_address_is_seen_from_the_internet(self) -> None:
        """Of a router that is known on the internet, of one that is behind another, and of a public host."""
        carrier = Router(Nat.FULL_CONE, stray=Stray.REJECT)
        home = Router(Nat.RESTRICTED, behind=carrier)
        peers = self.build({"host": home, "open": None})
        lab = peers.lab
        near, _ = peers.rendezvous(socket.SOCK_DGRAM)
        host, public = peers.udp("host"), peers.udp("open")
        for place in (carrier, home, "open", "open"):
            was, outside = lab.address(place), lab.public("host")
            self.assertNotEqual(lab.change_address(place), was)
            self.assertEqual(lab.public("host") == outside, place is not carrier)
            for own, name in ((host, "host"), (public, "open")):
                own.sendto(b"where?", near.getsockname())
                self.assertEqual(near.recvfrom(99)[1][0], lab.public(name))

    def test_router_maps_a_port_when_asked_over_nat_pmp(self) -> None:
        """Routers of every kind map a port by NAT-PMP (RFC 6886)."""
        home = Router(Nat.SYMMETRIC, upnp=True)
        peers = self.build({"host": home})
        listener = peers.listener("host")
        gateway = f"{peers.lab.address('host').rpartition('.')[0]}.1"
        asking = peers.udp("host", port=0)
        asking.sendto(struct.pack(">BBHHHI", 0, 2, 0, PORT, 7777, 3600), (gateway, 5351))
        _, operation, result, _, inside, outside, _ = struct.unpack(">BBHIHHI", asking.recv(99))
        self.assertEqual((operation, result, inside, outside), (130, 0, PORT, 7777))
        peers.dial(RENDEZVOUS, (peers.lab.public("host"), 7777), port=0)
        peers.accept(listener)


class HostTests(PeersTestCase):
    def meanwhile(self, peers: Peers) -> None:
        """What another host sends arrives next: what was sent before has been lost, and is not late."""
        near, _ = peers.rendezvous(socket.SOCK_DGRAM)
        peers.udp("open", port=0).sendto(b"meanwhile", near.getsockname())
        self.assertEqual(near.recv(99), b"meanwhile")

    def test_host_with_two_addresses_is_dialled_at_both(self) -> None:
        peers = self.build({"open": None})
        peers.listener("open")
        added = peers.lab.add_address("open")
        self.assertNotEqual(added, peers.lab.address("open"))
        for address in (added, peers.lab.address("open")):
            peers.dial(RENDEZVOUS, (address, PORT), port=0)

    def test_link_that_was_down_works_again_when_it_is_up(self) -> None:
        """Of a host and of its router. The kernel tells the host of its own; afterwards all is as before."""
        home = Router(Nat.PORT_RESTRICTED)
        peers = self.build({"host": home, "open": None})
        near, _ = peers.rendezvous(socket.SOCK_DGRAM)
        for host in ("host", "open"):
            own = peers.udp(host)
            peers.lab.link(host, up=False)
            with self.assertRaises(OSError) as problem:
                own.sendto(b"no", near.getsockname())
            self.assertEqual(problem.exception.errno, errno.ENETUNREACH)
            peers.lab.link(host, up=True)
            own.sendto(b"yes", near.getsockname())
            self.assertEqual(near.recv(99), b"yes")
        own = peers.udp("host")
        peers.lab.link(home, up=False)
        own.sendto(b"lost", near.getsockname())
        self.meanwhile(peers)
        peers.lab.link(home, up=True)
        own.sendto(b"yes", near.getsockname())
        self.assertEqual(near.recv(99), b"yes")

    def test_host_that_left_its_network_comes_back_with_its_address(self) -> None:
        peers = self.build({"open": None})
        near, _ = peers.rendezvous(socket.SOCK_DGRAM)
        peers.lab.leave("open")
        with self.assertRaises(OSError):
            peers.udp("open", peers.lab.address("open"))
        peers.lab.come_back("open")
        peers.udp("open", peers.lab.address("open")).sendto(b"yes", near.getsockname())
        self.assertEqual(near.recv(99), b"yes")

    def test_host_with_ipv6_alone_dials_and_is_not_dialled(self) -> None:
        peers = self.build({"six": None})
        only_ipv6(peers.lab, "six")
        near, stranger, *own = (
            peers.enter_context(
                peers.lab.namespace(place).inside(lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM))
            )
            for place in (RENDEZVOUS, RENDEZVOUS, "six", "six")
        )
        near.bind((RENDEZVOUS_ADDRESSES[0], PORT))
        near.listen()
        own[0].connect(near.getsockname()[:2])
        _, address = peers.accept(near)
        stranger.setblocking(False)
        stranger.connect_ex((address[0], PORT))
        # what arrives next shows that the stranger was not answered
        own[1].connect(near.getsockname()[:2])
        peers.accept(near)
        self.assertFalse(outcome(stranger))
        with self.assertRaises(OSError):
            peers.dialling("six", (peers.lab.rendezvous[0], PORT))

    def test_cut_loses_everything_without_an_error(self) -> None:
        """This holds with delay too."""
        for delay in (0.0, 0.001):
            home = Router(Nat.PORT_RESTRICTED)
            peers = self.build({"host": home, "walled": Router(Nat.FIREWALL), "open": None}, delay=delay)
            near, _ = peers.rendezvous(socket.SOCK_DGRAM)
            for host, place in (("host", "host"), ("host", home), ("walled", "walled")):
                own = peers.udp(host, port=0)
                # known neighbours first: the kernel keeps what is for others until it knows where they are
                own.sendto(b"before", near.getsockname())
                self.assertEqual(near.recv(99), b"before")
                peers.lab.cut(place)
                own.sendto(b"lost", near.getsockname())
                self.meanwhile(peers)
                peers.lab.mend(place)
                own.sendto(b"yes", near.getsockname())
                self.assertEqual(near.recv(99), b"yes")


class DelayTests(PeersTestCase):
    def test_farther_host_answers_after_the_nearer_one(self) -> None:
        """
        Who is asked first answers last, since twice as many accesses are on the way to it. The kernel answers
        by itself (ICMP), and each wire keeps the order, so this does not depend on how fast anything runs.
        """
        peers = self.build({"one": None, "two": None}, delay=0.02)
        asking = peers.enter_context(
            peers.lab.namespace("one").inside(
                lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            )
        )
        asking.settimeout(PATIENCE)
        far, near = peers.lab.address("two"), peers.lab.rendezvous[0]
        # known neighbours first: who has which address is asked with delay, too
        for _ in range(2):
            answers: list[str] = []
            for each in (far, near):
                asking.sendto(echo_request(), (each, 0))
            while len(answers) < 2:
                answers.append(asking.recvfrom(999)[1][0])
        self.assertEqual(answers, [near, far])


def echo_request() -> bytes:
    """An ICMP echo request (RFC 792) without data, id and number: its checksum is that of its first word."""
    return struct.pack(">BBHHH", 8, 0, 0xFFFF - 0x0800, 0, 0)
