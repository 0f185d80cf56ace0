"""
A node for as long as a block of code runs.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from routing_crust import RoutingService, Settings, State, node
from routing_crust.errors import ConfigurationError


class NodeTests(TestCase):
    async def test_node_runs_within_the_block_and_has_stopped_after_it(self) -> None:
        async with node(
            role="first", listen="127.0.0.1:0", lan_discovery=False, port_mapping=False
        ) as service:
            self.assertIsInstance(service, RoutingService)
            self.assertTrue(service.running)
            self.assertIsNotNone(service.contact)
        self.assertEqual((service.running, service.state), (False, State.TERMINATED))

    async def test_node_stops_when_the_block_raises(self) -> None:
        settings = Settings.from_text(
            role="first", listen="127.0.0.1:0", lan_discovery=False, port_mapping=False
        )
        services = []
        with self.assertRaises(ZeroDivisionError):
            async with node(settings, reactor=reactor) as service:
                services.append(service)
                raise ZeroDivisionError
        self.assertEqual([each.state for each in services], [State.TERMINATED])

    async def test_settings_are_given_in_one_of_two_ways(self) -> None:
        with self.assertRaises(TypeError):
            async with node(Settings(), network="lab"):
                self.fail("it was entered")
        with self.assertRaises(ConfigurationError):
            async with node(role="boss"):
                self.fail("it was entered")
