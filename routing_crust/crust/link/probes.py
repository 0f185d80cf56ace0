"""
Probes and their answers: the payloads of Heartbeats.

An answer repeats the nonce of its probe, so that a peer cannot look nearer than it is by answering before it
is asked. A nonce is derived and not drawn: nobody else knows the key, and no two sessions have one binding.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

NONCE_BYTES: Final = 8
_PROBE: Final = b"\x01"
_ANSWER: Final = b"\x02"


def nonce_of(key: bytes, binding: bytes, number: int) -> bytes:
    """
    The nonce of a probe.

    @param key: of the link's owner.
    @param binding: of the link.
    @param number: how many probes of the link came before.
    """
    return blake2b(binding + number.to_bytes(8, "big"), digest_size=NONCE_BYTES, key=key).digest()


def probe_of(nonce: bytes) -> bytes:
    """The payload of a probe."""
    return _PROBE + nonce


def answer_to(payload: bytes) -> bytes | None:
    """The payload that answers this one; C{None} if it is no probe."""
    is_probe = len(payload) == 1 + NONCE_BYTES and payload.startswith(_PROBE)
    return _ANSWER + payload[1:] if is_probe else None


def answered_nonce(payload: bytes) -> bytes | None:
    """The nonce that this payload repeats; C{None} if it is no answer."""
    is_answer = len(payload) == 1 + NONCE_BYTES and payload.startswith(_ANSWER)
    return payload[1:] if is_answer else None
