"""Nodes that attackers ask to dial a third party: a network must not be usable as a weapon."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.interfaces import ILink
from routing_crust.endpoints import Endpoint
from routing_crust.names import Name
from routing_crust.routing.connecting.candidates import MAX_ANSWERED_PER_PREFIX_PER_MINUTE
from routing_crust.testing.simulation import SimulatedNetwork
from routing_crust.wire.messages import Envelope, EnvelopeKind

NODES = int(os.environ.get("VICTIM_NODES", "20"))
"""The slow checks have a hundred, which are asked a thousand times."""
ATTACKERS = 10
"""Names that one attacker made up; each of them asks every node."""
LIARS = 25
ROUNDS = 8
"""Requests to each liar."""
A_MINUTE = 3
"""Dials of one node to one prefix in a minute: the setting C{stranger_dials_per_prefix}."""


class VictimTests(SynchronousTestCase):
    def test_requests_in_a_victims_name_cause_few_dials(self) -> None:
        """
        Attackers ask every node for a connection, and give a victim's address as their own: no node dials it
        more than three times in any minute, whether plainly, to punch, or to test an address.
        """
        network = SimulatedNetwork(1, internet=True, keep_trace=True)
        nodes = network.nodes(NODES)
        network.run_until(network.joined, 300, every=1.0)
        victim = Endpoint("9.9.9.9", 5483)
        attackers = network.nodes(ATTACKERS)
        network.run_until(network.joined, 300, every=1.0)
        network.run_for(60)
        for attacker in attackers:
            outside = attacker.crust._outside
            outside._settings = replace(outside._settings, external=(victim,))
            outside._look()
            self.assertEqual(attacker.crust.candidates[0], victim)
            # an attacker that answers is dialled at the address it gives: that is the other test
            assert attacker.core is not None
            attacker.core.dispatch.handle(EnvelopeKind.CONNECT_REQUEST, _ignore)
        began = network.clock.now
        asked = 0
        for attacker in attackers:
            for node in nodes:
                attacker.service.connect(node.name).addErrback(lambda _: None)
                asked += 1
                network.run_for(0.05)
        network.run_for(120)
        self.assertEqual(asked, NODES * ATTACKERS)
        self.assertGreater(network.clock.now - began, 120)

        dials: dict[str, list[float]] = defaultdict(list)
        for line in network.trace.lines:
            time, what, *fields = line.split()
            if what == "dial" and victim.host in fields[1:]:
                dials[fields[0]].append(float(time))
        self.assertGreater(len(dials), NODES // 2)  # else the attack did not take place
        for host, times in dials.items():
            for number, time in enumerate(times):
                # an address from a list is counted a moment before it is dialled
                within = [each for each in times[number:] if each < time + 59]
                self.assertLessEqual(len(within), A_MINUTE, host)
        network.stop()

    def test_answers_in_a_victims_name_cause_few_dials(self) -> None:
        """
        A node asks for connections two hundred times, and each answer gives eight addresses of one victim:
        no more of them are dialled, plainly and to punch, than C{MAX_ANSWERED_PER_PREFIX_PER_MINUTE} allows.
        """
        network = SimulatedNetwork(1, internet=True, keep_trace=True)
        honest = network.nodes(3)
        liars = network.nodes(LIARS)
        network.run_until(network.joined, 300, every=1.0)
        network.run_for(30)
        victims = tuple(Endpoint("9.9.9.9", 5483 + each) for each in range(8))
        for liar in liars:
            outside = liar.crust._outside
            outside._settings = replace(outside._settings, external=victims)
            outside._look()
            self.assertEqual(liar.crust.candidates, victims)
            assert liar.core is not None
            # a liar agrees, but dials nobody
            liar.core.attempts.punches.begin = _nothing  # type: ignore[method-assign]
        asker = network.node(contacts=tuple(each.contact for each in honest))
        for _ in range(ROUNDS):
            for liar in liars:
                asker.service.connect(liar.name).addErrback(lambda _: None)
                network.run_for(0.2)
            network.run_for(40)

        times = []
        for line in network.trace.lines:
            time, what, *fields = line.split()
            if what == "dial" and fields[0] == asker.host and "9.9.9.9" in fields[1:]:
                times.append(float(time))
        most = 2 * MAX_ANSWERED_PER_PREFIX_PER_MINUTE + A_MINUTE  # the liars' own requests count too
        self.assertGreater(len(times), most)  # it is dialled again when it may be
        for number, time in enumerate(times):
            within = [each for each in times[number:] if each < time + 50]  # punching begins later
            self.assertLessEqual(len(within), most)
        network.stop()


def _nothing(*what: object, **options: object) -> None:
    """Dial nobody."""


def _ignore(envelope: Envelope, source: Name, link: ILink | None) -> None:
    """Answer nobody, as an attacker does."""
