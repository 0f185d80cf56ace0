"""The words of NAT-PMP: each against the RFC's layout, and garbage."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.mapping.natpmp import (
    AddressReply,
    MappingRefusal,
    MappingReply,
    NatPmpResult,
    Operation,
    address_request,
    answers,
    has_forgotten,
    mapping_request,
    read_reply,
)

ADDRESS = bytes.fromhex("0080 0000 0000003c 0505050b")
MAPPING = bytes.fromhex("0082 0000 0000003d 156b 1f90 00001c20")


class RequestTests(SynchronousTestCase):
    def test_requests_are_laid_out_as_in_rfc_6886(self) -> None:
        self.assertEqual(address_request(), b"\0\0")
        self.assertEqual(mapping_request(5483, 8080, 7200), bytes.fromhex("0002 0000 156b 1f90 00001c20"))


class ReplyTests(SynchronousTestCase):
    def test_replies_are_read_as_in_rfc_6886(self) -> None:
        self.assertEqual(read_reply(ADDRESS), AddressReply(60, IPv4Address("5.5.5.11")))
        self.assertEqual(read_reply(MAPPING), MappingReply(61, 5483, 8080, 7200))

    def test_bytes_after_a_reply_are_ignored(self) -> None:
        """A later version may append fields."""
        self.assertEqual(read_reply(ADDRESS + b"more"), read_reply(ADDRESS))

    def test_short_datagram_is_no_reply(self) -> None:
        for whole in (ADDRESS, MAPPING):
            for length in range(len(whole)):
                self.assertIsNone(read_reply(whole[:length]))

    def test_requests_and_other_opcodes_are_no_replies(self) -> None:
        """Requests, UDP mappings and other opcodes are no replies."""
        for code in (0x00, 0x02, 0x81, 0x83, 0xFF):
            self.assertIsNone(read_reply(bytes([0, code]) + bytes(14)))

    def test_every_refusal_has_its_own_text(self) -> None:
        """A refusal may consist of the header alone."""
        texts = set()
        for result in NatPmpResult:
            refusal = read_reply(bytes([0, 0x82, 0, result]))
            self.assertEqual(refusal, MappingRefusal(Operation.MAP_TCP, result))
            assert isinstance(refusal, MappingRefusal)
            texts.add(refusal.text)
        self.assertEqual(len(texts), len(NatPmpResult))
        self.assertEqual(MappingRefusal(Operation.MAP_TCP, 77).text, "the router gave the result 77")

    def test_router_that_only_speaks_pcp_refuses_the_version(self) -> None:
        datagram = bytes.fromhex("0280 0001 00000000 0000003c") + bytes(12)
        self.assertEqual(
            read_reply(datagram), MappingRefusal(Operation.ADDRESS, NatPmpResult.UNSUPPORTED_VERSION)
        )

    @given(st.binary(max_size=40) | st.builds(lambda tail: b"\0\x80\0\0" + tail, st.binary(max_size=20)))
    @example(b"\0\x82\0\0" + bytes(12))
    def test_reading_arbitrary_bytes_never_raises(self, datagram: bytes) -> None:
        reply = read_reply(datagram)
        if reply is None:
            return
        self.assertEqual(reply.operation | 0x80, datagram[1])
        answers(reply, address_request())

    @given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF))
    def test_reply_answers_only_its_own_request(self, local: int, external: int, seconds: int) -> None:
        request = mapping_request(local, external, seconds)
        reply = read_reply(b"\0\x82" + request[2:4] + bytes(4) + request[4:])
        self.assertEqual(reply, MappingReply(0, local, external, seconds))
        assert reply is not None
        self.assertTrue(answers(reply, request))
        self.assertFalse(answers(reply, mapping_request(local ^ 1, external, seconds)))
        self.assertFalse(answers(reply, address_request()))


class AnswerTests(SynchronousTestCase):
    def test_each_kind_of_reply_is_read(self) -> None:
        address, refusal = AddressReply(1, IPv4Address("5.5.5.11")), MappingRefusal(Operation.MAP_TCP, 2)
        mapping = mapping_request(5483, 5483, 7200)
        self.assertTrue(answers(address, address_request()))
        self.assertFalse(answers(address, mapping))
        self.assertTrue(answers(refusal, mapping))
        self.assertFalse(answers(refusal, address_request()))


class EpochTests(SynchronousTestCase):
    def test_routers_clock_may_be_an_eighth_and_two_seconds_behind(self) -> None:
        """It may also be ahead."""
        for now, forgotten in ((1000, False), (5000, False), (968, True), (969, False), (0, True)):
            self.assertIs(has_forgotten(900, 81, now), forgotten, now)

    def test_our_clock_set_back_does_not_mean_a_restart(self) -> None:
        self.assertFalse(has_forgotten(900, -500, 900))
