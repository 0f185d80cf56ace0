"""The records that clients publish."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.names import Name
from routing_crust.routing.membership import client_registry
from routing_crust.routing.membership.client_registry import MAX_RECORD_SECONDS, ClientRegistry
from routing_crust.timing.shares import OURSELVES, Account
from routing_crust.wire.messages import ClientRecord

SKEW = 600.0


def name_of(number: int) -> Name:
    return Name(number.to_bytes(32, "big"))


PROXY, OTHER = name_of(100), name_of(101)


class ClientRegistryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.patch(client_registry, "MAX_CLIENT_RECORDS", 3)
        self.registry = ClientRegistry(self.clock, Settings())

    def publish(
        self,
        client: int = 1,
        proxy: Name = PROXY,
        issued: float = 0.0,
        life: float = 90.0,
        account: Account = OURSELVES,
    ) -> bool:
        """Publish a record that was issued this number of seconds from now."""
        issued += self.clock.seconds()
        record = ClientRecord(proxy.raw, issued, issued + life)
        return self.registry.publish(name_of(client), record, account)

    def test_client_is_found_until_its_record_expires(self) -> None:
        self.assertTrue(self.publish())
        self.clock.advance(89)
        self.assertEqual(self.registry.proxy_of(name_of(1)), PROXY)
        self.assertIsNone(self.registry.proxy_of(name_of(2)))
        self.clock.advance(1)
        self.assertIsNone(self.registry.proxy_of(name_of(1)))
        self.assertEqual(len(self.registry), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_later_record_replaces_an_earlier_one_in_any_order(self) -> None:
        """A record that was issued later replaces; an earlier one does not, in whatever order they come."""
        self.assertTrue(self.publish(proxy=PROXY, issued=10))
        self.assertFalse(self.publish(proxy=OTHER, issued=5))
        self.assertEqual(self.registry.proxy_of(name_of(1)), PROXY)
        self.assertTrue(self.publish(proxy=OTHER, issued=11))
        self.assertEqual(self.registry.proxy_of(name_of(1)), OTHER)
        self.assertEqual(len(self.registry), 1)

    def test_repeated_record_does_not_live_longer(self) -> None:
        """A repetition is no news and does not make it live longer; a contradiction is refused."""
        issued = self.clock.seconds()
        record = ClientRecord(PROXY.raw, issued, issued + 90)
        self.assertTrue(self.registry.publish(name_of(1), record))
        self.clock.advance(60)
        self.assertTrue(self.registry.publish(name_of(1), record))
        other = ClientRecord(OTHER.raw, issued, issued + 90)
        self.assertFalse(self.registry.publish(name_of(1), other))
        self.clock.advance(30)
        self.assertIsNone(self.registry.proxy_of(name_of(1)))

    def test_client_whose_clock_is_off_is_known_as_long_as_others(self) -> None:
        """A client whose clock is off, within bounds, is known just as long as any other."""
        for offset in (-SKEW - 89, -SKEW, SKEW):
            registry = ClientRegistry(self.clock, Settings())
            issued = self.clock.seconds() + offset
            self.assertTrue(registry.publish(name_of(1), ClientRecord(PROXY.raw, issued, issued + 90)))
            self.clock.advance(89)
            self.assertEqual(registry.proxy_of(name_of(1)), PROXY)
            self.clock.advance(1)
            self.assertIsNone(registry.proxy_of(name_of(1)))

    def test_record_with_impossible_times_is_refused(self) -> None:
        """Too old, from the future, or with no life at all: refused."""
        self.assertFalse(self.publish(issued=-SKEW - 90))
        self.assertFalse(self.publish(issued=SKEW + 1))
        self.assertFalse(self.publish(life=0))
        self.assertFalse(self.publish(life=-1))
        self.assertEqual(len(self.registry), 0)

    def test_record_lives_for_an_hour_at_most(self) -> None:
        """A client that wants to be found for longer publishes again."""
        self.assertTrue(self.publish(life=1e9))
        self.clock.advance(MAX_RECORD_SECONDS - 1)
        self.assertEqual(self.registry.proxy_of(name_of(1)), PROXY)
        self.clock.advance(1)
        self.assertIsNone(self.registry.proxy_of(name_of(1)))

    def test_full_registry_loses_the_oldest_of_the_link_with_most(self) -> None:
        """Clients that are made up over one link push out each other, and no client of another link."""
        honest, flood = ("a", str(PROXY)), ("b", str(OTHER))
        self.assertTrue(self.publish(0, account=honest))
        for client in range(1, 30):
            self.assertTrue(self.publish(client, account=flood))
        self.assertEqual(len(self.registry), 3)
        known = [client for client in range(30) if self.registry.proxy_of(name_of(client))]
        self.assertEqual(known, [0, 28, 29])
        self.assertTrue(self.publish(40, account=honest))
        self.assertEqual(self.registry.proxy_of(name_of(0)), PROXY)

    def test_news_of_a_known_client_push_nobody_out(self) -> None:
        for client in range(3):
            self.assertTrue(self.publish(client))
        self.assertTrue(self.publish(2, proxy=OTHER, issued=1))
        self.assertEqual([self.registry.proxy_of(name_of(each)) for each in range(3)], [PROXY, PROXY, OTHER])

    def test_expired_records_make_room_first(self) -> None:
        for client in range(3):
            self.assertTrue(self.publish(client, life=20 if client == 1 else 300))
        self.clock.advance(31)
        self.assertTrue(self.publish(3))
        known = [client for client in range(4) if self.registry.proxy_of(name_of(client))]
        self.assertEqual(known, [0, 2, 3])

    def test_earlier_record_is_accepted_after_a_later_one_expired(self) -> None:
        """An earlier record is taken once the later one is over."""
        self.assertTrue(self.publish(issued=10, life=5))
        self.clock.advance(5)
        self.assertTrue(self.publish(proxy=OTHER, issued=-1))
        self.assertEqual(self.registry.proxy_of(name_of(1)), OTHER)

    def test_clear_forgets_every_record(self) -> None:
        self.publish()
        self.registry.clear()
        self.assertEqual(len(self.registry), 0)
