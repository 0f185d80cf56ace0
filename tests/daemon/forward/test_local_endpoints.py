"""Endpoint strings of local programs, and what is said of those that are none."""

from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.forward.local_endpoints import listening_endpoint, target_endpoint
from routing_crust.errors import ConfigurationError


class RefusalTests(SynchronousTestCase):
    def refused(self, make: object, text: str) -> str:
        return str(self.assertRaises(ConfigurationError, make, MemoryReactorClock(), "x", text))

    def test_missing_port_is_said_without_words_of_python(self) -> None:
        said = self.refused(target_endpoint, "tcp:localhost")
        self.assertEqual(
            said,
            "x: 'tcp:localhost' is no endpoint to connect to, such as tcp:localhost:22 (the port is missing)",
        )

    def test_port_that_is_no_number_is_said_without_words_of_python(self) -> None:
        for make, text in ((target_endpoint, "tcp:localhost:ssh"), (listening_endpoint, "tcp:ssh")):
            self.assertIn("('ssh' is not a number)", self.refused(make, text))

    def test_number_above_all_ports_is_refused(self) -> None:
        for make, text in (
            (target_endpoint, "tcp:localhost:99999"),
            (target_endpoint, "tcp:host=localhost:port=99999:timeout=100000"),
            (listening_endpoint, "tcp:99999"),
        ):
            self.assertIn("(99999 is no port: they go from 1 to 65535)", self.refused(make, text))
        for text in ("tcp:localhost:65535:timeout=100000", r"tcp:\:\:1:80", "unix:/run/99999"):
            target_endpoint(MemoryReactorClock(), "x", text)

    def test_other_problems_are_those_of_the_parser(self) -> None:
        self.assertIn("Unknown endpoint type: 'what'", self.refused(target_endpoint, "what:1"))
