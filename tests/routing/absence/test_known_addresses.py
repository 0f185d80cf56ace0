"""Where a peer is looked for."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Contact, Endpoint
from routing_crust.crust.reachability import Knock, Presence
from routing_crust.routing.absence.known_addresses import MAX_KNOCKS, KnownAddresses

from ..net import Net


def at(text: str) -> Endpoint:
    return Endpoint.from_text(text)


class KnownAddressesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net()
        self.addCleanup(self.net.stop)
        _, self.one = self.net.grow(2)
        core = self.one._core
        assert core is not None
        self.node, self.crust, self.rules = core.node, self.net.crust(self.one), core.candidates
        self.name = self.net.identity().name

    def known(self) -> list[str]:
        known, told = KnownAddresses(self.node, self.rules).of(self.name)
        return [str(each) for each in (*known, *told)]

    def test_contacts_and_what_the_peer_has_told_are_known_once_each(self) -> None:
        self.assertEqual(self.known(), [])
        self.crust.remember(Contact(at("198.18.0.77:5483"), self.name))
        self.crust.remember(Contact(at("198.18.0.78:5483"), self.net.identity().name))
        self.crust.history.told(self.name, [at("198.18.0.77:5483"), at("198.18.0.79:5483")], "its answer")
        configured = Contact(at("198.18.0.80:443"), self.name)
        self.patch(self.crust, "configured_contacts", lambda: (configured,))
        self.assertEqual(self.known(), ["198.18.0.80:443", "198.18.0.77:5483", "198.18.0.79:5483"])

    def test_what_a_stranger_may_not_have_us_dial_is_left_out(self) -> None:
        told = [at(each) for each in ("127.0.0.1:5483", "169.254.169.254:5483", "198.18.0.79:80")]
        self.crust.history.told(self.name, [*told, self.crust.endpoints[0]], "its answer")
        self.assertEqual(self.known(), [])

    def test_number_of_addresses_is_limited(self) -> None:
        self.crust.history.told(
            self.name, [at(f"198.18.0.79:{5000 + each}") for each in range(20)], "its answer"
        )
        self.assertEqual(len(self.known()), MAX_KNOCKS)

    def test_silent_address_is_given_up_after_the_time(self) -> None:
        self.crust.remember(Contact(at("198.18.0.77:5483"), self.name))
        silent: Deferred[Any] = Deferred()
        self.crust.knock = lambda endpoints, name: (silent,)  # type: ignore[method-assign]
        results: list[Any] = []
        addresses = KnownAddresses(self.node, self.rules)
        Deferred.fromCoroutine(addresses.knock(self.name, 3.0)).addCallback(results.append)
        self.net.settle(2.9)
        self.assertEqual(results, [])
        self.net.settle(0.2)
        self.assertEqual(results, [(Knock(at("198.18.0.77:5483"), Presence.UNKNOWN, "no answer"),)])

    def test_told_addresses_are_dialled_within_the_limit_for_them(self) -> None:
        """They may be those of a victim; what was not dialled proves nothing."""
        configured = at("198.18.0.77:5483")
        self.crust.remember(Contact(configured, self.name))
        self.crust.history.told(self.name, [at("198.18.0.78:5483"), at("198.18.0.79:5483")], "its answer")
        asked: list[Any] = []
        self.patch(self.rules, "affordable", lambda name, told: asked.extend(told) or told[:1])
        dialled: list[Any] = []
        self.crust.knock = lambda endpoints, name: dialled.extend(endpoints) or ()  # type: ignore
        result = Deferred.fromCoroutine(KnownAddresses(self.node, self.rules).knock(self.name, 3.0))
        self.assertEqual(set(asked), {at("198.18.0.78:5483"), at("198.18.0.79:5483")})
        self.assertEqual(dialled, [configured, asked[0]])
        self.assertEqual({each.presence for each in self.successResultOf(result)}, {Presence.UNKNOWN})
