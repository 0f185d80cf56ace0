"""
Shares: how something limited is divided among those who can be held to account.

An L{Account} names who that is for a thing that came by a link, from the widest to the narrowest: the /24 or
/48 of the link's address, the IPv4 address or /56, and the name of the link's peer. Names alone are free, and
so are the addresses that a message gives, so neither counts.

There are no fixed shares, since a network of many nodes on one machine, or behind one NAT, is as good as any
other. What matters is who makes room when there is none: the one that holds most.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Final, Generic, TypeAlias, TypeVar

Account: TypeAlias = tuple[str, ...]
"""Who is held to account, widest first; empty for ourselves."""

OURSELVES: Final[Account] = ()

_Item = TypeVar("_Item", bound=Hashable)


def _parts(account: Account) -> list[Account]:
    return [account[: level + 1] for level in range(len(account))]


class Held:
    """How much each account holds, and each account that it is part of."""

    __slots__ = ("_counts", "total")

    def __init__(self) -> None:
        self._counts: dict[Account, int] = {}
        self.total = 0

    def __len__(self) -> int:
        return len(self._counts)

    def most(self, account: Account) -> int:
        """What the widest part of this account holds, which is never less than its narrower parts do."""
        return self._counts.get(account[:1], 0)

    def of(self, part: Account) -> int:
        """What this account, or part of one, holds."""
        return self._counts.get(part, 0)

    def add(self, account: Account) -> None:
        """It holds one more."""
        self.total += 1
        for part in _parts(account):
            self._counts[part] = self._counts.get(part, 0) + 1

    def remove(self, account: Account) -> None:
        """It holds one less."""
        self.total -= 1
        for part in _parts(account):
            left = self._counts.pop(part) - 1
            # zeros go, since a map that keeps them would grow with every stranger
            if left:
                self._counts[part] = left

    def may_take(self, account: Account, limit: int) -> bool:
        """
        Whether an account may take one more of C{limit}: while it holds less than is left for all others. So
        one alone gets at most half, and there is always some for those who hold nothing (as in the dynamic
        thresholds of Choudhury and Hahne, 1998). Ourselves may take all.
        """
        left = limit - self.total
        return left > 0 and (account == OURSELVES or self.most(account) < left)


class Amounts:
    """
    How much each account has of what is counted in bytes or the like, and who makes room when all is taken:
    of the widest part that has most, the account that has most.

    @ivar total: what all have together.
    """

    def __init__(self) -> None:
        self.total = 0
        self._of_widest: dict[Account, int] = {}
        self._of: dict[Account, dict[Account, int]] = {}

    def __getitem__(self, account: Account) -> int:
        """How much an account has."""
        return self._of.get(account[:1], {}).get(account, 0)

    def add(self, account: Account, change: int) -> None:
        """An account takes this much more, or gives it back if it is below 0."""
        self.total += change
        widest = account[:1]
        held = self._of_widest.get(widest, 0) + change
        if not held:
            del self._of_widest[widest], self._of[widest]
            return
        self._of_widest[widest] = held
        accounts = self._of.setdefault(widest, {})
        held = accounts.get(account, 0) + change
        if held:
            accounts[account] = held
        else:
            del accounts[account]

    def fullest(self) -> Account:
        """
        The account that has to make room.

        @raise ValueError: nobody has anything.
        """
        widest = max(self._of_widest, key=self._of_widest.__getitem__)
        accounts = self._of[widest]
        return max(accounts, key=accounts.__getitem__)

    def room_for(self, account: Account, amount: int) -> Account | None:
        """
        The account that has to make room for what this one wants to take.

        @return: C{None} if the newcomer would then have no less itself.
        """
        fullest = self.fullest()
        if fullest[:1] == account[:1]:
            mine, others = self[account], self[fullest]
        else:
            mine, others = self._of_widest.get(account[:1], 0), self._of_widest[fullest[:1]]
        return fullest if mine + amount < others and fullest != account else None

    def clear(self) -> None:
        """Nobody has anything any more."""
        self.total = 0
        self._of_widest.clear()
        self._of.clear()


class SharedWindow:
    """A limit within any span of time, of which no account may take more than is left."""

    __slots__ = ("_held", "_limit", "_seconds", "_span", "_taken")

    def __init__(self, limit: float, span: float, seconds: Callable[[], float]) -> None:
        """
        @param limit: how many; a fraction is left out, but one is always let through.
        @param span: in seconds.
        @param seconds: the clock: C{IReactorTime.seconds}.
        """
        self.change(limit)
        self._span = span
        self._seconds = seconds
        self._held = Held()
        # mostly none; an empty deque has 700 bytes, and a node has many windows
        self._taken: list[tuple[float, Account]] = []

    def change(self, limit: float) -> None:
        """Have another limit from now on."""
        self._limit = max(1, int(limit))

    @property
    def unused(self) -> bool:
        """Whether nothing lies within the span, so that a new window can replace it."""
        self._forget()
        return not self._taken

    def may_take(self, account: Account) -> bool:
        """Whether one more is within the limit and within the account's share."""
        self._forget()
        return self._held.may_take(account, self._limit)

    def take(self, account: Account) -> None:
        """Count one."""
        self._taken.append((self._seconds(), account))
        self._held.add(account)

    def _forget(self) -> None:
        long_ago = self._seconds() - self._span
        while self._taken and self._taken[0][0] <= long_ago:
            self._held.remove(self._taken.pop(0)[1])


class Holdings(Generic[_Item]):
    """The items of a full table, and who has to make room for one more."""

    __slots__ = ("_accounts", "_held", "_items", "_parts")

    def __init__(self) -> None:
        self._accounts: dict[_Item, Account] = {}
        self._held = Held()
        # a tree, so that who holds most is found without a look at every item
        self._items: dict[Account, dict[_Item, None]] = {}
        self._parts: dict[Account, dict[Account, None]] = {}

    def __len__(self) -> int:
        return len(self._accounts)

    def add(self, item: _Item, account: Account) -> None:
        """An account holds this item now."""
        self._accounts[item] = account
        self._held.add(account)
        self._items.setdefault(account, {})[item] = None
        for part in _parts(account):
            self._parts.setdefault(part[:-1], {})[part] = None

    def remove(self, item: _Item) -> None:
        """Nobody holds it any more. Without effect for an unknown item."""
        account = self._accounts.pop(item, None)
        if account is None:
            return
        self._held.remove(account)
        del self._items[account][item]
        if not self._items[account]:
            del self._items[account]
        for part in reversed(_parts(account)):
            if not self._held.of(part):
                del self._parts[part[:-1]][part]
                if not self._parts[part[:-1]]:
                    del self._parts[part[:-1]]

    def of(self, account: Account) -> tuple[_Item, ...]:
        """The items of one account, oldest first."""
        return tuple(self._items.get(account, ()))

    def of_largest(self, newcomer: Account) -> tuple[_Item, ...]:
        """
        The items of the account that holds most, oldest first: one of them makes room for an item of
        C{newcomer}. If the newcomer would hold as many with one more, these are its own.
        """
        part: Account = ()
        for mine in _parts(newcomer):
            children = self._parts.get(part)
            if not children:
                break
            part = max(children, key=self._held.of)
            if mine in children and self._held.of(mine) + 1 >= self._held.of(part):
                part = mine
        if part in self._items:
            return self.of(part)
        return tuple(item for item, account in self._accounts.items() if account[: len(part)] == part)

    def would_even_out(self, newcomer: Account) -> bool:
        """
        Whether somebody holds so much more than C{newcomer} that both are nearer to each other when one item
        changes hands. Where items are in use, none is taken away for less.
        """
        largest = self.of_largest(newcomer)
        if not largest:
            return False
        theirs = self._accounts[largest[0]]
        for mine, other in zip(_parts(newcomer), _parts(theirs), strict=True):
            if mine != other:
                return self._held.of(other) > self._held.of(mine) + 1
        return False


def who_makes_room(held: Mapping[_Item, int], prefixes: Mapping[_Item, str], asking: _Item) -> _Item | None:
    """
    Decide which peer has to give up one of what it holds for a new one.

    @param held: how many each peer holds, the new one among them.
    @param prefixes: the prefix of each peer's address.
    @param asking: the peer that takes the new one.
    @return: the peer that holds most in the prefix that holds most; C{None} if none holds more than C{asking}
        does.
    """
    sums: dict[str, int] = {}
    for name, count in held.items():
        sums[prefixes[name]] = sums.get(prefixes[name], 0) + count
    own = prefixes[asking]
    fullest = max(sums, key=lambda prefix: (sums[prefix], prefix == own))
    # one more would only be passed to and fro between two that hold as many
    if fullest != own and sums[fullest] <= sums[own]:
        return None
    largest = max((name for name in held if prefixes[name] == fullest), key=lambda name: held[name])
    if fullest == own and held[largest] <= held[asking]:
        return None
    return largest
