"""
What a peer may not do with streams, and with the sessions that they are resumed in.
"""

from __future__ import annotations

import os
import struct

from .behaviour import Target, behaviour
from .peer import DATA, OPEN, RESUME, STREAM_ACK, Peer


def _session(target: Target) -> tuple[Peer, int]:
    """A link with a session of streams: the daemon's number of it, too."""
    peer = target.attached()
    peer.resume()
    _, payload = peer.wait_for(RESUME)
    return peer, struct.unpack_from("!Q", payload)[0]


@behaviour("opens a stream with the wrong parity")
def stream_of_the_other_end(target: Target) -> None:
    peer, _ = _session(target)
    for number in (1, 2):
        peer.send(OPEN, struct.pack("!III", number, 65536, 600) + b"ssh")
    target.expect_close(peer)


@behaviour("sends data to a stream that is not open")
def data_without_stream(target: Target) -> None:
    peer, _ = _session(target)
    peer.send(DATA, struct.pack("!I", 9) + b"x" * 100)
    target.expect_close(peer)


@behaviour("opens streams and sends data to them before its RESUME", tolerated=True)
def streams_before_the_resume(target: Target) -> None:
    peer = target.attached()
    for number in range(1, 1000):
        peer.send(OPEN, struct.pack("!III", number, 65536, 600) + b"ssh")
        peer.send(DATA, struct.pack("!I", number) + b"x" * 1000)
    target.expect_close(peer)


@behaviour("sends a RESUME that is too short")
def short_resume(target: Target) -> None:
    peer = target.attached()
    peer.send(RESUME, os.urandom(20))
    target.expect_close(peer)


@behaviour("has received frames of streams that were never sent, says its RESUME", tolerated=True)
def resume_with_false_numbers(target: Target) -> None:
    peer, theirs = _session(target)
    peer.resume(yours=theirs, epoch=2, received=1 << 60)
    target.expect_close(peer)


@behaviour("acknowledges frames of streams that were never sent")
def acknowledged_nothing(target: Target) -> None:
    peer, _ = _session(target)
    peer.send(STREAM_ACK, struct.pack("!Q", 1 << 60))
    target.expect_close(peer)


@behaviour("resumes in one epoch after the other")
def resumes_without_end(target: Target) -> None:
    peer, theirs = _session(target)
    for epoch in range(2, 1000):
        peer.resume(yours=theirs, epoch=epoch)
    target.expect_close(peer)


@behaviour("begins one session of streams after the other")
def sessions_without_end(target: Target) -> None:
    peer, _ = _session(target)
    for number in range(1, 1000):
        peer.resume(mine=number)
    target.expect_close(peer)
