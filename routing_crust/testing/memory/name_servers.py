"""
The name server of a network in memory: it knows what a test has told it.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred, fail, succeed

from ...crust.resolving.name_servers import Answer, NotResolved, Record, RecordKind

SERVER: Final = "the name server of this network"


class MemoryNameServers:
    """
    Answers at once. All machines of a network share one.

    @ivar records: by name and kind; C{None} for a name about which the server is silent.
    """

    def __init__(self) -> None:
        self.records: dict[tuple[str, RecordKind], tuple[Record, ...] | None] = {}
        self.asked: list[tuple[str, RecordKind]] = []
        self._waiting: dict[Deferred[Answer], None] = {}

    @property
    def waiting(self) -> int:
        """How many questions have no answer."""
        return len(self._waiting)

    def set(self, name: str, *addresses: str) -> None:
        """Let a host name have these addresses, and no others."""
        for kind in (RecordKind.A, RecordKind.AAAA):
            found = [each for each in addresses if (":" in each) == (kind is RecordKind.AAAA)]
            self.records[name, kind] = tuple(map(Record, found))

    def ask(self, name: str, kind: RecordKind) -> Deferred[Answer]:
        self.asked.append((name, kind))
        records = self.records.get((name, kind), ())
        if records is None:
            silent: Deferred[Answer] = Deferred(self._forget)
            self._waiting[silent] = None
            return silent
        # a name that has records of the other kind is known, and has none of this one
        if not any(each == name for each, _ in self.records):
            return fail(NotResolved(f"{name}: {SERVER} does not know this name"))
        return succeed(Answer(SERVER, records))

    def stop(self) -> Deferred[None]:
        for each in list(self._waiting):
            each.cancel()
        return succeed(None)

    def _forget(self, asked: Deferred[Answer]) -> None:
        self._waiting.pop(asked, None)
