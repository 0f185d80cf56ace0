"""What crust notes of its dials, and what it says is in the way of one."""

from __future__ import annotations

from math import inf

from routing_crust.crust.dial.address_backoff import FIRST_WAIT_SECONDS
from routing_crust.crust.interfaces import Rendezvous
from routing_crust.endpoints import Contact
from routing_crust.errors import ConnectFailed
from routing_crust.history import Outcome, Way
from routing_crust.timing.shares import OURSELVES

from .addresses import name
from .services import ServiceTests


class HistoryTests(ServiceTests):
    def only(self, seed: int) -> Outcome:
        """The one thing that was noted of a peer."""
        (outcome,) = self.one.history.of(name(seed)).outcomes
        return outcome

    async def test_failed_dial_is_kept_with_the_wait_that_follows(self) -> None:
        """A dial that failed, and for how long there will be no other on our own account."""
        self.one, _ = self.start(1)
        target = self.closed_port()
        self.assertEqual(self.one.obstacle(target, name(2)), ("", 0.0))
        with self.assertRaises(ConnectFailed):
            await self.one.connect((target,), name(2), b"", OURSELVES)
        outcome = self.only(2)
        self.assertEqual(
            (outcome.way, outcome.where, outcome.text), (Way.DIAL, str(target), "connection refused")
        )
        self.assertFalse(outcome.good)
        obstacle, seconds = self.one.obstacle(target, name(2))
        self.assertEqual(obstacle, "it failed recently")
        self.assertTrue(0 < seconds <= FIRST_WAIT_SECONDS)

    async def test_answered_dial_is_kept_under_the_name_that_answered(self) -> None:
        """The name is kept even if the dial did not ask for one."""
        self.one, _ = self.start(1)
        two, _ = self.start(2)
        await self.one.connect(two.endpoints, None, b"", OURSELVES)
        outcome = self.only(2)
        self.assertEqual((outcome.way, outcome.text, outcome.good), (Way.DIAL, "it answered", True))

    async def test_dial_that_nobody_waits_for_is_kept_as_called_off(self) -> None:
        self.one, _ = self.start(1)
        dial = self.one.connect((self.silent_port(),), name(2), b"", OURSELVES)
        dial.addErrback(lambda _: None)
        dial.cancel()
        self.assertEqual(self.only(2).text, "called off")

    async def test_rule_that_forbids_a_dial_is_named(self) -> None:
        """A rule forbids it: which one, and that it is no question of time."""
        self.one, _ = self.start(1, deny=("127.0.0.0/8",))
        target = self.closed_port()
        with self.assertRaises(ConnectFailed):
            await self.one.connect((target,), name(2), b"", OURSELVES)
        self.assertIn("setting deny", self.only(2).text)
        obstacle, seconds = self.one.obstacle(target, name(2))
        self.assertIn("limit 127.0.0.0/8, setting deny", obstacle)
        self.assertEqual(seconds, inf)

    async def test_dialled_contact_is_kept_as_bootstrap(self) -> None:
        """A contact, dialled for the sake of getting in."""
        target = self.closed_port()
        self.one, events = self.start(1, contacts=(Contact(target, name(2)),))
        self.one.bootstrap()
        await events.next("finished")
        self.assertIs(self.only(2).way, Way.BOOTSTRAP)

    async def test_answer_on_the_local_network_is_kept(self) -> None:
        """A node that answers on the local network is found there."""
        self.one, _ = self.start(1, contacts=(Contact(self.silent_port()),))
        self.one.bootstrap()
        found = Contact(self.closed_port(), name(2))
        self.one._bootstrapper._found(found)
        self.one.end_bootstrap(None)
        (told,) = self.one.history.of(name(2)).told
        self.assertEqual((told.endpoint, told.source), (found.endpoint, "its beacon on the local network"))

    async def test_tunnels_are_kept_with_their_relay_and_outcome(self) -> None:
        """One that was opened, one that was called off, and one to a peer that is not there."""
        self.one, _ = self.start(1)
        middle, met = self.start(2)
        far, _ = self.start(3)
        middle.carry_tunnels(lambda by, to: next((e[0] for e in met.of("accept") if e[0].peer == to), None))
        for crust in (self.one, far):
            (await crust.connect(middle.endpoints, name(2), b"", OURSELVES)).verified()
            (link,) = await met.next("accept")
            link.verified()
        relay = next(each for each in self.one._links if each.peer == name(2))
        far.expect(name(1), b"t" * 16, False)
        await self.one.tunnel(relay, name(3), b"t" * 16, True)
        with self.assertRaises(ConnectFailed):
            await self.one.tunnel(relay, name(4), b"t" * 16, True)
        cancelled = self.one.tunnel(relay, name(5), b"t" * 16, True)
        cancelled.addErrback(lambda _: None)
        cancelled.cancel()
        tried = [self.only(seed) for seed in (3, 4, 5)]
        self.assertEqual({(each.way, each.where) for each in tried}, {(Way.TUNNEL, f"through {name(2)}")})
        self.assertEqual([each.good for each in tried], [True, False, False])
        self.assertEqual((tried[0].text, tried[2].text), ("it was opened", "called off"))

    async def test_peer_that_dials_us_and_is_refused_is_kept(self) -> None:
        """A peer that dials us and may not have a link."""
        self.one, _ = self.start(1, deny=(str(name(2)),))
        two, others = self.start(2)
        await two.connect(self.one.endpoints, name(1), b"", OURSELVES)
        await others.next("lost")
        outcome = self.only(2)
        self.assertIs(outcome.way, Way.LINK)
        self.assertIn("it dialled us: the name is on the deny list", outcome.text)

    async def test_each_punched_endpoint_is_kept_with_its_outcome(self) -> None:
        """A limit and an opened path are kept as well."""
        self.one, _ = self.start(1)
        two, _ = self.start(2)
        with self.assertRaises(ConnectFailed):
            await self.one.connect(self.one.endpoints, name(3), b"t" * 16, OURSELVES, Rendezvous(True))
        (outcome,) = self.one.history.of(name(3)).outcomes
        self.assertEqual((outcome.way, outcome.where), (Way.PUNCH, str(self.one.endpoints[0])))
        self.assertEqual(outcome.text, "not dialled: it is our own address")
        other = two.connect(self.one.endpoints, name(1), b"u" * 16, OURSELVES, Rendezvous(False))
        await self.one.connect(two.endpoints, name(2), b"u" * 16, OURSELVES, Rendezvous(True))
        await other
        outcome = next(each for each in self.one.history.of(name(2)).outcomes if each.way is Way.PUNCH)
        self.assertEqual((outcome.text, outcome.good), ("a way was opened", True))
