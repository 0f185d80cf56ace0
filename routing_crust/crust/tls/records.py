"""
Counts the records in the ciphertext of a TLS session, by the lengths in their headers, which are in clear.

With the number of whole records that OpenSSL has been given, it need not be asked for more than there is. A
header that no record of application data can have counts at once: OpenSSL has to see it, whatever length it
names.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

RECORD_BYTES: Final = 16 * 1024
"""The most bytes of content in a record."""
HEADER_BYTES: Final = 5
OVERHEAD_BYTES: Final = HEADER_BYTES + 1 + 16
"""What a record of TLS 1.3 has beside its content: header, kind and tag."""


_APPLICATION_DATA: Final = 23
_VERSION: Final = 0x0303
_MAX_LENGTH: Final = RECORD_BYTES + 256
_header = Struct(">BHH").unpack_from


class RecordCounter:
    """
    Made with a session, and given all that comes, however it was split.
    """

    __slots__ = ("_head", "_missing")

    def __init__(self) -> None:
        self._head = b""
        self._missing = 0

    def ending_in(self, data: bytes | memoryview) -> int:
        """
        Take the next bytes.

        @return: how many records end in them, or must be looked at for what their headers say.
        """
        if self._head:
            data = self._head + bytes(data)
            self._head = b""
        end = len(data)
        at = self._missing
        # at 0 the last piece ended with a record, which was counted then
        count = int(0 < at <= end)
        while end - at >= HEADER_BYTES:
            kind, version, length = _header(data, at)
            at += HEADER_BYTES + length
            if at <= end or kind != _APPLICATION_DATA or version != _VERSION or length > _MAX_LENGTH:
                count += 1
        if at < end:
            # the lengths of what follows are known only once the whole header is there
            self._head = bytes(data[at:])
            at = end
        self._missing = at - end
        return count
