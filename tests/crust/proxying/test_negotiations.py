"""Conversations with proxies, without I/O: right answers, refusals, nonsense, and any split of them."""

from __future__ import annotations

from base64 import b64encode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.proxying.negotiations import (
    MAX_ANSWER_BYTES,
    ProxyFailed,
    ProxyNegotiation,
    negotiation_with,
)
from routing_crust.hosts.proxies import Proxy

SECRET = "s3cr3t"
HTTP = Proxy.from_text("http://proxy:3128")
HTTP_LOGIN = Proxy.from_text(f"http://me:{SECRET}@proxy:3128")
SOCKS = Proxy.from_text("socks5h://proxy:1080")
SOCKS_LOGIN = Proxy.from_text(f"socks5h://me:{SECRET}@proxy:1080")
GOOD_SOCKS = b"\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
PIECES = st.lists(st.integers(1, 9), max_size=60)


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    found = []
    for size in sizes:
        found.append(data[:size])
        data = data[size:]
    return [each for each in (*found, data) if each]


class NegotiationTestCase(SynchronousTestCase):
    def problem(self, proxy: Proxy, answer: bytes) -> str:
        negotiation = negotiation_with(proxy, "8.8.8.8", 5483)
        negotiation.begin()
        with self.assertRaises(ProxyFailed) as raised:
            negotiation.feed(answer)
        text = str(raised.exception)
        self.assertIn(str(proxy), text)
        self.assertNotIn(SECRET, text)
        self.assertTrue(text.isprintable() and text.isascii())
        return text

    def feed(self, negotiation: ProxyNegotiation, data: list[bytes]) -> bytes:
        """What came after the proxy's last answer."""
        rest = b""
        for each in data:
            if negotiation.done:
                rest += each
            else:
                negotiation.feed(each)
                rest = negotiation.rest
        self.assertTrue(negotiation.done)
        return rest


class HttpConnectTests(NegotiationTestCase):
    def test_request_names_the_host_and_the_login(self) -> None:
        self.assertEqual(
            negotiation_with(HTTP, "home.example.org", 5483).begin(),
            b"CONNECT home.example.org:5483 HTTP/1.1\r\nHost: home.example.org:5483\r\n\r\n",
        )
        request = negotiation_with(HTTP_LOGIN, "2600::1", 443).begin()
        self.assertTrue(request.startswith(b"CONNECT [2600::1]:443 HTTP/1.1\r\n"))
        self.assertIn(b"Proxy-Authorization: Basic " + b64encode(f"me:{SECRET}".encode()) + b"\r\n", request)

    @given(st.binary(max_size=30), PIECES)
    def test_what_comes_after_the_answer_is_the_peers(self, after: bytes, sizes: list[int]) -> None:
        for head in (b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 100 Wait\r\n\r\nHTTP/1.1 204\nVia: x\n\n"):
            negotiation = negotiation_with(HTTP, "8.8.8.8", 1)
            self.assertEqual(self.feed(negotiation, pieces(head + after, sizes)), after)

    def test_refusal_shows_the_status(self) -> None:
        text = self.problem(HTTP, b"HTTP/1.1 403 Not \x1b[31m here\xff\r\nX: y\r\n\r\n")
        self.assertIn("refuses: 403 Not ?[31m here?", text)
        self.assertIn("refuses: 301", self.problem(HTTP, b"HTTP/1.1 301 Moved\r\n\r\n"))

    def test_login_that_is_asked_for_says_what_to_write(self) -> None:
        basic = b"HTTP/1.1 407 Login\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Basic realm=x\r\n\r\n"
        self.assertIn("http://USER:PASSWORD@proxy:3128 (407 Login)", self.problem(HTTP, basic))
        self.assertIn("does not accept the user and password", self.problem(HTTP_LOGIN, basic))
        tinyproxy = b"HTTP/1.1 401 Unauthorized\r\n\r\n"
        self.assertIn("does not accept the user and password", self.problem(HTTP_LOGIN, tinyproxy))
        ntlm = b"HTTP/1.1 407 Login\r\nproxy-authenticate: NTLM\r\n\r\n"
        self.assertIn("login by NTLM, and only Basic", self.problem(HTTP, ntlm))

    def test_what_is_no_http_is_told_at_once(self) -> None:
        for answer in (
            b"\x05\xff",
            b"SSH-2.0-x\r\n",
            b"HTTP/1.1 OK\r\n\r\n",
            b"HTTP/1.1 99\r\n\r\n",
            b"HTTP/2",
        ):
            self.assertIn("does not speak HTTP", self.problem(HTTP, answer))

    def test_answer_without_an_end_is_bounded(self) -> None:
        self.assertIn(
            "without an end", self.problem(HTTP, b"HTTP/1.1 200 OK\r\nX: " + b"y" * MAX_ANSWER_BYTES)
        )

    @given(st.binary(max_size=200), PIECES)
    def test_any_answer_is_taken_or_refused(self, answer: bytes, sizes: list[int]) -> None:
        for begin in (b"", b"HTTP/1.1 ", b"HTTP/1.1 200 "):
            feed_anything(negotiation_with(HTTP, "8.8.8.8", 1), pieces(begin + answer, sizes))


class Socks5Tests(NegotiationTestCase):
    def test_connection_needs_no_login_where_none_is_asked_for(self) -> None:
        negotiation = negotiation_with(SOCKS, "home.example.org", 5483)
        self.assertEqual(negotiation.begin(), b"\x05\x01\x00")
        self.assertEqual(
            negotiation.feed(b"\x05\x00"), b"\x05\x01\x00\x03\x10home.example.org" + (5483).to_bytes(2, "big")
        )
        self.assertEqual(negotiation.feed(b"\x05\x00\x00\x03\x01x\x00\x50later"), b"")
        self.assertEqual((negotiation.done, negotiation.rest), (True, b"later"))

    def test_login_is_given_where_it_is_asked_for(self) -> None:
        negotiation = negotiation_with(SOCKS_LOGIN, "8.8.8.8", 80)
        self.assertEqual(negotiation.begin(), b"\x05\x02\x00\x02")
        self.assertEqual(negotiation.feed(b"\x05\x02"), b"\x01\x02me\x06" + SECRET.encode())
        self.assertEqual(negotiation.feed(b"\x01\x00"), b"\x05\x01\x00\x01\x08\x08\x08\x08\x00\x50")
        negotiation.feed(b"\x05\x00\x00\x04" + bytes(18))
        self.assertTrue(negotiation.done)

    def test_socks_is_told_an_ipv6_address_as_such(self) -> None:
        negotiation = negotiation_with(SOCKS, "2600::1", 1)
        negotiation.begin()
        self.assertEqual(negotiation.feed(b"\x05\x00")[:6], b"\x05\x01\x00\x04\x26\x00")

    @given(st.binary(max_size=30), PIECES)
    def test_what_comes_after_the_answer_is_the_peers(self, after: bytes, sizes: list[int]) -> None:
        negotiation = negotiation_with(SOCKS, "8.8.8.8", 1)
        self.assertEqual(self.feed(negotiation, pieces(GOOD_SOCKS + after, sizes)), after)

    def test_refusals_say_why(self) -> None:
        for proxy, answer, problem in (
            (
                SOCKS,
                b"\x05\xff",
                "wants a login: write it into the setting proxy, as socks5h://USER:PASSWORD@",
            ),
            (SOCKS, b"\x05\x02", "wants a login"),
            (SOCKS_LOGIN, b"\x05\xff", "takes no login"),
            (SOCKS_LOGIN, b"\x05\x02\x01\x01", "does not accept the user and password"),
            (SOCKS, b"\x05\x00\x05\x02", "refuses: its rules do not allow it"),
            (SOCKS, b"\x05\x00\x05\x05", "refuses: connection refused"),
            (SOCKS, b"\x05\x00\x05\x63", "refuses: reply 99"),
            (SOCKS, b"\x05\x00\x05\x00\x00\x02\x00", "makes no sense"),
            (SOCKS, b"HTTP/1.1 400 Bad", "does not speak SOCKS5"),
        ):
            self.assertIn(problem, self.problem(proxy, answer))

    @given(st.binary(max_size=200), PIECES)
    def test_any_answer_is_taken_or_refused(self, answer: bytes, sizes: list[int]) -> None:
        for begin in (b"", b"\x05\x00", b"\x05\x00\x05\x00\x00"):
            for proxy in (SOCKS, SOCKS_LOGIN):
                feed_anything(negotiation_with(proxy, "8.8.8.8", 1), pieces(begin + answer, sizes))


def feed_anything(negotiation: ProxyNegotiation, data: list[bytes]) -> None:
    negotiation.begin()
    try:
        for each in data:
            if not negotiation.done:
                negotiation.feed(each)
    except ProxyFailed as error:
        text = str(error)
        if not (text.isascii() and text.isprintable()):
            raise AssertionError(repr(text)) from None
