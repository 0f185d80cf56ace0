"""The words of PCP: each against the layout of RFC 6887, and what a hostile host could answer."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.mapping.pcp import (
    MAX_LIFETIME_SECONDS,
    MapReply,
    MapRequest,
    PcpRefusal,
    PcpResult,
    read_reply,
)

NONCE = bytes(range(12))
REQUEST = MapRequest(IPv4Address("192.168.1.5"), NONCE, 5483, 8080, 7200)
REQUEST_V6 = MapRequest(IPv6Address("2a00:77::10"), NONCE, 5483, 5483, 7200)
BODY = bytes.fromhex("000102030405060708090a0b 06000000 156b 1f90 00000000000000000000ffff 0505050b")
REPLY = bytes.fromhex("0281 0000 00001c20 0000003c") + bytes(12) + BODY


class RequestTests(SynchronousTestCase):
    def test_request_is_laid_out_as_in_rfc_6887(self) -> None:
        self.assertEqual(
            REQUEST.datagram,
            bytes.fromhex("0201 0000 00001c20 00000000000000000000ffff c0a80105")
            + bytes.fromhex("000102030405060708090a0b 06000000 156b 1f90 00000000000000000000ffff 00000000"),
        )

    def test_request_for_ipv6_has_whole_addresses(self) -> None:
        self.assertEqual(REQUEST_V6.datagram[8:24], IPv6Address("2a00:77::10").packed)
        self.assertEqual(REQUEST_V6.datagram[-16:], bytes(16))


class ReplyTests(SynchronousTestCase):
    def test_reply_is_read_as_in_rfc_6887(self) -> None:
        self.assertEqual(read_reply(REPLY, REQUEST), MapReply(IPv4Address("5.5.5.11"), 8080, 7200))
        v6 = REPLY[:-16] + IPv6Address("2a00:77::10").packed
        self.assertEqual(read_reply(v6, REQUEST_V6), MapReply(IPv6Address("2a00:77::10"), 8080, 7200))

    def test_options_after_a_reply_are_ignored(self) -> None:
        self.assertEqual(read_reply(REPLY + bytes(8), REQUEST), read_reply(REPLY, REQUEST))

    def test_short_and_long_datagrams_are_no_replies(self) -> None:
        for length in range(len(REPLY)):
            self.assertIsNone(read_reply(REPLY[:length], REQUEST))
        self.assertIsNone(read_reply(REPLY + b"\0", REQUEST))
        self.assertIsNone(read_reply(REPLY + bytes(1100), REQUEST))

    def test_reply_with_another_nonce_protocol_or_port_is_none(self) -> None:
        """Nor is a refusal: else any host could keep us from a mapping."""
        for place in (0, 1, 24, 35, 36, 40, 41):
            for result in (b"\0", b"\2"):
                wrong = bytearray(REPLY[:3] + result + REPLY[4:])
                wrong[place] ^= 1
                self.assertIsNone(read_reply(bytes(wrong), REQUEST), place)

    def test_every_refusal_is_told_in_words(self) -> None:
        for result in PcpResult:
            self.assertEqual(read_reply(REPLY[:3] + bytes([result]) + REPLY[4:], REQUEST), PcpRefusal(result))
        self.assertEqual(PcpRefusal(PcpResult.NO_RESOURCES).text, "the router cannot map any more ports")
        self.assertEqual(PcpRefusal(77).text, "the router gave the result 77")

    def test_router_that_only_speaks_nat_pmp_refuses_the_version(self) -> None:
        for answer in ("0081 0001 0000003c", "0080 0001 0000003c 00000000"):
            refusal = read_reply(bytes.fromhex(answer), REQUEST)
            self.assertEqual(refusal, PcpRefusal(PcpResult.UNSUPPORTED_VERSION))
        self.assertIsNone(read_reply(bytes.fromhex("0080 0000 0000003c 0505050b"), REQUEST))

    def test_lifetime_of_years_is_taken_for_a_day(self) -> None:
        reply = read_reply(REPLY[:4] + b"\xff" * 4 + REPLY[8:], REQUEST)
        assert isinstance(reply, MapReply)
        self.assertEqual(reply.lifetime, MAX_LIFETIME_SECONDS)

    @given(st.binary(max_size=80) | st.builds(lambda tail: REPLY[:2] + tail, st.binary(max_size=70)))
    @example(REPLY[:24] + bytes(36))
    def test_reading_arbitrary_bytes_never_raises(self, datagram: bytes) -> None:
        reply = read_reply(datagram, REQUEST)
        if isinstance(reply, MapReply):
            self.assertEqual(datagram[24:36], NONCE)
