"""
What is said to a proxy until it has made a connection, without I/O::

    HTTP    CONNECT host:port   ->  200
    SOCKS5  methods  ->  method  [->  user, password  ->  accepted]  ->  CONNECT host port  ->  succeeded

A proxy's answers are a stranger's: they are bounded, and what is shown of them is made safe.
"""

from __future__ import annotations

import re
from base64 import b64encode
from ipaddress import ip_address
from typing import Final, Protocol

from ...errors import RoutingCrustError
from ...hosts.host_names import is_like_address
from ...hosts.proxies import Proxy, ProxyKind

MAX_ANSWER_BYTES: Final = 16 * 1024
"""The head of an HTTP answer."""
MAX_SHOWN_CHARACTERS: Final = 100
_STATUS: Final = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: ([^\r\n]*))?\r?")
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
# tinyproxy answers 401 where it does not accept a login
_LOGIN_WANTED: Final = (401, 407)
_SOCKS_REFUSALS: Final = {
    1: "general failure",
    2: "its rules do not allow it",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "time to live exceeded",
    7: "it does not make connections",
    8: "it does not know this kind of address",
}


class ProxyFailed(RoutingCrustError):
    """A proxy has not made a connection; the text names it, and says why."""


class ProxyNegotiation(Protocol):
    """
    One conversation with a proxy.

    @ivar done: whether the connection is there.
    @ivar rest: what came after the proxy's last answer: it is the peer's.
    """

    done: bool
    rest: bytes

    def begin(self) -> bytes:
        """What is sent first."""

    def feed(self, data: bytes) -> bytes:
        """
        Take what has come.

        @return: what is to be sent.
        @raise ProxyFailed: the proxy refuses, or does not speak its protocol.
        """


def negotiation_with(proxy: Proxy, host: str, port: int) -> ProxyNegotiation:
    """How a proxy is asked for a connection to an address or a host name."""
    return HttpConnect(proxy, host, port) if proxy.kind is ProxyKind.HTTP else Socks5(proxy, host, port)


class HttpConnect:
    """CONNECT, by HTTP/1.1."""

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        self._proxy = proxy
        self._where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._came = b""
        self.done = False
        self.rest = b""

    def begin(self) -> bytes:
        lines = [f"CONNECT {self._where} HTTP/1.1", f"Host: {self._where}"]
        if self._proxy.user:
            login = f"{self._proxy.user}:{self._proxy.password}".encode()
            lines.append(f"Proxy-Authorization: Basic {b64encode(login).decode()}")
        return "".join(f"{each}\r\n" for each in (*lines, "")).encode("ascii")

    def feed(self, data: bytes) -> bytes:
        self._came += data
        while not self.done:
            # at the first byte: a proxy of another kind might never send the end of a head
            self._check_beginning()
            end = _HEAD_END.search(self._came)
            if end is None or end.end() > MAX_ANSWER_BYTES:
                if len(self._came) > MAX_ANSWER_BYTES:
                    raise ProxyFailed(f"the proxy {self._proxy} sends an answer without an end")
                return b""
            head, self._came = self._came[: end.start()], self._came[end.end() :]
            self._judge(head)
        self.rest, self._came = self._came, b""
        return b""

    def _check_beginning(self) -> None:
        begin = b"HTTP/1."
        if self._came[: len(begin)] != begin[: len(self._came)]:
            raise self._no_http()

    def _no_http(self) -> ProxyFailed:
        return ProxyFailed(f"the proxy {self._proxy} does not speak HTTP: see whether it is a SOCKS proxy")

    def _judge(self, head: bytes) -> None:
        line, _, fields = head.partition(b"\n")
        status = _STATUS.fullmatch(line)
        if status is None:
            raise self._no_http()
        code = int(status[1])
        if code == 101 or code >= 300:
            told = f"{code} {_shown(status[2] or b'')}".strip()
            problem = (
                self._login(told, fields)
                if code in _LOGIN_WANTED
                else f"the proxy {self._proxy} refuses: {told}"
            )
            raise ProxyFailed(problem)
        # what is below 200 only announces the answer
        self.done = code >= 200

    def _login(self, told: str, fields: bytes) -> str:
        ways = re.findall(rb"(?im)^proxy-authenticate:[ \t]*([A-Za-z0-9-]+)", fields)
        if ways and all(each.lower() != b"basic" for each in ways):
            known = ", ".join(_shown(each) for each in ways[:4])
            return f"the proxy {self._proxy} wants a login by {known}, and only Basic is spoken here ({told})"
        if self._proxy.user:
            return f"{_login_refused(self._proxy)} ({told})"
        return f"{_login_wanted(self._proxy)} ({told})"


class Socks5:
    """SOCKS version 5, with a login by user and password if there is one."""

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        self._proxy = proxy
        self._host = host
        self._port = port
        self._came = b""
        self._expect = self._method_came
        self.done = False
        self.rest = b""

    def begin(self) -> bytes:
        return b"\x05\x02\x00\x02" if self._proxy.user else b"\x05\x01\x00"

    def feed(self, data: bytes) -> bytes:
        self._came += data
        answer = b""
        while not self.done:
            said = self._expect()
            if said is None:
                return answer
            answer += said
        self.rest, self._came = self._came, b""
        return answer

    def _take(self, count: int) -> bytes | None:
        if len(self._came) < count:
            return None
        taken, self._came = self._came[:count], self._came[count:]
        return taken

    def _check_version(self, version: int) -> None:
        if self._came[:1] not in (b"", bytes([version])):
            raise ProxyFailed(
                f"the proxy {self._proxy} does not speak SOCKS5: see whether it is an HTTP proxy"
            )

    def _method_came(self) -> bytes | None:
        self._check_version(5)
        answer = self._take(2)
        if answer is None:
            return None
        if answer[1] == 0:
            self._expect = self._reply_came
            return self._request()
        if answer[1] == 2 and self._proxy.user:
            self._expect = self._login_came
            user, password = self._proxy.user.encode(), self._proxy.password.encode()
            return b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password
        if self._proxy.user:
            raise ProxyFailed(f"the proxy {self._proxy} takes no login by user and password")
        raise ProxyFailed(_login_wanted(self._proxy))

    def _login_came(self) -> bytes | None:
        self._check_version(1)
        answer = self._take(2)
        if answer is None:
            return None
        if answer[1] != 0:
            raise ProxyFailed(_login_refused(self._proxy))
        self._expect = self._reply_came
        return self._request()

    def _request(self) -> bytes:
        if is_like_address(self._host):
            packed = ip_address(self._host.partition("%")[0]).packed
            where = (b"\x01" if len(packed) == 4 else b"\x04") + packed
        else:
            name = self._host.encode("ascii")
            where = b"\x03" + bytes([len(name)]) + name
        return b"\x05\x01\x00" + where + self._port.to_bytes(2, "big")

    def _reply_came(self) -> bytes | None:
        self._check_version(5)
        # before the reply is complete: not every proxy sends an address with a refusal
        if len(self._came) > 1 and self._came[1] != 0:
            reply = self._came[1]
            why = _SOCKS_REFUSALS.get(reply, f"reply {reply}")
            raise ProxyFailed(f"the proxy {self._proxy} refuses: {why}")
        if len(self._came) < 5:
            return None
        # a host name begins with its length
        sizes = {1: 4, 3: 1 + self._came[4], 4: 16}
        if self._came[3] not in sizes:
            raise ProxyFailed(f"the proxy {self._proxy} answers what makes no sense")
        if self._take(4 + sizes[self._came[3]] + 2) is None:
            return None
        self.done = True
        return b""


def _login_wanted(proxy: Proxy) -> str:
    example = str(proxy).replace("//", "//USER:PASSWORD@", 1)
    return f"the proxy {proxy} wants a login: write it into the setting proxy, as {example}"


def _login_refused(proxy: Proxy) -> str:
    return f"the proxy {proxy} does not accept the user and password of the setting proxy"


def _shown(text: bytes) -> str:
    """What a proxy says, as far as it can be shown on a terminal and in a log."""
    plain = "".join(each if each.isascii() and each.isprintable() else "?" for each in text.decode("latin-1"))
    return plain[:MAX_SHOWN_CHARACTERS].strip()
