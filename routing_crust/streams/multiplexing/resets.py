"""
Resets: the streams with a peer that we give up, and the pace at which either end may do so.

A stream that is opened and reset costs its other end work for nothing, so each end counts the resets of the
other, and keeps its own below what the other allows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ...config import Settings
from ...errors import WireError
from ...timing.ratelimit import TokenBucket
from ..frames import StreamReason
from .stream import Stream

MAX_STREAM_RESETS: Final = 100
"""Streams that a peer may reset in ten seconds."""

RESET_SECONDS: Final = 10.0
"""The period that C{MAX_STREAM_RESETS} is for."""
_OWN_RESET_SHARE: Final = 0.8
"""Our share of C{MAX_STREAM_RESETS}: resets that a delay bunches up must still pass the peer's count."""


class Resets:
    """Made, and discarded, with its mux."""

    __slots__ = ("_call_later", "_due", "_max_streams", "_ours", "_seconds", "_send", "_suspended", "_theirs")

    def __init__(
        self,
        settings: Settings,
        seconds: Callable[[], float],
        send: Callable[[Stream, StreamReason, str], None],
        call_later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        """
        @param seconds: the clock.
        @param send: sends the RESET of a stream.
        @param call_later: calls something once, in place of a call that is still to come.
        """
        # as many as the streams began with, whatever the setting is later
        self._max_streams = settings.max_streams
        self._seconds = seconds
        self._send = send
        self._call_later = call_later
        self._theirs = self._bucket(MAX_STREAM_RESETS)
        self._ours = self._bucket(_OWN_RESET_SHARE * MAX_STREAM_RESETS, _OWN_RESET_SHARE)
        self._due: dict[Stream, tuple[StreamReason, str]] = {}
        self._suspended = False

    def add(self, stream: Stream, reason: StreamReason, detail: str) -> None:
        """Reset this stream, as soon as the pace allows."""
        self._due[stream] = (reason, detail)
        # with more of them, a call is to come that sends them all
        if len(self._due) == 1:
            self._send_due()

    def forget(self, stream: Stream) -> None:
        """This stream need not be reset any more."""
        self._due.pop(stream, None)

    def clear(self) -> None:
        """Reset no stream any more."""
        self._due.clear()

    def count_theirs(self) -> None:
        """
        The peer has reset a stream.

        @raise WireError: it has reset too many.
        """
        if not self._theirs.take():
            raise WireError(f"more than {MAX_STREAM_RESETS} resets in {RESET_SECONDS:g} s")

    def suspended(self) -> None:
        """There is no link: what we reset is kept, and goes out at once when there is another."""
        self._suspended = True
        self._send_due()

    def resumed(self) -> None:
        """There is another link: what the peer has reset meanwhile comes at once."""
        self._suspended = False
        # each stream at most once, so a peer gains no more by this than a new link costs it
        self._theirs = self._bucket(MAX_STREAM_RESETS + 2 * self._max_streams)

    def _send_due(self) -> None:
        while self._due:
            # without a link it only goes to the journal, and the peer then expects many at once
            if not self._suspended and not self._ours.take():
                self._call_later(self._ours.wait(), self._send_due)
                return
            stream = next(iter(self._due))
            self._send(stream, *self._due.pop(stream))

    def _bucket(self, at_once: float, share: float = 1) -> TokenBucket:
        return TokenBucket(share * MAX_STREAM_RESETS / RESET_SECONDS, at_once, self._seconds)
