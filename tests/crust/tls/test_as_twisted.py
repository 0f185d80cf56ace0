"""Twisted's own tests of its TLS transport, on ours."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from twisted.protocols import tls
from twisted.trial.unittest import SynchronousTestCase, TestCase

from routing_crust.crust.tls import transport
from routing_crust.crust.tls.transport import TlsTransport

test_tls: Any = None
try:
    test_tls = import_module("twisted.protocols.test.test_tls")
except ImportError as missing:
    skip = f"Twisted's own tests need another package: {missing}"


def own_tests(name: str) -> Any:
    """One of Twisted's classes of tests, of which some wait for the reactor."""
    return TestCase if test_tls is None else getattr(test_tls, name)


class Buffering(tls.BufferingTLSTransport, TlsTransport):
    """What Twisted puts on top of its transport, on ours."""


def use_ours(case: Any) -> None:
    """Have Twisted's tests and factories make our transports."""
    case.patch(tls.TLSMemoryBIOFactory, "protocol", Buffering)
    case.patch(test_tls, "TLSMemoryBIOProtocol", TlsTransport)


class DeterministicTests(own_tests("DeterministicTLSMemoryBIOTests")):  # type: ignore[misc]
    """Handshakes, and small writes."""

    def setUp(self) -> None:
        use_ours(self)


class TransportTests(own_tests("TLSMemoryBIOTests")):  # type: ignore[misc]
    """Interfaces, handshakes, writes at any time, ends of every kind."""

    def setUp(self) -> None:
        use_ours(self)


class ProducerTests(own_tests("TLSProducerTests")):  # type: ignore[misc]
    """Producers of both kinds."""

    def setUp(self) -> None:
        use_ours(self)

    def test_streamingProducerBothTransportsDecideToPause(self) -> None:
        """Its session is a mock, of which no place can be filled: it has one byte to send, whenever asked."""
        self.patch(transport, "take_written", lambda session, at: at + len(session.bio_read(1)))
        self.patch(transport, "read_records", lambda session, at, count: (at, 1))
        super().test_streamingProducerBothTransportsDecideToPause()


class PatchTests(SynchronousTestCase):
    def test_tests_of_twisted_run_on_our_transport(self) -> None:
        use_ours(self)
        self.assertIsInstance(test_tls.buildTLSProtocol()[1], TlsTransport)
