"""The laboratory shows with plain sockets that its routers are what they are said to be."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from .layout import RENDEZVOUS
from .peers import PORT, Address, Peers, PeersTestCase, outcome
from .router import Nat, Router, Stray
from .rules import FIRST_PORT

CONES = (Nat.FULL_CONE, Nat.RESTRICTED, Nat.PORT_RESTRICTED)


class MappingTests(PeersTestCase):
    """Which address and port others see."""

    def seen(self, peers: Peers, host: str) -> list[Address]:
        """Where one port of a host is for the two addresses of the rendezvous, over TCP."""
        seen = []
        for listener in peers.rendezvous():
            peers.dial(host, listener.getsockname())
            seen.append(peers.accept(listener)[1])
        return seen

    def seen_udp(self, peers: Peers, host: str) -> list[Address]:
        """The same over UDP."""
        own, seen = peers.udp(host), []
        for witness in peers.rendezvous(socket.SOCK_DGRAM):
            own.sendto(b"where?", witness.getsockname())
            seen.append(witness.recvfrom(99)[1])
        return seen

    def test_public_host_and_one_behind_a_firewall_keep_their_addresses(self) -> None:
        """A public host and one behind a firewall have the addresses that others see."""
        peers = self.build({"open": None, "walled": Router(Nat.FIREWALL)})
        for host in ("open", "walled"):
            own = (peers.lab.address(host), PORT)
            self.assertEqual(self.seen(peers, host), [own, own])
            self.assertEqual(self.seen_udp(peers, host), [own, own])
            self.assertEqual(peers.lab.public(host), own[0])

    def test_cone_keeps_one_port_for_all_hosts(self) -> None:
        """One port inside is one port outside, and here the same."""
        for nat in CONES:
            peers = self.build({"host": Router(nat)})
            outside = (peers.lab.public("host"), PORT)
            self.assertNotEqual(outside[0], peers.lab.address("host"))
            self.assertEqual(self.seen(peers, "host"), [outside, outside])
            self.assertEqual(self.seen_udp(peers, "host"), [outside, outside])

    def test_symmetric_nat_gives_each_connection_a_port(self) -> None:
        """Each connection is seen at another port."""
        peers = self.build({"host": Router(Nat.SYMMETRIC)})
        for seen in (self.seen(peers, "host"), self.seen_udp(peers, "host")):
            self.assertEqual([each[0] for each in seen], [peers.lab.public("host")] * 2)
            self.assertEqual(len({PORT, *(each[1] for each in seen)}), 3)

    def test_blocked_host_dials_the_rendezvous_and_nothing_else(self) -> None:
        """The rendezvous can be dialled, and nothing else; and there is no UDP."""
        peers = self.build({"host": Router(Nat.BLOCKED, stray=Stray.REJECT), "open": None})
        self.assertEqual(len({PORT, *(each[1] for each in self.seen(peers, "host"))}), 3)
        listener = peers.listener("open")
        listener.setblocking(False)
        peers.dialling("host", (peers.lab.address("open"), PORT))
        peers.udp("host").sendto(b"no", (peers.lab.rendezvous[0], PORT))
        witness, _ = peers.rendezvous(socket.SOCK_DGRAM)
        witness.setblocking(False)
        # what the rendezvous sees afterwards is all that there was
        peers.udp("open").sendto(b"yes", witness.getsockname())
        self.assertEqual(witness.recv(99), b"yes")
        with self.assertRaises(BlockingIOError):
            listener.accept()

    def test_cone_gives_two_hosts_with_one_port_a_port_each(self) -> None:
        """A cone gives each a port of its own, and the same for everybody."""
        for nat in (Nat.FULL_CONE, Nat.RESTRICTED):
            home = Router(nat)
            peers = self.build({"one": home, "two": home})
            near, far = peers.rendezvous()
            # the second one begins where the port of the first one would be free
            seen: dict[str, list[Address]] = {"one": [], "two": []}
            for host, listener in (("one", near), ("two", far), ("one", far), ("two", near)):
                peers.dial(host, listener.getsockname())
                seen[host].append(peers.accept(listener)[1])
            self.assertEqual([len(set(each)) for each in seen.values()], [1, 1], nat)
            self.assertNotEqual(seen["one"], seen["two"], nat)

    def test_outer_router_decides_what_is_seen(self) -> None:
        """The outer one decides what is seen; and homes may have the same addresses inside."""
        carrier = Router(Nat.SYMMETRIC)
        peers = self.build(
            {
                "one": Router(Nat.PORT_RESTRICTED, lan="192.168.77", behind=carrier),
                "two": Router(Nat.FULL_CONE, lan="192.168.77", behind=carrier),
                "three": Router(Nat.SYMMETRIC, behind=Router(Nat.FULL_CONE)),
                "four": Router(Nat.FIREWALL, behind=Router(Nat.PORT_RESTRICTED)),
            }
        )
        lab = peers.lab
        self.assertEqual(lab.address("one"), lab.address("two"))
        self.assertEqual({lab.public("one"), lab.public("two")}, {lab.public(carrier)})
        for host, ports in (("one", 2), ("two", 2), ("three", 2), ("four", 1)):
            seen = self.seen(peers, host)
            self.assertEqual([each[0] for each in seen], [lab.public(host)] * 2)
            self.assertEqual(len({each[1] for each in seen}), ports, host)


class FilteringTests(PeersTestCase):
    """Who gets in, once a host has sent something to one port of the rendezvous."""

    let_in: Mapping[Nat, tuple[str, ...]] = {
        Nat.FIREWALL: ("the same",),
        Nat.FULL_CONE: ("another address", "another port", "the same"),
        Nat.RESTRICTED: ("another port", "the same"),
        Nat.PORT_RESTRICTED: ("the same",),
        Nat.SYMMETRIC: ("the same",),
    }

    def test_udp_is_let_in_as_the_kind_of_nat_says(self) -> None:
        for nat, expected in self.let_in.items():
            peers = self.build({"host": Router(nat)})
            near, far = peers.rendezvous(socket.SOCK_DGRAM)
            host = peers.udp("host")
            host.sendto(b"open", near.getsockname())
            _, outside = near.recvfrom(99)
            far.sendto(b"another address", outside)
            peers.udp(RENDEZVOUS, near.getsockname()[0], PORT + 1).sendto(b"another port", outside)
            near.sendto(b"the same", outside)
            heard = [host.recv(99)]
            while heard[-1] != b"the same":
                heard.append(host.recv(99))
            self.assertEqual(tuple(each.decode() for each in heard), expected, nat)

    def test_tcp_is_let_in_as_the_kind_of_nat_says(self) -> None:
        """A host that listens, and has dialled out from that port."""
        for nat, expected in self.let_in.items():
            peers = self.build({"host": Router(nat, stray=Stray.REJECT)})
            near, far = (each.getsockname()[0] for each in peers.rendezvous())
            listener = peers.listener("host")
            peers.dial("host", (near, PORT))
            # the two that the rendezvous has are not needed: where others see us is known, but for one kind
            outside = (peers.lab.public("host"), PORT)
            dials = {"another address": (far, PORT + 1), "another port": (near, PORT + 1)}
            for what, (address, port) in dials.items():
                if what in expected:
                    peers.dial(RENDEZVOUS, outside, address, port)
                    self.assertEqual(peers.accept(listener)[1], (address, port), nat)
                else:
                    self.refused(peers, RENDEZVOUS, outside, address=address, port=port)

    def test_no_host_gets_in_before_the_inner_one_has_sent(self) -> None:
        """Only a public host can be reached before it has sent anything."""
        for nat in Nat:
            peers = self.build({"host": Router(nat, stray=Stray.REJECT), "open": None})
            peers.listener("host")
            self.refused(peers, RENDEZVOUS, (peers.lab.public("host"), PORT))
            peers.listener("open")
            peers.dial(RENDEZVOUS, (peers.lab.public("open"), PORT))

    def test_router_with_few_ports_lets_so_many_connections_be_open_at_once(self) -> None:
        for nat in (Nat.RESTRICTED, Nat.SYMMETRIC):
            peers = self.build({"host": Router(nat, ports=3), "open": None})
            listener = peers.listener("open")
            to = (peers.lab.address("open"), PORT)
            for number in range(3):
                peers.dial("host", to, port=PORT + number)
                self.assertIn(peers.accept(listener)[1][1], range(FIRST_PORT, FIRST_PORT + 3))
            fourth = peers.dialling("host", to, port=PORT + 3)
            # what arrives next shows that the fourth was lost, and is not late
            peers.dial(RENDEZVOUS, to)
            self.assertEqual(peers.accept(listener)[1][0], peers.lab.rendezvous[0])
            self.assertFalse(outcome(fourth))


class StrayTests(PeersTestCase):
    """The answer to a host that is not let in."""

    def test_stranger_refused_once_is_refused_again(self) -> None:
        """A refusal by the router itself does not count as traffic of the host behind it."""
        for stray in (Stray.REJECT, Stray.ANSWER):
            peers = self.build({"host": Router(Nat.RESTRICTED, stray=stray), "stranger": None})
            near, _ = peers.rendezvous()
            peers.listener("host")
            peers.dial("host", near.getsockname())
            _, outside = peers.accept(near)
            for port in (PORT, PORT + 1, PORT + 2):
                self.refused(peers, "stranger", outside, port=port)

    def test_own_stack_answers_for_a_router_that_neither_drops_nor_rejects(self) -> None:
        """Its own stack answers for a router that neither drops nor rejects: it could even accept."""
        for stray in Stray:
            home = Router(Nat.PORT_RESTRICTED, stray=stray)
            peers = self.build({"host": home})
            to = (peers.lab.public(home), PORT)
            peers.listener(home, to[0], PORT + 1)
            if stray is Stray.DROP:
                dialling = [peers.dialling(RENDEZVOUS, (to[0], PORT + each), port=0) for each in (0, 1)]
                # a whole connection through the same router takes longer than an answer would
                near, _ = peers.rendezvous()
                peers.dial("host", near.getsockname())
                self.assertEqual([outcome(each) for each in dialling], [False, False])
                continue
            self.refused(peers, RENDEZVOUS, to, port=0)
            if stray is Stray.REJECT:
                self.refused(peers, RENDEZVOUS, (to[0], PORT + 1), port=0)
            else:
                peers.dial(RENDEZVOUS, (to[0], PORT + 1), port=0)

    def test_firewall_rejects_or_drops_what_is_for_its_hosts(self) -> None:
        """A firewall rejects or drops what is for its hosts."""
        for stray in Stray:
            peers = self.build({"host": Router(Nat.FIREWALL, stray=stray)})
            peers.listener("host")
            to = (peers.lab.public("host"), PORT)
            if stray is Stray.REJECT:
                self.refused(peers, RENDEZVOUS, to, port=0)
                continue
            dialling = peers.dialling(RENDEZVOUS, to, port=0)
            near, _ = peers.rendezvous()
            peers.dial("host", near.getsockname())
            self.assertFalse(outcome(dialling))


class HairpinTests(PeersTestCase):
    """Hosts behind one router, which know each other's address outside."""

    def reached(self, peers: Peers, nat: Nat) -> None:
        """Host one has the port outside that the rendezvous sees, and host two dials it."""
        near, far = peers.rendezvous()
        listener = peers.listener("one")
        peers.dial("one", near.getsockname())
        outside = peers.accept(near)[1]
        peers.dial("two", far.getsockname(), port=PORT + 1)
        other = peers.accept(far)[1]
        peers.dial("two", outside, port=PORT + 1)
        caller = peers.accept(listener)[1]
        self.assertEqual(caller[0], outside[0])
        if not nat.random_port:
            self.assertEqual(caller, other)

    def test_hairpin_joins_hosts_of_one_lan(self) -> None:
        for nat in (*CONES, Nat.SYMMETRIC):
            home = Router(nat, hairpin=True)
            self.reached(self.build({"one": home, "two": home}), nat)

    def test_hairpin_of_a_carrier_joins_its_homes(self) -> None:
        carrier = Router(Nat.PORT_RESTRICTED, hairpin=True)
        homes = [Router(Nat.FULL_CONE, behind=carrier) for _ in range(2)]
        self.reached(self.build(dict(zip(("one", "two"), homes, strict=True))), Nat.FULL_CONE)

    def test_without_hairpin_the_router_answers_as_to_strays(self) -> None:
        """The router answers as it does to strays; on the LAN the hosts reach each other all the same."""
        for nat in (*CONES, Nat.SYMMETRIC):
            home = Router(nat, stray=Stray.REJECT)
            peers = self.build({"one": home, "two": home})
            near, _ = peers.rendezvous()
            peers.listener("one")
            peers.dial("one", near.getsockname())
            self.refused(peers, "two", peers.accept(near)[1])
            peers.dial("two", (peers.lab.address("one"), PORT))

    def test_without_hairpin_of_the_carrier_homes_do_not_meet(self) -> None:
        carrier = Router(Nat.FULL_CONE, stray=Stray.REJECT)
        homes = [Router(Nat.FULL_CONE, behind=carrier) for _ in range(2)]
        peers = self.build(dict(zip(("one", "two"), homes, strict=True)))
        near, _ = peers.rendezvous()
        peers.listener("one")
        peers.dial("one", near.getsockname())
        self.refused(peers, "two", peers.accept(near)[1])
