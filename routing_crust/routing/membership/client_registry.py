"""
The client registry: which proxy each client near us has.

A client is in no routing table. It publishes its proxy to the nodes nearest to its own name, and they pass on
what is for the client to that proxy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ...config import Settings
from ...errors import LinkClosed
from ...identity import Identity
from ...names import Name
from ...timing.shares import OURSELVES, Account, Amounts
from ...wire.codec import MAX_CONTROL_BYTES, decode
from ...wire.messages import ClientRecord, Signed
from ..envelopes import RECORD_LABEL, body_holds

MAX_CLIENT_RECORDS: Final = 10_000
"""Clients near this node's name whose node it remembers."""

"""What the signature of a record is for."""
MAX_RECORD_SECONDS: Final = 3600.0
"""Seconds that a record is kept, whatever its expiry says."""
SWEEP_INTERVAL_SECONDS: Final = 30.0
"""Seconds between two sweeps for records that have expired."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A record, with the end of its life on our own clock."""

    proxy: Name
    issued: float
    end: float
    account: Account


class ClientRegistry:
    """
    The records that clients have published, bounded by C{MAX_CLIENT_RECORDS}. When it is full, the
    link by which most of them came loses its oldest for each that comes.

    Made with each start, fed with records whose signature holds and whose client is near enough
    to us, discarded with the run. It has no timer: what has expired is never given out, and goes when the
    registry is next used after C{SWEEP_INTERVAL_SECONDS}.
    """

    def __init__(
        self, clock: IReactorTime, settings: Settings, network_now: Callable[[], float] | None = None
    ) -> None:
        """
        @param network_now: tells the network's time; the default is the clock's.
        """
        self._clock = clock
        self._network_now = network_now or clock.seconds
        self._most = MAX_CLIENT_RECORDS
        self._skew = settings.clock_skew
        self._records: dict[Name, _Kept] = {}
        self._of_account: dict[Account, dict[Name, None]] = {}
        self._amounts = Amounts()
        self._sweep_at = clock.seconds() + SWEEP_INTERVAL_SECONDS

    def __len__(self) -> int:
        """How many clients are known now."""
        self._sweep(self._clock.seconds())
        return len(self._records)

    def publish(self, client: Name, record: ClientRecord, account: Account = OURSELVES) -> bool:
        """
        Take a record. Of two by the same client the one that was issued later counts.

        Its times are the client's, whose clock may differ from the network's by C{clock_skew}; so it is kept
        for as long as it was made for, by our clock, and for an hour at the most.

        @param client: who signed it.
        @param account: who answers for the place that it takes.
        @return: whether this is what is known of the client now. It is not if there is a later one, or if it
            has expired or comes from the future.
        """
        now = self._clock.seconds()
        there = self._network_now()
        life = record.expiry - record.issued
        if not (life > 0 and record.expiry > there - self._skew and record.issued <= there + self._skew):
            return False
        # a sweep reads every record, which would be too much for each one that is published
        if now >= self._sweep_at:
            self._sweep(now)
        proxy = Name(record.proxy)
        kept = self._records.get(client)
        # relays may repeat or delay a record: an older one must not replace a newer, and a repetition of the
        # newest must not prolong its life
        if kept is not None and kept.end > now and record.issued <= kept.issued:
            return record.issued == kept.issued and proxy == kept.proxy
        if kept is not None:
            self.forget(client)
        elif len(self._records) >= self._most:
            self.forget(next(iter(self._of_account[self._amounts.fullest()])))
        self._records[client] = _Kept(proxy, record.issued, now + min(life, MAX_RECORD_SECONDS), account)
        self._of_account.setdefault(account, {})[client] = None
        self._amounts.add(account, 1)
        return True

    def proxy_of(self, client: Name) -> Name | None:
        """The proxy of a client, if its record is known and has not expired."""
        kept = self._records.get(client)
        if kept is None:
            return None
        if kept.end <= self._clock.seconds():
            self.forget(client)
            return None
        return kept.proxy

    def clear(self) -> None:
        """Forget everything."""
        self._records.clear()
        self._of_account.clear()
        self._amounts.clear()

    def forget(self, client: Name) -> None:
        """Forget the record of a client; one that is not known is no error."""
        kept = self._records.pop(client, None)
        if kept is None:
            return
        account = kept.account
        clients = self._of_account[account]
        del clients[client]
        if not clients:
            del self._of_account[account]
        self._amounts.add(account, -1)

    def banned(self, name: Name, reason: LinkClosed) -> None:
        """A member is banned, which may be a client."""
        self.forget(name)

    def _sweep(self, now: float) -> None:
        for client in [client for client, kept in self._records.items() if kept.end <= now]:
            self.forget(client)
        self._sweep_at = now + SWEEP_INTERVAL_SECONDS


def open_record(settings: Settings, identity: Identity, data: bytes) -> tuple[Name, ClientRecord] | None:
    """
    Check a client's record.

    @return: the client's name and the record; C{None} if its signature does not hold.
    @raise WireError: it is not a record.
    """
    signed = decode(Signed, data, MAX_CONTROL_BYTES)
    record = decode(ClientRecord, signed.body, MAX_CONTROL_BYTES)
    client = Name(signed.signer)
    if not body_holds(identity, settings.network, RECORD_LABEL, signed):
        return None
    return client, record
