"""
HTTP for a proxy (RFC 9110 and 9112): CONNECT, and requests with a whole URL. Each connection has one request,
since the next one may be for another host.
"""

from __future__ import annotations

import re
from typing import Final

from .bodies import Body, ChunkedBody
from .handshakes import HandshakeStep, Wanted
from .hosts import HostProblem
from .pages import PAC_PATH, pac_answer, page

MAX_HEAD_BYTES: Final = 32 * 1024
_END: Final = b"\r\n\r\n"
_REQUEST: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) (\S{1,16000}) (HTTP/1\.[01])", re.ASCII)
_FIELD: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}):[ \t]*(.*?)[ \t]*", re.ASCII)
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.%]{2,80}\]|[^\s:/?#@\[\]]{1,255})(?::(\d{1,5}))?", re.ASCII)
_URL: Final = re.compile(r"http://([^/?#]*)([^#]*)(?:#.*)?", re.ASCII | re.IGNORECASE)
_OF_THIS_CONNECTION: Final = ("connection", "keep-alive", "te", "upgrade", "host")
_ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
_STATUS: Final = {
    HostProblem.FOREIGN: 403,
    HostProblem.UNKNOWN: 502,
    HostProblem.NOT_ALLOWED: 403,
    HostProblem.NOT_OFFERED: 502,
    HostProblem.UNREACHABLE: 502,
    HostProblem.FAILED: 502,
}


class BadRequest(Exception):
    """A request that is none; the text says why."""


class HttpHandshake:
    """
    One request.

    @ivar rest: the bytes behind its head.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._is_connect = False
        self.rest = b""

    def feed(self, data: bytes) -> HandshakeStep:
        """Take bytes."""
        # each byte is looked at once, however small the pieces are
        searched = max(0, len(self._held) - len(_END))
        self._held += data
        end = self._held.find(_END, searched)
        if end > MAX_HEAD_BYTES or (end < 0 and len(self._held) > MAX_HEAD_BYTES):
            problem = f"the head of the request is longer than {MAX_HEAD_BYTES} bytes"
            return HandshakeStep(page(431, problem), ends=True, problem=problem)
        if end < 0:
            return HandshakeStep()
        self.rest = bytes(self._held[end + len(_END) :])
        head = bytes(self._held[:end])
        self._held.clear()
        try:
            return self._read(head.decode("latin-1").split("\r\n"))
        except BadRequest as error:
            return HandshakeStep(page(400, str(error)), ends=True, problem=str(error))

    def _read(self, lines: list[str]) -> HandshakeStep:
        found = _REQUEST.fullmatch(lines[0])
        if found is None:
            raise BadRequest("this is no request of HTTP/1.1")
        method, target, version = found.groups()
        fields = _fields(lines[1:])
        if method == "CONNECT":
            self._is_connect = True
            host, port = _authority(target, None)
            return HandshakeStep(wanted=Wanted(host, port))
        if target.startswith("/"):
            if target == PAC_PATH and method in ("GET", "HEAD"):
                return HandshakeStep(pac_answer(_value(fields, "host")), ends=True)
            raise BadRequest(
                "this is a proxy for hosts that end with .crust: set it as the proxy of a program, with "
                f"SOCKS5 or HTTP, or give a browser {PAC_PATH} of here as its automatic configuration"
            )
        url = _URL.fullmatch(target)
        if url is None:
            raise BadRequest("this proxy takes http:// URLs, and CONNECT for everything else")
        host, port = _authority(url[1], 80)
        body = _body(fields)
        path = url[2] if url[2].startswith("/") else f"/{url[2]}"
        if method == "OPTIONS" and not url[2]:
            path = "*"
        # what concerns one hop goes no further (RFC 9110, section 7.6.1)
        drop = {*_OF_THIS_CONNECTION, *_listed(fields, "connection")}
        kept = [
            f"{name}: {value}"
            for name, value in fields
            if name.lower() not in drop and not name.lower().startswith("proxy-")
        ]
        head = [f"{method} {path} {version}", f"Host: {url[1]}", *kept, "Connection: close", "", ""]
        return HandshakeStep(wanted=Wanted(host, port, "\r\n".join(head).encode("latin-1"), body))

    def accepted(self) -> bytes:
        """What to say when the connection is there: of a request with a URL, the program there answers."""
        return _ESTABLISHED if self._is_connect else b""

    def refused(self, problem: HostProblem, text: str) -> bytes:
        """What to say when there is none."""
        return page(_STATUS[problem], text)


def _fields(lines: list[str]) -> list[tuple[str, str]]:
    fields = []
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None or any(each in line for each in "\r\n\0"):
            raise BadRequest("a line of the head is no header")
        fields.append((found[1], found[2]))
    return fields


def _authority(text: str, default: int | None) -> tuple[str, int]:
    found = _AUTHORITY.fullmatch(text)
    port = default if found is None or not found[2] else int(found[2])
    if found is None or port is None or not 1 <= port <= 65535:
        raise BadRequest("the host of the request is no HOST:PORT")
    return found[1], port


def _values(fields: list[tuple[str, str]], name: str) -> list[str]:
    return [value for each, value in fields if each.lower() == name]


def _value(fields: list[tuple[str, str]], name: str) -> str:
    values = _values(fields, name)
    return values[0] if values else ""


def _listed(fields: list[tuple[str, str]], name: str) -> list[str]:
    return [each.strip().lower() for value in _values(fields, name) for each in value.split(",")]


def _body(fields: list[tuple[str, str]]) -> Body:
    lengths, codings = set(_values(fields, "content-length")), _listed(fields, "transfer-encoding")
    # what two programs may read in two ways is how requests are smuggled
    if len(lengths) > 1 or (lengths and codings) or codings not in ([], ["chunked"]):
        raise BadRequest("where the body of the request ends is said in more than one way, or in none known")
    if codings:
        return ChunkedBody()
    length = next(iter(lengths), "0")
    if not (length.isascii() and length.isdigit() and len(length) <= 15):
        raise BadRequest("the length of the body is no number")
    return Body(int(length))
