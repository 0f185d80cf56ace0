"""
A dictionary of bounded size, for entries that peers cause.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class BoundedDict(dict[_Key, _Value], Generic[_Key, _Value]):
    """
    A dictionary of at most C{max_entries}, in which a new entry pushes out the oldest. An entry is as old as
    its key, or its last L{put}.

    Entries go in one at a time, by C{[]} or L{put}; C{update} and C{setdefault} do not see the bound.
    """

    __slots__ = ("max_entries",)

    def __init__(self, max_entries: int) -> None:
        super().__init__()
        self.max_entries = max_entries

    def __setitem__(self, key: _Key, value: _Value) -> None:
        """Set an entry without making it newer."""
        super().__setitem__(key, value)
        # dict keeps the order of insertion, so the first key is the oldest.
        if len(self) > self.max_entries:
            del self[next(iter(self))]

    def put(self, key: _Key, value: _Value) -> None:
        """Set an entry and make it the newest."""
        self.pop(key, None)
        self[key] = value
