"""What nodes believe of the NATs that they are behind, when these are real ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SkipTest

from .lab import why_not
from .layout import RENDEZVOUS
from .matrix import Place
from .node import PORT, LabTestCase
from .router import Stray

SYMMETRIC: Final = (Place.SYMMETRIC, Place.BLOCKED)
OPEN: Final = (Place.PUBLIC, Place.FULL_CONE)
"""Where a stranger may dial. That others see one port is all that can be known before one has."""


class KindsTests(LabTestCase):
    async def test_node_learns_the_kind_of_its_nat_in_every_place(self) -> None:
        """
        The status of a node in each place: what two witnesses on different networks tell it, and then what it
        learns when somebody dials it whom it has never heard of.
        """
        places = list(Place)
        reason = why_not(delay=True)
        if reason:
            raise SkipTest(reason)
        at_once = os.cpu_count() or 1
        shares = [places[each::at_once] for each in range(min(at_once, len(places)))]
        await gatherResults([Deferred.fromCoroutine(self.check(each)) for each in shares])

    async def check(self, places: Sequence[Place]) -> None:
        """One after the other, so that none hears of another."""
        hosts = {each.name.lower().replace("_", ""): each for each in places}
        routers = {host: place.router(Stray.REJECT) for host, place in hosts.items()}
        lab = self.build({**routers, "stranger": None}, delay=0.005)
        first = await self.start_first(lab)
        contacts = [f"--contact={first.contact(lab.rendezvous[0])}"]
        second = f"--listen={lab.rendezvous[1]}:{PORT}"
        witness = await self.start_node(lab, RENDEZVOUS, *contacts, second)
        contacts.append(f"--contact={witness.contact(lab.rendezvous[1])}")
        for host, place in hosts.items():
            mapping = "symmetric" if place in SYMMETRIC else "cone"
            node = await self.start_node(lab, host, *contacts, f"--listen=0.0.0.0:{PORT}")
            await node.wait_for(rf"\(NAT: {mapping}\)$")
            self.assertEqual((await node.status())["nat"], mapping, place)
            stranger = await self.start_node(
                lab, "stranger", f"--contact={node.contact(lab.public(host))}", f"--listen=0.0.0.0:{PORT}"
            )
            if place in OPEN:
                await node.wait_for(r"others can dial us from outside \(NAT: open\)$")
            else:
                await stranger.wait_for(r"no contact let us in .*: connection refused\)")
            status = await node.status()
            self.assertEqual(status["nat"], "open" if place in OPEN else mapping, place)
            # if one witness is asked before the other has a link with the node, that one's dial tells it "no"
            self.assertIn(status["dialable"], ("yes",) if place in OPEN else ("unknown", "no"), place)
            # the next one has none but the witnesses
            await stranger.stop()
            await node.stop()
