"""What programs say to a proxy, byte by byte: SOCKS5, CONNECT, and requests with a whole URL."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.proxy.bodies import BadBody, Body, ChunkedBody
from routing_crust.daemon.proxy.handshakes import HandshakeStep, ProxyHandshake, Wanted
from routing_crust.daemon.proxy.hosts import HostProblem
from routing_crust.daemon.proxy.requests import MAX_HEAD_BYTES, HttpHandshake
from routing_crust.daemon.proxy.socks import SocksHandshake

GREETING = b"\x05\x01\x00"


def asked(host: bytes, port: int = 80, command: int = 1) -> bytes:
    return bytes([5, command, 0, 3, len(host)]) + host + port.to_bytes(2, "big")


def fed(handshake: ProxyHandshake, data: bytes, size: int) -> tuple[bytes, HandshakeStep]:
    """All replies, and the last step."""
    replies = b""
    for at in range(0, len(data), size):
        step = handshake.feed(data[at : at + size])
        replies += step.reply
        if step.ends or step.wanted is not None:
            return replies, step
    return replies, step


class SocksTests(SynchronousTestCase):
    def test_host_is_asked_for_however_the_bytes_come(self) -> None:
        for size in (1, 2, 3, 5, 1000):
            handshake = SocksHandshake()
            replies, step = fed(handshake, GREETING + asked(b"home.crust", 443), size)
            self.assertEqual((replies, step.wanted), (b"\x05\x00", Wanted("home.crust", 443)))
        self.assertEqual(handshake.accepted(), b"\x05\0\0\1" + bytes(6))

    def test_bytes_behind_the_request_are_kept(self) -> None:
        handshake = SocksHandshake()
        handshake.feed(GREETING + asked(b"home.crust") + b"early")
        self.assertEqual(handshake.rest, b"early")

    def test_who_insists_on_a_password_is_refused(self) -> None:
        step = SocksHandshake().feed(b"\x05\x01\x02")
        self.assertEqual((step.reply, step.ends), (b"\x05\xff", True))
        self.assertEqual(SocksHandshake().feed(b"\x05\x02\x02\x00"), HandshakeStep(b"\x05\x00"))

    def test_addresses_and_what_is_no_host_are_refused(self) -> None:
        ipv4, ipv6 = b"\x05\1\0\1\x7f\0\0\1\0\x50", b"\x05\1\0\4" + bytes(16) + b"\0\x50"
        for request in (ipv4, ipv6, asked(b"caf\xe9.crust"), asked(b"home.crust", 0)):
            handshake = SocksHandshake()
            handshake.feed(GREETING)
            step = handshake.feed(request)
            self.assertEqual((step.reply[1], step.ends), (2, True))

    def test_other_commands_kinds_and_versions_are_refused(self) -> None:
        for request, code in ((asked(b"h.crust", command=2), 7), (asked(b"h.crust", command=3), 7)):
            handshake = SocksHandshake()
            handshake.feed(GREETING)
            self.assertEqual(handshake.feed(request).reply[1], code)
        handshake = SocksHandshake()
        handshake.feed(GREETING)
        self.assertEqual(handshake.feed(b"\x05\1\0\x09\0").reply[1], 8)
        self.assertEqual(SocksHandshake().feed(b"\x04\1\0\x50\0\0\0\1\0h\0").reply[:2], b"\x00\x5b")

    def test_each_problem_has_a_code(self) -> None:
        codes = {each: SocksHandshake().refused(each, "why")[1] for each in HostProblem}
        self.assertEqual((codes[HostProblem.FOREIGN], codes[HostProblem.UNKNOWN]), (2, 4))
        self.assertEqual((codes[HostProblem.NOT_OFFERED], codes[HostProblem.NOT_ALLOWED]), (5, 2))

    @given(st.lists(st.binary(max_size=300), max_size=6))
    def test_any_bytes_end_in_a_request_a_refusal_or_a_short_wait(self, pieces: list[bytes]) -> None:
        handshake = SocksHandshake()
        for piece in pieces:
            step = handshake.feed(piece)
            if step.ends or step.wanted is not None:
                return
            self.assertLess(len(handshake.rest), 600)


class HttpTests(SynchronousTestCase):
    def wanted(self, text: str, size: int = 1000) -> Wanted:
        _, step = fed(HttpHandshake(), text.replace("\n", "\r\n").encode("latin-1"), size)
        assert step.wanted is not None, step
        return step.wanted

    def status(self, text: str) -> int:
        _, step = fed(HttpHandshake(), text.replace("\n", "\r\n").encode("latin-1"), 1000)
        self.assertTrue(step.ends)
        return int(step.reply.split(b" ", 2)[1])

    def test_connect_names_a_host_and_a_port(self) -> None:
        for size in (1, 7, 1000):
            wanted = self.wanted("CONNECT home.crust:443 HTTP/1.1\nHost: home.crust:443\n\n", size)
            self.assertEqual(wanted, Wanted("home.crust", 443))

    def test_request_is_for_the_program_alone(self) -> None:
        """The path for the whole URL, the host of the URL, and nothing that was said to the proxy."""
        wanted = self.wanted(
            "GET http://home.crust:8080/a?b=c HTTP/1.1\nHost: other\nProxy-Authorization: Basic eDp5\n"
            "Connection: keep-alive, X-Mine\nX-Mine: secret\nUpgrade: h2c\nCookie: a=b\n\n"
        )
        self.assertEqual((wanted.host, wanted.port), ("home.crust", 8080))
        self.assertEqual(
            wanted.head,
            b"GET /a?b=c HTTP/1.1\r\nHost: home.crust:8080\r\nCookie: a=b\r\nConnection: close\r\n\r\n",
        )
        self.assertIn(b"GET / HTTP/1.0\r\n", self.wanted("GET http://home.crust HTTP/1.0\n\n").head)
        self.assertIn(b"GET /?a HTTP/1.1\r\n", self.wanted("GET http://home.crust?a#b HTTP/1.1\n\n").head)
        self.assertIn(b"OPTIONS * HTTP/1.1\r\n", self.wanted("OPTIONS http://home.crust HTTP/1.1\n\n").head)

    def test_what_is_no_request_to_a_proxy_is_refused(self) -> None:
        for text in (
            "nonsense\n\n",
            "GET / HTTP/1.1\nHost: 127.0.0.1:1080\n\n",
            "GET https://home.crust/ HTTP/1.1\n\n",
            "GET http://user@home.crust/ HTTP/1.1\n\n",
            "GET http://home.crust:0/ HTTP/1.1\n\n",
            "GET http:///path HTTP/1.1\n\n",
            "CONNECT home.crust HTTP/1.1\n\n",
            "GET http://home.crust/ HTTP/1.1\nno header\n\n",
            "GET http://home.crust/ HTTP/1.1\nA: b\n folded: c\n\n",
            "GET http://home.crust/ HTTP/1.1\nA: b\rX: c\n\n",
            "GET http://home.crust/ HTTP/2.0\n\n",
        ):
            self.assertEqual(self.status(text), 400, text)

    def test_requests_whose_end_can_be_read_in_two_ways_are_refused(self) -> None:
        head = "POST http://home.crust/ HTTP/1.1\n"
        for fields in (
            "Content-Length: 3\nTransfer-Encoding: chunked\n",
            "Content-Length: 3\nContent-Length: 4\n",
            "Transfer-Encoding: gzip, chunked\n",
            "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n",
            "Content-Length: +3\n",
            "Content-Length: 3, 3\n",
        ):
            self.assertEqual(self.status(f"{head}{fields}\n"), 400, fields)

    def test_head_without_an_end_is_refused(self) -> None:
        handshake = HttpHandshake()
        self.assertEqual(handshake.feed(b"GET http://home.crust/" + bytes(1000)), HandshakeStep())
        self.assertTrue(handshake.feed(bytes(MAX_HEAD_BYTES)).reply.startswith(b"HTTP/1.1 431 "))

    def test_browser_gets_its_configuration(self) -> None:
        step = HttpHandshake().feed(b"GET /proxy.pac HTTP/1.1\r\nHost: 127.0.0.1:1080\r\n\r\n")
        self.assertIn(b'dnsDomainIs(host, ".crust") ? "PROXY 127.0.0.1:1080" : "DIRECT"', step.reply)
        for host in ("", '"; alert(1)//', "a b"):
            step = HttpHandshake().feed(f"GET /proxy.pac HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            self.assertTrue(step.reply.startswith(b"HTTP/1.1 400 "))

    def test_refusals_are_pages_without_markup_of_others(self) -> None:
        answer = HttpHandshake().refused(HostProblem.FOREIGN, "<b>x</b> is not of this network")
        self.assertTrue(answer.startswith(b"HTTP/1.1 403 Forbidden\r\n"))
        self.assertIn(b"&lt;b&gt;x&lt;/b&gt; is not", answer)
        for problem, status in ((HostProblem.UNKNOWN, b"502"), (HostProblem.NOT_ALLOWED, b"403")):
            self.assertEqual(HttpHandshake().refused(problem, "why")[9:12], status)

    @given(
        st.lists(st.one_of(st.binary(max_size=200), st.sampled_from([b"\r\n\r\n", b"CONNECT a:1 HTTP/1.1"])))
    )
    def test_any_bytes_end_in_a_request_a_refusal_or_a_wait(self, pieces: list[bytes]) -> None:
        handshake = HttpHandshake()
        for piece in pieces:
            step = handshake.feed(piece)
            if step.ends or step.wanted is not None:
                return
            self.assertLessEqual(len(handshake._held), MAX_HEAD_BYTES)


class BodyTests(SynchronousTestCase):
    def test_body_of_a_length_ends_there(self) -> None:
        body = Body(5)
        self.assertEqual([body.take(b"abc"), body.take(b"defg"), body.take(b"x")], [3, 2, 0])
        self.assertTrue(body.is_over and Body(0).is_over)

    def test_chunked_body_ends_after_its_trailer(self) -> None:
        wire = b"3;x=y\r\nabc\r\n1A\r\n" + bytes(26) + b"\r\n0\r\nT: v\r\n\r\n"
        for size in (1, 2, 5, 1000):
            body, taken = ChunkedBody(), 0
            data = wire + b"GET /"
            for at in range(0, len(data), size):
                taken += body.take(data[at : at + size])
            self.assertEqual((taken, body.is_over), (len(wire), True))

    def test_what_is_no_chunk_is_an_error(self) -> None:
        for wire in (
            b"x\r\n",
            b"\r\n",
            b"-1\r\n",
            b"3\nabc",
            b"3\r\nabcd\r\n",
            b"1" * 2000,
            b"0\r\n" + b"T: v\r\n" * 2000,
            b"f" * 16 + b"\r\n",
        ):
            self.assertRaises(BadBody, ChunkedBody().take, wire)

    @given(st.lists(st.binary(max_size=100)))
    def test_any_bytes_are_chunks_or_an_error_and_little_is_kept(self, pieces: list[bytes]) -> None:
        body = ChunkedBody()
        for piece in pieces:
            try:
                self.assertLessEqual(body.take(piece), len(piece))
            except BadBody:
                return
            self.assertLessEqual(len(body._line), 1024)
