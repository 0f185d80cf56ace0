"""Hosts whose usual way to the internet loses packets without a word: real daemons."""

from __future__ import annotations

from .node import PORT, LabTestCase
from .router import Nat, Router


class UplinkTests(LabTestCase):
    async def test_node_joins_by_the_second_uplink_while_the_first_is_dead(self) -> None:
        """And reaches a peer over it."""
        dead, alive = Router(Nat.PORT_RESTRICTED), Router(Nat.PORT_RESTRICTED)
        lab = self.build({"alice": dead, "neighbour": alive, "bob": None}, delay=0.010)
        lab.add_uplink("alice", alive)
        lab.cut(dead)
        first = await self.start_first(lab)
        options = [f"--contact={first.contact(lab.rendezvous[0])}", f"--listen=0.0.0.0:{PORT}"]
        bob = await self.start_node(lab, "bob", *options)
        alice = await self.start_node(lab, "alice", *options)
        await alice.linked_with(first)
        await alice.send(bob, "by the other way")
        self.assertEqual((await alice.status())["uplinks"], ["eth1"])


class LargePacketTests(LabTestCase):
    async def test_node_joins_where_large_packets_vanish(self) -> None:
        """And sends what takes many packets."""
        home = Router(Nat.PORT_RESTRICTED)
        lab = self.build({"alice": home}, delay=0.010)
        lab.lose_large(home, 1300)
        first = await self.start_first(lab)
        alice = await self.start_node(
            lab, "alice", f"--contact={first.contact(lab.rendezvous[0])}", f"--listen=0.0.0.0:{PORT}"
        )
        await alice.linked_with(first)
        for sender, to in ((alice, first), (first, alice)):
            await sender.send(to, "x" * 20_000)
        mtu = (await alice.status())["path_mtu"]
        self.assertEqual(mtu, [{"host": lab.rendezvous[0], "segment_bytes": 1200}])

    async def test_link_goes_on_when_its_path_begins_to_lose_large_packets(self) -> None:
        home = Router(Nat.PORT_RESTRICTED)
        lab = self.build({"alice": home}, delay=0.010)
        first = await self.start_first(lab)
        alice = await self.start_node(
            lab, "alice", f"--contact={first.contact(lab.rendezvous[0])}", f"--listen=0.0.0.0:{PORT}"
        )
        await alice.linked_with(first)
        await alice.send(first, "before")
        lab.lose_large(home, 1300)
        for sender, to in ((alice, first), (first, alice)):
            await sender.send(to, "x" * 20_000)
