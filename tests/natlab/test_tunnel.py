"""Two nodes behind NATs that cannot be punched: linked through a third, until one of the NATs is another."""

from __future__ import annotations

import signal
from typing import Any, Final

from .lab import Lab
from .layout import RENDEZVOUS
from .node import PORT, LabNode, LabTestCase
from .router import Nat, Router, Stray

STARTS: Final = 4


class TunnelTests(LabTestCase):
    async def two(self, one: Router, other: Router, delay: float = 0.010) -> Lab:
        lab = self.build({"alice": one, "bob": other}, delay=delay)
        self.first = await self.start_first(lab)
        contact = f"--contact={self.first.contact(lab.rendezvous[0])}"
        here = f"--listen=0.0.0.0:{PORT}"
        self.alice = await self.start_node(lab, "alice", contact, here)
        await self.alice.linked_with(self.first)
        self.bob = await self.start_node(lab, "bob", contact, here)
        return lab

    async def test_restarted_node_is_punched_each_time(self) -> None:
        """
        Two hosts behind cones, one of which restarts again and again: the dials that its peer makes for
        strangers are spent by then, and it is linked without a third node all the same.
        """
        home = Router(Nat.PORT_RESTRICTED)
        lab = self.build({"alice": home, "bob": Router(Nat.PORT_RESTRICTED)}, delay=0.010)
        self.first = await self.start_first(lab)
        contact = f"--contact={self.first.contact(lab.rendezvous[0])}"
        second = await self.start_node(lab, RENDEZVOUS, contact, f"--listen={lab.rendezvous[1]}:{PORT}")
        options = (contact, f"--contact={second.contact(lab.rendezvous[1])}", f"--listen=0.0.0.0:{PORT}")
        self.alice = await self.start_node(lab, "alice", *options)
        await self.alice.linked_with(second)
        outside = lab.public("alice").replace(".", r"\.")
        self.bob = None
        for _ in range(STARTS):
            self.bob = await self.start_node(lab, "bob", *options, of=self.bob)
            await self.bob.wait_for(rf" link (?:to|from) node {self.alice.name} at {outside}:")
            await self.bob.stop()

    async def link(self, node: LabNode, peer: LabNode) -> dict[str, Any]:
        """What the status says of the link with this peer, once there is one."""
        while True:
            links: list[dict[str, Any]] = (await node.status())["links"]
            for each in links:
                if each["peer"] == peer.name:
                    return each

    async def test_symmetric_nats_talk_through_the_node_that_both_can_dial(self) -> None:
        """Messages go through the only node that both can dial."""
        for stray in (Stray.DROP, Stray.REJECT):
            await self.two(Router(Nat.SYMMETRIC, stray=stray), Router(Nat.SYMMETRIC, stray=stray))
            await self.bob.linked_with(self.alice)
            await self.alice.linked_with(self.bob)
            for node, peer in ((self.alice, self.bob), (self.bob, self.alice)):
                link = await self.link(node, peer)
                self.assertEqual((link["rung"], link["via"]), ("tunnel", self.first.name))
            await self.alice.send(self.bob, "through the middle")
            for node in (self.alice, self.bob, self.first):
                self.assertEqual(await node.stop(), -signal.SIGTERM)

    async def test_hosts_behind_one_carriers_nat_dial_each_other_inside(self) -> None:
        """It lets none in by its own address, but their routers have mapped ports to addresses within."""
        carrier = Router(Nat.PORT_RESTRICTED)
        homes = [Router(Nat.PORT_RESTRICTED, natpmp=True, behind=carrier) for _ in range(2)]
        lab = await self.two(*homes)
        inside = lab.address(homes[0]).replace(".", r"\.")
        await self.bob.wait_for(rf" link (?:to|from) node {self.alice.name} at {inside}:")
        await self.bob.send(self.alice, "within")
        self.assertNotEqual((await self.link(self.bob, self.alice))["rung"], "tunnel")

    async def test_tunnel_is_replaced_when_a_nat_lets_others_in(self) -> None:
        """When one of the NATs becomes one that lets others in, the tunnel is replaced."""
        home = Router(Nat.SYMMETRIC)
        lab = await self.two(home, Router(Nat.SYMMETRIC))
        await self.bob.linked_with(self.alice)
        self.assertEqual((await self.link(self.bob, self.alice))["rung"], "tunnel")
        lab.change_nat(home, Nat.FULL_CONE)
        # its connections are gone with that; the host would find out by their silence, and so does at once
        lab.add_address("alice")
        outside = lab.public("alice").replace(".", r"\.")
        await self.bob.wait_for(rf" link (?:to|from) node {self.alice.name} at {outside}:")
        await self.alice.send(self.bob, "straight")
        self.assertIn((await self.link(self.bob, self.alice))["rung"], ("direct", "punched"))

    async def test_port_that_was_seen_on_a_closed_connection_is_looked_up_again(self) -> None:
        """
        The NAT becomes another while the only link lives, which does not come from the listening port: where
        that port was seen before is told to nobody for long, and the tunnel is replaced.
        """
        home = Router(Nat.SYMMETRIC)
        lab = await self.two(home, Router(Nat.SYMMETRIC))
        await self.bob.linked_with(self.alice)
        # the first tunnel may have gone by the link that bob joined by, and ended with that
        await self.bob.wait_for("linked with all neighbours")
        await self.alice.send(self.bob, "relayed")
        joined = len(self.alice.out)
        lab.change_nat(home, Nat.FULL_CONE, forget=False)
        lab.add_address("alice")
        outside = lab.public("alice").replace(".", r"\.")
        await self.bob.wait_for(rf" link (?:to|from) node {self.alice.name} at {outside}:")
        self.assertNotIn("lost the link", self.alice.out[joined:].split("links are looked at")[0])
