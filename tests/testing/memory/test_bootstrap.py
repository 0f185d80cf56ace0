"""The network in memory: bootstrapping, stopping, and what is remembered."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from routing_crust.crust.dial import bootstrap
from routing_crust.crust.interfaces import ILink
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.errors import CloseReason, ConnectFailed, ServiceStopped
from routing_crust.identity import Identity
from routing_crust.testing.memory import machine
from routing_crust.testing.memory.crust import MemoryCrust

from .memory_case import ANYWHERE, KIND, MemoryTestCase


def contact(crust: MemoryCrust) -> Contact:
    return Contact(crust.endpoints[0], crust.identity.name)


class BootstrapTests(MemoryTestCase):
    """C{bootstrap_finished} comes once for each attempt, whatever happens."""

    def joiner(self, *contacts: Contact, **settings: Any) -> MemoryCrust:
        crust = self.crust(contacts=contacts, **settings)
        crust.bootstrap()
        return crust

    def finished(self, crust: MemoryCrust) -> list[tuple[int, str]]:
        return [(links, problem) for links, problem in self.recorders[crust].of("finished")]

    def test_saved_contacts_are_dialled_before_configured_ones(self) -> None:
        """Saved contacts come first, then configured ones, dial_stagger apart; each link is reported."""
        others = [self.crust() for _ in range(3)]
        one = self.crust(contacts=tuple(contact(each) for each in others))
        one.remember(contact(others[2]))
        one.remember(contact(one))
        self.network.settle(0)
        one.bootstrap()
        self.network.settle(1)
        links = [link for (link,) in self.recorders[one].of("connect")]
        self.assertEqual([link.peer for link in links], [others[at].identity.name for at in (2, 0, 1)])
        self.assertTrue(all(link.bootstrap for link in links))
        self.assertFalse(any(each.links[0].bootstrap for each in others))
        for at, time in enumerate(self.recorders[one].times[1:]):
            self.assertApproximates(time, 0.25 * at + 0.04, 0.001)
        self.assertEqual(self.finished(one), [])

    def test_winner_stays_and_other_links_are_closed(self) -> None:
        """The winner stays, the others are closed, nothing more is dialled; the attempt is over once."""
        others = [self.crust() for _ in range(3)]
        one = self.joiner(*(contact(each) for each in others))
        one.bootstrap()
        self.network.run_until(lambda: len(one.links) == 2)
        winner = one.links[1]
        one.end_bootstrap(winner)
        one.end_bootstrap(None)
        self.network.settle(100)
        self.assertEqual(self.finished(one), [(1, "")])
        self.assertEqual(one.links, (winner,))
        self.assertEqual(self.recorders[others[0]].losses, [(CloseReason.NO_LONGER_NEEDED, True)])
        self.assertEqual(self.network.dials, 2)
        one.end_bootstrap(None)
        self.network.settle(1)
        self.assertEqual(one.links, (winner,))

    def test_dial_of_an_ended_attempt_comes_to_nothing(self) -> None:
        """A dial that is under way when the attempt ends comes to nothing."""
        other = self.crust()
        one = self.joiner(contact(other))
        self.network.run_until(lambda: self.network.links)
        one.end_bootstrap(None)
        self.network.settle(1)
        self.assertEqual(self.finished(one), [(0, "")])
        self.assertEqual(self.recorders[one].of("connect"), [])

    def test_attempt_without_an_answering_contact_has_a_problem(self) -> None:
        """Without a contact, or with none that answers, it is over with a problem."""
        nobody = self.joiner()
        self.network.settle(0)
        self.assertEqual(
            self.finished(nobody), [(0, "there is no contact to dial (the setting contacts names some)")]
        )
        stranger = Contact(self.crust().endpoints[0], Identity.from_seed(bytes(32)).name)
        one = self.joiner(Contact(ANYWHERE[0]), stranger)
        self.network.settle(1)
        ((links, problem),) = self.finished(one)
        self.assertEqual(links, 0)
        self.assertIn("answered instead of", problem)

    def test_second_attempt_may_follow(self) -> None:
        """After an attempt there can be another one."""
        one = self.joiner(Contact(ANYWHERE[0]))
        self.network.settle(1)
        one.bootstrap()
        self.network.settle(1)
        self.assertEqual(len(self.finished(one)), 2)

    def test_attempt_ends_when_its_last_link_is_lost(self) -> None:
        """When all contacts were tried and the last link is gone, it is over, after that was reported."""
        other = self.crust()
        one = self.joiner(contact(other))
        self.network.run_until(lambda: one.links and other.links)
        self.network.settle(1)
        self.assertEqual(self.finished(one), [])
        other.links[0].close(CloseReason.BOOTSTRAPPING)
        self.network.settle(1)
        self.assertEqual([event[0] for event in self.recorders[one].events[-2:]], ["lost", "finished"])
        problem = f"no contact let us in ({contact(other).endpoint}: {CloseReason.BOOTSTRAPPING.text})"
        self.assertEqual(self.finished(one), [(0, problem)])

    def test_attempt_ends_after_bootstrap_timeout(self) -> None:
        """An attempt is over after bootstrap_timeout, with the links that it has by then."""
        other = self.crust()
        self.patch(bootstrap, "BOOTSTRAP_TIMEOUT_SECONDS", 30.0)
        one = self.joiner(contact(other))
        self.network.settle(29)
        self.assertEqual(self.finished(one), [])
        self.network.settle(2)
        ((links, problem),) = self.finished(one)
        self.assertEqual((links, len(one.links)), (1, 1))
        self.assertEqual(problem, "nobody let us in within 30 s")

    def test_links_of_others_do_not_count_for_the_attempt(self) -> None:
        """Links that were not made by the attempt do not count, neither as alive nor as lost."""
        other, another = self.crust(), self.crust()
        one = self.joiner(contact(other))
        self.dial(one, another)
        self.network.settle(1)
        another.links[0].close(CloseReason.STALE)
        self.network.settle(10)
        self.assertEqual(self.finished(one), [])
        self.dial(one, another)
        self.network.run_until(lambda: len(one.links) == 2)
        one.end_bootstrap(one.links[1])
        self.network.settle(1)
        self.assertEqual(self.finished(one), [(0, "")])

    def test_stop_after_the_end_is_no_second_report(self) -> None:
        """A stop before the end of the attempt is reported adds no second report."""
        one = self.joiner(Contact(ANYWHERE[0]))
        one.end_bootstrap(None)
        stopping = one.stop()
        self.network.settle(1)
        self.successResultOf(stopping)
        self.assertEqual(self.finished(one), [(0, "")])

    def test_saved_contacts_are_bounded(self) -> None:
        """Saved contacts are bounded, and the most recently proven comes first."""
        self.patch(machine, "MAX_SAVED_CONTACTS", 2)
        one = self.crust()
        contacts = [Contact(Endpoint("192.0.2.1", port)) for port in (1, 2, 3)]
        for each in (*contacts, contacts[1]):
            one.remember(each)
        self.assertEqual(one.saved_contacts(), (contacts[1], contacts[2]))
        again = MemoryCrust(self.network, one.settings, one.identity, saved=one.saved_contacts())
        self.assertEqual(again.saved_contacts(), one.saved_contacts())

    def test_every_saved_contact_has_its_turn(self) -> None:
        """An attempt has time for 240: the next begins with those that were not tried."""
        other, silent, one = (self.crust() for _ in range(3))
        self.network.crash(silent, silently=True)
        one.remember(contact(other))
        for number in range(500):
            one.remember(Contact(Endpoint(silent.endpoints[0].host, 1024 + number)))
        one.bootstrap()
        self.network.settle(61)
        self.assertEqual(one.links, ())
        for _ in range(2):
            one.bootstrap()
            self.network.settle(61)
        self.assertEqual([link.peer for link in one.links], [other.identity.name])

    def test_contact_that_led_nowhere_is_dialled_last(self) -> None:
        """Whether it is saved or configured, and until it proves itself."""
        others = [self.crust() for _ in range(3)]
        one = self.crust(contacts=(contact(others[0]), contact(others[1])))
        one.remember(contact(others[2]))

        def order() -> list[int]:
            before = len(self.recorders[one].of("connect"))
            one.bootstrap()
            self.network.settle(1)
            links = [link for (link,) in self.recorders[one].of("connect")[before:]]
            one.end_bootstrap(None)
            self.network.settle(1)
            return [[each.identity.name for each in others].index(link.peer) for link in links]

        self.assertEqual(order(), [2, 0, 1])
        one.demote(contact(others[2]))
        one.demote(contact(others[0]))
        self.assertEqual(order(), [1, 0, 2])
        self.assertEqual(one.saved_contacts(), (contact(others[2]),))
        one.remember(contact(others[0]))
        self.assertEqual(order(), [0, 1, 2])

    def test_saved_contact_that_fails_while_others_answer_is_demoted(self) -> None:
        """While nothing can be reached, a failure says nothing of the contact."""
        other = self.crust()
        dead = Contact(ANYWHERE[0])
        one = self.crust()
        one.remember(dead)
        one.bootstrap()
        self.network.settle(61)
        self.assertEqual(one._bootstrapper.contacts.proven, (dead,))
        one.remember(contact(other))
        one.remember(dead)
        one.bootstrap()
        self.network.settle(61)
        self.assertEqual(one._bootstrapper.contacts.proven, (contact(other),))
        self.assertEqual(one.saved_contacts(), (contact(other), dead))


class StopTests(MemoryTestCase):
    """L{ICrust.stop} leaves nothing behind."""

    def test_stop_closes_links_and_fails_dials(self) -> None:
        """Links are closed, dials fail, the attempt to bootstrap ends; then the Deferred fires."""
        here, there = self.pair(contacts=(Contact(ANYWHERE[0]),))
        crust = self.crust_of(here)
        dialled = self.dial(crust, self.crust_of(there), b"more")
        crust.bootstrap()
        here.send(KIND, b"last words")
        first, second = crust.stop(), crust.stop()
        self.assertNoResult(first)
        self.failureResultOf(self.dial(crust, self.crust_of(there)), ServiceStopped)
        left: list[object] = []
        first.addCallback(lambda result: left.extend(self.left()))
        self.network.settle(1)
        self.successResultOf(first)
        self.assertIsNone(self.successResultOf(second))
        self.assertEqual((left, self.network.links), ([], []))
        self.failureResultOf(dialled, ServiceStopped)
        self.assertEqual([event[0] for event in self.recorder(here).events[-2:]], ["finished", "lost"])
        self.assertEqual(self.recorder(here).losses, [(CloseReason.STOPPING, False)])
        self.assertEqual(self.recorder(there).losses, [(CloseReason.STOPPING, True)])
        self.assertEqual(self.recorder(there).payloads, [b"last words"])

    def test_stop_during_a_bootstrap_waits_for_its_report(self) -> None:
        """It is not over with the last dial that is called off, but when the attempt is reported as over."""
        crust = self.crust(contacts=(Contact(ANYWHERE[0]),))
        crust.bootstrap()
        stopping = crust.stop()
        self.assertNoResult(stopping)
        self.network.settle(0)
        self.successResultOf(stopping)
        self.assertEqual(len(self.recorders[crust].of("finished")), 1)

    def test_stopped_crust_refuses_dials_and_can_start_again(self) -> None:
        """A crust that was stopped, or never started, does nothing and refuses dials; it can start again."""
        crust, other = self.crust(start=False), self.crust()
        self.failureResultOf(self.dial(crust, other), ServiceStopped)
        self.successResultOf(crust.stop())
        crust.start(self.recorders[crust])
        self.network.settle(0)
        stopping = crust.stop()
        self.network.settle(0)
        self.successResultOf(stopping)
        crust.bootstrap()
        crust.end_bootstrap(None)
        refused = self.dial(other, crust)
        self.network.settle(1)
        self.assertIn("refused", str(self.failureResultOf(refused, ConnectFailed).value))
        crust.start(self.recorders[crust])
        accepted = self.dial(other, crust, b"again")
        self.network.settle(1)
        self.successResultOf(accepted)
        self.assertEqual(
            [event[0] for event in self.recorders[crust].events], ["external", "external", "accept"]
        )

    def test_peer_does_not_answer(self) -> None:
        """A link that nobody answers on delays the stop by close_timeout."""
        here, _ = self.pair()
        self.network.half_open(here)
        stopping = self.crust_of(here).stop()
        self.network.settle(4.9)
        self.assertNoResult(stopping)
        self.network.settle(0.2)
        self.successResultOf(stopping)

    def test_stop_in_the_handshake_fails_the_dial(self) -> None:
        """A link that is not up yet on either side is not reported when one of them stops."""
        for stops in (0, 1):
            one, other = self.crust(), self.crust()
            dialled: Deferred[ILink] = self.dial(one, other)
            self.network.run_until(lambda: self.network.links)
            stopping = (one, other)[stops].stop()
            self.network.settle(1)
            self.successResultOf(stopping)
            self.failureResultOf(dialled, ConnectFailed, ServiceStopped)
            for each in (one, other):
                self.assertEqual([event[0] for event in self.recorders[each].events], ["external"])
            self.assertEqual(self.network.links, [])

    def test_dial_can_be_cancelled_during_the_stop(self) -> None:
        """A dial may be cancelled after the stop has begun."""
        one, other = self.crust(), self.crust()
        dialled = self.dial(one, other)
        dialled.addErrback(lambda failure: None)
        stopping = one.stop()
        dialled.cancel()
        self.network.settle(1)
        self.successResultOf(stopping)
