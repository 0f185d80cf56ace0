"""
The send buffer of a stream: bytes that wait for credit and for their turn.
"""

from __future__ import annotations

from collections import deque


class SendBuffer:
    """
    A queue of bytes. What was written is kept as it is, and copied once, on its way out.

    @ivar size: how many bytes wait.
    """

    __slots__ = ("_chunks", "_start", "size")

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._start = 0
        self.size = 0

    def append(self, data: bytes) -> None:
        """Add bytes at the end."""
        if data:
            self._chunks.append(data)
            self.size += len(data)

    def take(self, head: bytes, count: int) -> bytes:
        """
        Take the first C{count} bytes out; there must be as many.

        @return: C{head} and the bytes after it.
        """
        chunks, start = self._chunks, self._start
        self.size -= count
        # The common case of a bulk stream, whose chunks are larger than a frame: one copy, no loop.
        if count and len(chunks[0]) > start + count:
            self._start = start + count
            return b"".join((head, memoryview(chunks[0])[start : start + count]))
        taken: list[bytes | memoryview] = [head]
        while count:
            first = chunks[0]
            end = start + count
            if len(first) > end:
                taken.append(memoryview(first)[start:end])
                start = end
                break
            taken.append(memoryview(first)[start:] if start else first)
            count = end - len(first)
            start = 0
            chunks.popleft()
        self._start = start
        return b"".join(taken)

    def clear(self) -> None:
        """Throw everything away."""
        self._chunks.clear()
        self._start = self.size = 0
