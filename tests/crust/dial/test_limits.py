"""Who is no stranger to the limits on dials."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.admission import Rules
from routing_crust.crust.dial.limits import DialLimits
from routing_crust.endpoints import Contact
from routing_crust.errors import LimitReached

from ..addresses import STRANGER, at, name

HERE, THERE = at("8.8.8.8:443"), at("8.8.8.9:443")


class KnownTests(SynchronousTestCase):
    def make(self, *contacts: Contact) -> DialLimits:
        return DialLimits(Settings(), Rules((), ()), Clock().seconds, configured=lambda: contacts)

    def test_nobody_is_known_by_what_others_say(self) -> None:
        self.assertFalse(self.make().is_known(HERE, name(1)))

    def test_configured_contact_is_known_at_its_address_alone(self) -> None:
        limits = self.make(Contact(HERE, name(1)))
        self.assertTrue(limits.is_known(HERE, name(1)))
        self.assertFalse(limits.is_known(THERE, name(1)))
        self.assertFalse(limits.is_known(HERE, name(2)))

    def test_contact_without_a_name_may_be_anyone(self) -> None:
        limits = self.make(Contact(HERE))
        self.assertTrue(limits.is_known(HERE, name(2)))
        self.assertFalse(limits.is_known(THERE, name(2)))

    def test_peer_is_known_where_it_answered_until_it_does_not(self) -> None:
        limits = self.make()
        limits.answered(HERE, name(1))
        self.assertTrue(limits.is_known(HERE, name(1)))
        limits.failed(HERE, name(1))
        self.assertFalse(limits.is_known(HERE, name(1)))

    def test_known_address_costs_no_strangers_dial(self) -> None:
        limits = self.make(Contact(HERE, name(1)))
        for _ in range(20):
            limits.spend(HERE, STRANGER, name(1))
        with self.assertRaises(LimitReached):
            for _ in range(20):
                limits.spend(HERE, STRANGER, name(2))
