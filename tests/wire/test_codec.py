"""The codec: what goes in comes out, and whatever else comes in is a WireError and nothing more."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.endpoints import Endpoint
from routing_crust.errors import CloseReason, WireError
from routing_crust.wire import end_to_end as e
from routing_crust.wire import fields as f
from routing_crust.wire import members as p
from routing_crust.wire import messages as m
from routing_crust.wire.codec import MAX_CONTROL_BYTES, decode, encode, from_wire, to_wire

from ..strategies import endpoints
from .strategies import MESSAGES, any_message

properties = settings(deadline=None, derandomize=True)
KEY, SIGNATURE, NAME = b"k" * 32, b"s" * 64, b"n" * 32
UNLIMITED = (
    m.Envelope, e.SealedPacket, e.LastFlight, e.MessagePart, e.AckPart, p.RosterIds, p.RosterStatements,
    p.MembersWanted, p.MemberCertificates,
)  # fmt: skip


class CodecTests(SynchronousTestCase):
    """All messages alike."""

    @properties
    @given(any_message)
    def test_message_reads_back_from_its_bytes(self, message: Any) -> None:
        """A message survives, and its bytes are the only ones that mean it to us."""
        data = encode(message)
        self.assertEqual(decode(type(message), data, len(data)), message)
        self.assertEqual(encode(decode(type(message), data, len(data))), data)

    @properties
    @given(any_message, st.none() | st.integers(-(2**63), 2**63) | st.binary(max_size=40))
    def test_message_with_a_field_more_is_refused(self, message: Any, extra: object) -> None:
        data = msgspec.msgpack.encode([*msgspec.to_builtins(message, builtin_types=(bytes,)), extra])
        self.assertRaises(WireError, decode, type(message), data, len(data))

    @properties
    @given(st.sampled_from(MESSAGES), st.binary(max_size=500))
    def test_any_bytes_are_a_message_of_the_type_or_a_wire_error(self, kind: type[Any], data: bytes) -> None:
        self.decodes_or_refuses(kind, data)

    @properties
    @given(any_message, st.integers(0, 1 << 16), st.integers(0, 255), st.integers(0, 40))
    def test_damaged_message_is_a_message_or_a_wire_error(
        self, message: Any, place: int, byte: int, cut: int
    ) -> None:
        """With a wrong byte, without its end, or with bytes behind it."""
        data = bytearray(encode(message))
        data[place % len(data)] = byte
        self.decodes_or_refuses(type(message), bytes(data))
        self.decodes_or_refuses(type(message), bytes(data[: len(data) - cut]))
        self.decodes_or_refuses(type(message), bytes(data) + bytes([byte]) * cut)

    @properties
    @given(any_message, st.sampled_from(MESSAGES))
    def test_message_read_as_another_type_is_a_message_or_a_wire_error(
        self, message: Any, kind: type[Any]
    ) -> None:
        self.decodes_or_refuses(kind, encode(message))

    def decodes_or_refuses(self, kind: type[Any], data: bytes) -> None:
        try:
            message = decode(kind, data)
        except WireError as error:
            self.assertIs(error.reason, CloseReason.PROTOCOL_ERROR)
        else:
            self.assertIsInstance(message, kind)

    def test_deep_nest_is_refused_without_recursion(self) -> None:
        for nest in (b"\x91" * 150_000, b"\x81\x01" * 75_000):
            self.assertRaises(WireError, decode, m.Envelope, nest)
            self.assertRaises(WireError, decode, m.Hello, nest, len(nest))

    def test_announced_length_beyond_the_bytes_is_refused(self) -> None:
        """Bytes that announce more than they bring cost nothing."""
        for start in (b"\xdd\xff\xff\xff\xff", b"\x9a\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"):
            self.assertRaises(WireError, decode, m.Envelope, start)

    def test_no_beginning_of_a_message_is_a_message(self) -> None:
        data = encode(m.Signed(KEY, b"body", SIGNATURE))
        for length in range(len(data)):
            self.assertRaises(WireError, decode, m.Signed, data[:length])

    def test_bytes_behind_a_message_are_refused(self) -> None:
        data = encode(m.Goodbye(1))
        self.assertRaises(WireError, decode, m.Goodbye, data + b"\0")

    def test_oversized_control_message_is_refused_before_it_is_read(self) -> None:
        """Control messages are refused by their size before they are read; the others have their frame."""
        for kind in MESSAGES:
            error = self.assertRaises(WireError, decode, kind, b"\xc1" * (MAX_CONTROL_BYTES + 1))
            self.assertEqual("over the limit of 4096" in str(error), kind not in UNLIMITED)
            error = self.assertRaises(WireError, decode, kind, b"\xc1" * 11, 10)
            self.assertEqual("over the limit of 10" in str(error), kind not in UNLIMITED)

    def test_largest_control_message_fits_the_limit(self) -> None:
        """Exactly the limit is allowed."""
        message = m.Sealed(bytes(MAX_CONTROL_BYTES - 70), SIGNATURE)
        self.assertEqual(len(encode(message)), MAX_CONTROL_BYTES)
        self.assertEqual(decode(m.Sealed, encode(message)), message)

    def test_lengths_and_numbers_are_held_to_their_ranges(self) -> None:
        """Lengths and numbers that a peer may choose are held to their ranges when decoded."""
        endpoint = f.WireEndpoint(b"\x7f\0\0\1", 5483)
        wrong: tuple[Any, ...] = (
            m.Signed(KEY[1:], b"", SIGNATURE),
            m.Signed(KEY + b"x", b"", SIGNATURE),
            m.Signed(KEY, b"", SIGNATURE[1:]),
            m.Sealed(b"", SIGNATURE + b"x"),
            m.Goodbye(-1),
            m.Goodbye(65536),
            m.ConfirmationAck(-1),
            m.ConfirmationAck(1 << 63),
            m.GroupQuery(b"n" * 15, bytes(32)),
            m.GroupQuery(b"n" * 16, bytes(31)),
            m.GroupQuery(b"n" * 17, bytes(32)),
            m.GroupAnswer(b"n" * 16, NAME[1:], ()),
            m.GroupAnswer(b"n" * 16, NAME, (NAME,) * 65),
            m.ClientRecord(NAME, -1.0, 5.0),
            m.ClientRecord(NAME, 1.0, 1e12),
            m.ClientRecord(NAME, float("nan"), 1.0),
            m.ConnectResponse(NAME, b"", (endpoint,) * 33),
            m.ConnectResponse(NAME, b"", (f.WireEndpoint(b"abc", 1),)),
            m.ConnectResponse(NAME, b"", (f.WireEndpoint(b"abcd", 0),)),
            m.ConnectResponse(NAME, b"", (f.WireEndpoint(b"abcd", 65536),)),
        )
        for message in wrong:
            self.assertRaises(WireError, decode, type(message), encode(message))

    def test_unknown_number_of_an_enumeration_is_refused(self) -> None:
        self.assertRaises(WireError, decode, m.Confirmation, msgspec.msgpack.encode([1, 77, True]))

    def test_errors_name_the_message(self) -> None:
        error = self.assertRaises(WireError, decode, m.Goodbye, b"")
        self.assertTrue(str(error).startswith("not a Goodbye: "))


class EndpointTests(SynchronousTestCase):
    """Endpoints on the wire."""

    @properties
    @given(endpoints)
    def test_endpoint_reads_back_from_its_bytes(self, endpoint: Endpoint) -> None:
        self.assertEqual(from_wire(to_wire(endpoint)), endpoint)

    @properties
    @given(st.binary(max_size=40), st.integers(-5, 70_000))
    def test_host_of_4_or_16_bytes_is_an_address_and_others_are_refused(self, host: bytes, port: int) -> None:
        wire = f.WireEndpoint(host, port)
        if len(host) in (4, 16) and 0 <= port <= 65535:
            self.assertEqual(from_wire(wire).port, port)
        else:
            self.assertRaises(WireError, from_wire, wire)

    def test_zone_is_not_sent(self) -> None:
        self.assertEqual(from_wire(to_wire(Endpoint.of("fe80::1%eth0", 5))), Endpoint("fe80::1", 5))

    def test_ipv4_address_wrapped_in_ipv6_is_unwrapped(self) -> None:
        wrapped = f.WireEndpoint(bytes(10) + b"\xff\xff\xc0\0\2\1", 9)
        self.assertEqual(from_wire(wrapped), Endpoint("192.0.2.1", 9))
