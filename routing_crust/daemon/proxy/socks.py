"""
SOCKS5 (RFC 1928), the part that a proxy of this kind has: CONNECT to a host by name, without authentication.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Final

from .handshakes import HandshakeStep, Wanted
from .hosts import HostProblem

VERSION: Final = 5
VERSION_4: Final = 4
NO_AUTHENTICATION: Final = 0
_NO_METHOD: Final = b"\x05\xff"
_CONNECT: Final = 1
_IPV4: Final = 1
_HOST: Final = 3
_IPV6: Final = 4
_ADDRESS_BYTES: Final = {_IPV4: 4, _IPV6: 16}
_REFUSED_4: Final = b"\x00\x5b" + bytes(6)
_GENERAL: Final = 1
_NOT_ALLOWED: Final = 2
_HOST_UNREACHABLE: Final = 4
_REFUSED: Final = 5
_NO_SUCH_COMMAND: Final = 7
_NO_SUCH_ADDRESS: Final = 8
_CODES: Final = {
    HostProblem.FOREIGN: _NOT_ALLOWED,
    HostProblem.UNKNOWN: _HOST_UNREACHABLE,
    HostProblem.NOT_ALLOWED: _NOT_ALLOWED,
    HostProblem.NOT_OFFERED: _REFUSED,
    HostProblem.UNREACHABLE: _HOST_UNREACHABLE,
    HostProblem.FAILED: _GENERAL,
}


class SocksHandshake:
    """Greeting, choice of a method, request. It keeps less than 600 bytes until the request is there."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._is_greeted = False

    @property
    def rest(self) -> bytes:
        """The bytes behind the request."""
        return bytes(self._held)

    def feed(self, data: bytes) -> HandshakeStep:
        """Take bytes."""
        self._held += data
        if self._held[:1] == bytes([VERSION_4]):
            return HandshakeStep(_REFUSED_4, ends=True, problem="it speaks SOCKS4, not SOCKS5")
        if self._held and self._held[0] != VERSION:
            return HandshakeStep(ends=True, problem="it changed from SOCKS5 to something else")
        if self._is_greeted:
            return self._request()
        if len(self._held) < 2 or len(self._held) < 2 + self._held[1]:
            return HandshakeStep()
        methods = self._held[2 : 2 + self._held[1]]
        del self._held[: 2 + self._held[1]]
        if NO_AUTHENTICATION not in methods:
            return HandshakeStep(_NO_METHOD, ends=True, problem="it insists on a password")
        self._is_greeted = True
        # some send their request without waiting for the answer
        step = self.feed(b"") if self._held else HandshakeStep()
        return replace(step, reply=bytes([VERSION, NO_AUTHENTICATION]) + step.reply)

    def _request(self) -> HandshakeStep:
        held = self._held
        if len(held) < 5:
            return HandshakeStep()
        command, kind = held[1], held[3]
        if kind not in (_HOST, *_ADDRESS_BYTES):
            return HandshakeStep(
                _reply(_NO_SUCH_ADDRESS), ends=True, problem="it asks for an unknown kind of address"
            )
        begin = 5 if kind == _HOST else 4
        end = begin + (held[4] if kind == _HOST else _ADDRESS_BYTES[kind])
        if len(held) < end + 2:
            return HandshakeStep()
        raw = bytes(held[begin:end])
        port: int = struct.unpack_from(">H", held, end)[0]
        del held[: end + 2]
        if command != _CONNECT:
            return HandshakeStep(
                _reply(_NO_SUCH_COMMAND), ends=True, problem="it asks for something other than CONNECT"
            )
        if kind != _HOST or not raw.isascii() or not port:
            problem = "it asks for an address, or for what no host is called"
            return HandshakeStep(_reply(_NOT_ALLOWED), ends=True, problem=problem)
        return HandshakeStep(wanted=Wanted(raw.decode("ascii"), port))

    def accepted(self) -> bytes:
        """What to say when the connection is there."""
        return _reply(0)

    def refused(self, problem: HostProblem, text: str) -> bytes:
        """What to say when there is none."""
        return _reply(_CODES[problem])


def _reply(code: int) -> bytes:
    # with an address that says nothing: there is no socket at the other end
    return bytes([VERSION, code, 0, _IPV4]) + bytes(6)
