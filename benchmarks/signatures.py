"""What one core's signatures allow: each message is signed and verified, with C{cryptography}."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from .credentials import identity


class SignatureActor:
    """Signs and verifies, nothing else."""

    def __init__(self, reactor: Any) -> None:
        self._private = identity(1).private_key
        self._public = self._private.public_key()

    def do_ask(self, size: int, count: int, window: int) -> float:
        """Sign and verify this many messages. Returns how many in a second."""
        body = bytes(size)
        private, public = self._private, self._public
        start = perf_counter()
        for _ in range(count):
            public.verify(private.sign(body), body)
        return count / (perf_counter() - start)
