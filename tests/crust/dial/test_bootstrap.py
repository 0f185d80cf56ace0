"""One attempt to bootstrap, on a fake clock and without a network."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.dial.bootstrap import (
    LAN_HEAD_START_SECONDS,
    LAN_WAIT_SECONDS,
    BootstrapAttempt,
    order_contacts,
)
from routing_crust.crust.dial.race import DialFailed
from routing_crust.crust.interfaces import ILink
from routing_crust.endpoints import Connection, Contact, Endpoint, Protocol
from routing_crust.errors import CloseReason, LimitReached, LinkClosed
from routing_crust.limits import DIAL_STAGGER_SECONDS

from ..addresses import at, contact

A, B, C, D = (contact(f"192.0.2.{number}:5483", number) for number in (1, 2, 3, 4))
SETTINGS = Settings()
STAGGER = DIAL_STAGGER_SECONDS


class FakeLink:
    """As much of a link as an attempt looks at."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.connection = Connection(Protocol.TCP, endpoint, at("127.0.0.1:1"))
        self.closed: CloseReason | None = None

    def close(self, reason: CloseReason, detail: str = "") -> None:
        self.closed = reason


class OrderTests(SynchronousTestCase):
    def order(
        self, saved: tuple[Contact, ...], configured: tuple[Contact, ...], first: int = 9, **how: Any
    ) -> Any:
        return order_contacts(
            saved, configured, first, how.get("tried", ()), how.get("is_last", lambda _: False)
        )

    def test_saved_contacts_come_before_configured_ones_and_each_endpoint_once(self) -> None:
        again = Contact(A.endpoint)
        self.assertEqual(self.order((B, A), (again, C)), (B, A, C))

    def test_configured_contacts_come_before_the_oldest_saved_ones(self) -> None:
        """The configured ones get their turn before the oldest saved ones."""
        self.assertEqual(self.order((A, B, C), (D,), first=2), (A, B, D, C))

    def test_saved_contacts_that_were_tried_come_after_those_that_were_not(self) -> None:
        """The configured ones keep their place."""
        tried = {A.endpoint, B.endpoint, D.endpoint}
        self.assertEqual(self.order((A, B, C), (D,), first=2, tried=tried), (D, C, A, B))

    def test_contacts_that_led_nowhere_come_last(self) -> None:
        """Saved or configured."""
        self.assertEqual(self.order((A, B), (C, D), is_last=lambda each: each in (A, C)), (B, D, A, C))


class AttemptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.dials: dict[Endpoint, Deferred[ILink]] = {}
        self.cancelled: list[Endpoint] = []
        self.finished: list[tuple[int, str]] = []
        self.refuse: Exception | None = None

    def dial(self, contact: Contact) -> Deferred[ILink]:
        if self.refuse is not None:
            raise self.refuse
        self.dials[contact.endpoint] = Deferred(lambda _: self.cancelled.append(contact.endpoint))
        return self.dials[contact.endpoint]

    def attempt(self, *contacts: Contact, lan: bool = False, dial: Any = None) -> BootstrapAttempt:
        def finished(links: int, problem: str) -> None:
            self.finished.append((links, problem))

        attempt = BootstrapAttempt(self.clock, contacts, lan, dial or self.dial, finished)
        attempt.start()
        return attempt

    def up(self, attempt: BootstrapAttempt, contact: Contact) -> FakeLink:
        link = FakeLink(contact.endpoint)
        attempt.link_up(cast(ILink, link))
        self.dials[contact.endpoint].callback(cast(ILink, link))
        return link

    def over(self, links: int, *problems: str) -> None:
        """It has ended just now, once, and leaves no delayed call."""
        ((alive, problem),) = self.finished
        self.assertEqual(alive, links)
        for each in problems:
            self.assertIn(each, problem)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def dialled(self) -> list[Endpoint]:
        return list(self.dials)

    def test_contacts_are_dialled_without_waiting_for_answers(self) -> None:
        """Contacts are dialled one after the other, without waiting for answers."""
        self.attempt(A, B)
        self.assertEqual(self.dialled(), [A.endpoint])
        self.clock.advance(STAGGER)
        self.assertEqual(self.dialled(), [A.endpoint, B.endpoint])

    def test_failed_dial_starts_the_next_at_once(self) -> None:
        """After a failure the next is dialled at once, in a turn of its own."""
        self.attempt(A, B)
        self.dials[A.endpoint].errback(DialFailed("connection refused"))
        self.clock.advance(0)
        self.assertEqual(self.dialled(), [A.endpoint, B.endpoint])

    def test_attempt_ends_with_the_reasons_when_every_contact_has_failed(self) -> None:
        """When every contact has failed the attempt is over, and says why; a few are told of."""
        self.attempt(*(contact(f"192.0.2.{number}:5483") for number in range(1, 6)))
        for number in range(1, 6):
            self.assertEqual(self.finished, [])
            self.dials[at(f"192.0.2.{number}:5483")].errback(DialFailed("connection refused"))
            self.clock.advance(0)
        self.over(0, "no contact let us in", "192.0.2.1:5483: connection refused", "and 2 more")

    def test_dials_that_fail_at_once_end_the_attempt(self) -> None:
        """Whether they end as soon as they start, or do not start."""
        self.attempt(A, B, dial=lambda _: fail(DialFailed("no")))
        self.clock.pump([0, 0])
        self.over(0, "no")
        self.finished.clear()
        self.refuse = DialFailed("on the deny list")
        self.attempt(A, B)
        self.over(0, "on the deny list")

    def test_attempt_without_contacts_names_the_setting(self) -> None:
        self.attempt()
        self.over(0, "the setting contacts")

    def test_winner_stays_and_other_links_and_dials_are_ended(self) -> None:
        """The winner stays; other links are closed, other dials cancelled."""
        attempt = self.attempt(A, B, C)
        self.clock.advance(STAGGER)
        self.clock.advance(STAGGER)
        first, second = self.up(attempt, A), self.up(attempt, B)
        attempt.end(cast(ILink, second))
        self.assertEqual((first.closed, second.closed), (CloseReason.NO_LONGER_NEEDED, None))
        self.assertEqual(self.cancelled, [C.endpoint])
        self.over(1)
        attempt.end(None)
        attempt.found(D)
        attempt.link_lost(cast(ILink, second), LinkClosed(CloseReason.UNKNOWN))
        self.over(1)

    def test_attempt_may_be_ended_by_the_link_before_its_dial_has_fired(self) -> None:
        """The receiver of the link may end it, before the Deferred of the dial has fired."""
        attempt = self.attempt(A)
        link = cast(ILink, FakeLink(A.endpoint))
        attempt.link_up(link)
        attempt.end(link)
        self.over(1)

    def test_all_links_are_closed_without_a_winner(self) -> None:
        """Without a winner all links are closed."""
        attempt = self.attempt(A)
        link = self.up(attempt, A)
        attempt.end(None)
        self.assertEqual(link.closed, CloseReason.NO_LONGER_NEEDED)
        self.over(0)

    def test_attempt_ends_when_the_last_link_is_lost_and_none_is_left_to_dial(self) -> None:
        """When the last link is lost and nothing is left to dial, it is over and tells the reason."""
        attempt = self.attempt(A, B)
        self.clock.advance(STAGGER)
        links = [self.up(attempt, A), self.up(attempt, B)]
        self.clock.advance(STAGGER)
        attempt.link_lost(cast(ILink, links[0]), LinkClosed(CloseReason.BOOTSTRAPPING, by_peer=True))
        self.assertEqual(self.finished, [])
        attempt.link_lost(cast(ILink, FakeLink(C.endpoint)), LinkClosed(CloseReason.UNKNOWN))
        attempt.link_lost(cast(ILink, links[1]), LinkClosed(CloseReason.WRONG_NETWORK, by_peer=True))
        self.over(0, "the peer is not in the network yet", "the peer is of another network")

    def test_attempt_ends_after_the_timeout_and_counts_live_links(self) -> None:
        """After bootstrap_timeout it is over, whatever goes on; links that live are counted."""
        attempt = self.attempt(A, B)
        self.clock.advance(STAGGER)
        self.up(attempt, A)
        self.clock.pump([1.0] * 59)
        self.assertEqual(self.finished, [])
        self.clock.advance(1)
        self.over(1, "within 60 s")
        self.assertEqual(self.cancelled, [B.endpoint])

    def test_contact_waits_for_its_turn_when_a_limit_forbids_the_dial(self) -> None:
        self.refuse = LimitReached("too many", "max_dials", 1)
        self.attempt(A)
        self.clock.pump([STAGGER] * 4)
        self.assertEqual((self.dialled(), self.finished), ([], []))
        self.refuse = None
        self.clock.advance(STAGGER)
        self.assertEqual(self.dialled(), [A.endpoint])

    def test_contact_of_the_local_network_is_dialled_first(self) -> None:
        attempt = self.attempt(A, B, lan=True)
        self.assertEqual(self.dialled(), [])
        attempt.found(C)
        attempt.found(C)
        self.clock.advance(LAN_HEAD_START_SECONDS)
        self.assertEqual(self.dialled(), [C.endpoint])
        attempt.found(B)
        self.clock.advance(STAGGER)
        self.clock.advance(STAGGER)
        self.assertEqual(self.dialled(), [C.endpoint, A.endpoint, B.endpoint])
        self.clock.advance(STAGGER)
        attempt.found(B)
        attempt.found(D)
        self.clock.advance(STAGGER)
        self.assertEqual(self.dialled()[3:], [D.endpoint])

    def test_answers_without_end_keep_no_other_contact_out(self) -> None:
        """Hosts of the local network take turns, among themselves and with the contacts that we knew."""
        attempt = self.attempt(A, B, lan=True)
        for port in range(1, 1000):
            attempt.found(Contact(Endpoint("192.168.1.66", port)))
        attempt.found(contact("192.168.1.9:5483", 9))
        self.clock.advance(LAN_HEAD_START_SECONDS)
        self.clock.pump([STAGGER] * 3)
        self.assertEqual(
            self.dialled(), [at("192.168.1.66:1"), A.endpoint, at("192.168.1.9:5483"), B.endpoint]
        )
        attempt.end(None)

    def test_host_that_led_nowhere_is_dialled_after_all_others(self) -> None:
        attempt = self.attempt(A, B, lan=True)
        attempt.found(C, last=True)
        attempt.found(C, last=True)
        self.clock.advance(LAN_HEAD_START_SECONDS)
        self.clock.pump([STAGGER] * 2)
        self.assertEqual(self.dialled(), [A.endpoint, B.endpoint, C.endpoint])
        for port in range(1, 1000):
            attempt.found(Contact(Endpoint("192.0.2.1", port)), last=True)
        self.assertLess(len(attempt._waiting), 100)
        attempt.end(None)

    def test_attempt_without_contacts_waits_a_while_for_the_local_network(self) -> None:
        attempt = self.attempt(lan=True)
        self.clock.advance(LAN_WAIT_SECONDS / 2)
        attempt.found(C)
        self.clock.advance(0)
        self.assertEqual(self.dialled(), [C.endpoint])
        self.dials[C.endpoint].errback(DialFailed("no"))
        self.assertEqual(self.finished, [])
        self.clock.advance(LAN_WAIT_SECONDS / 2)
        self.over(0, f"{C.endpoint}: no")

    def test_local_network_is_silent(self) -> None:
        """Nobody answers and nobody is known."""
        self.attempt(lan=True)
        self.clock.advance(LAN_WAIT_SECONDS)
        self.over(0, "nobody answered on the local network")

    def test_few_contacts_of_a_flood_of_answers_are_kept(self) -> None:
        """An attacker can invent any number of contacts; only a few are kept."""
        attempt = self.attempt(lan=True)
        for port in range(1, 1000):
            attempt.found(Contact(Endpoint("192.0.2.1", port)))
        self.assertLess(len(attempt._found), 100)

    @given(st.lists(st.tuples(st.sampled_from(["fail", "refuse", "up", "lost", "silent"]), st.floats(0, 90))))
    def test_attempt_is_finished_exactly_once(self, script: list[tuple[str, float]]) -> None:
        """Whatever the contacts do, the attempt is over once, in time, and leaves nothing."""
        self.setUp()
        clock = self.clock
        contacts = [Contact(Endpoint("192.0.2.1", port)) for port in range(1, len(script) + 1)]

        def dial(contact: Contact) -> Deferred[ILink]:
            what, when = script[contact.endpoint.port - 1]
            if what == "refuse":
                raise DialFailed("no")
            dial: Deferred[ILink] = Deferred()
            link = cast(ILink, FakeLink(contact.endpoint))

            def over() -> None:
                if dial.called or what == "silent":
                    return
                if what == "fail":
                    dial.errback(DialFailed("no"))
                    return
                attempt.link_up(link)
                dial.callback(link)
                if what == "lost":
                    attempt.link_lost(link, LinkClosed(CloseReason.UNKNOWN))

            calls.append(clock.callLater(when, over))
            return dial

        calls: list[Any] = []
        attempt = BootstrapAttempt(
            clock, contacts, False, dial, lambda *outcome: self.finished.append(outcome)
        )
        attempt.start()
        clock.pump([0.5] * 122)
        self.assertEqual(len(self.finished), 1)
        self.assertEqual([each for each in clock.getDelayedCalls() if each not in calls], [])
