"""
Keys: what seals and opens the packets of one direction of a session.

A packet is sealed with AES-256-GCM under a key of its epoch. The nonce is the counter of the packet, which is
never used twice in a direction, combined with the salt of the epoch (as in RFC 8446, section 5.3). The next
epoch's secret follows from this one's by HKDF (RFC 5869), and the old one is forgotten: a stolen key does not
open what was sealed before its epoch.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from ...wire.end_to_end import SealedPacket
from .replay_window import ReplayWindow

SECRET_BYTES: Final = 32
EPOCH_PACKETS: Final = 1 << 20
"""Packets that are sealed under one key."""
EPOCH_SECONDS: Final = 3600.0
"""For how long packets are sealed under one key."""
_KEY_BYTES: Final = 32
_SALT_BYTES: Final = 12


def _expand(secret: bytes, purpose: bytes, size: int) -> bytes:
    return HKDFExpand(SHA256(), size, b"routing-crust/session/2 " + purpose).derive(secret)


class _Epoch:
    """The key of one epoch. It can make the next, and no earlier one."""

    __slots__ = ("_following", "_salt", "_secret", "cipher", "number")

    def __init__(self, number: int, secret: bytes) -> None:
        self.number = number
        key = _expand(secret, b"key", _KEY_BYTES + _SALT_BYTES)
        self.cipher = AESGCM(key[:_KEY_BYTES])
        self._salt = int.from_bytes(key[_KEY_BYTES:], "big")
        self._secret = secret
        self._following: _Epoch | None = None

    def nonce(self, counter: int) -> bytes:
        return (self._salt ^ counter).to_bytes(_SALT_BYTES, "big")

    def following(self) -> _Epoch:
        """The next epoch: made when it is first asked for, as most sessions end before they need it."""
        if self._following is None:
            self._following = _Epoch(self.number + 1, _expand(self._secret, b"next", SECRET_BYTES))
            self._secret = b""
        return self._following


class SealingKeys:
    """The keys of the direction from us. Made with a session, discarded with it."""

    __slots__ = ("_began", "_counter", "_epoch", "_left")

    def __init__(self, secret: bytes, now: float) -> None:
        """
        @param secret: L{SECRET_BYTES} that only the two ends know.
        @param now: in seconds.
        """
        self._epoch = _Epoch(0, secret)
        self._counter = 0
        self._began = now
        self._left = EPOCH_PACKETS

    def seal(self, session: int, associated: bytes, plaintext: bytes, now: float) -> SealedPacket:
        """
        Seal a packet.

        @param session: the number of the session.
        @param associated: what goes beside the packet in clear, and must be the same at the other end.
        """
        if not self._left or now - self._began >= EPOCH_SECONDS:
            self._epoch = self._epoch.following()
            self._began = now
            self._left = EPOCH_PACKETS
        self._left -= 1
        epoch, counter = self._epoch, self._counter
        self._counter = counter + 1
        ciphertext = epoch.cipher.encrypt(epoch.nonce(counter), plaintext, associated)
        return SealedPacket(session, epoch.number, counter, ciphertext)


class OpeningKeys:
    """The keys of the direction to us. Made with a session, discarded with it."""

    __slots__ = ("_before", "_current", "_window")

    def __init__(self, secret: bytes) -> None:
        """
        @param secret: as of L{SealingKeys}.
        """
        self._before: _Epoch | None = None
        self._current = _Epoch(0, secret)
        self._window = ReplayWindow()

    def open(self, packet: SealedPacket, associated: bytes) -> bytes | None:
        """
        Open a packet.

        @return: the plaintext; C{None} if it was not sealed like this by the other end, or has come before.
        """
        # the cheapest check first: a replay costs no decryption
        if not self._window.is_new(packet.counter):
            return None
        epoch = self._epoch_of(packet)
        if epoch is None:
            return None
        try:
            plaintext = epoch.cipher.decrypt(epoch.nonce(packet.counter), packet.ciphertext, associated)
        except InvalidTag:
            return None
        # only now: what a relay has made up must change nothing
        self._window.note(packet.counter)
        # the peer has gone on to the next key, so the oldest one is not needed any more
        if epoch.number > self._current.number:
            self._before, self._current = self._current, epoch
        return plaintext

    def _epoch_of(self, packet: SealedPacket) -> _Epoch | None:
        """The latest epoch that has been used, the one before or the next: packets of no other can come."""
        ahead = packet.epoch - self._current.number
        if ahead == 0:
            return self._current
        if ahead == 1:
            # anybody can name it: it is made once, however many packets do
            return self._current.following()
        return self._before if ahead == -1 else None
