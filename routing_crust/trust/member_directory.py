"""
The directory of members: certificates of all members of a private network, as one member knows them.

All members come to hold the same. An issuer's certificates take up its own room only: of each member the
latest one of each issuer is kept, and when there are too many, every issuer gets an equal share, within which
the smallest names stay. That depends on nothing but the certificates, so the order in which they arrive does
not matter, and the thief of an inviter's key can crowd out no certificates but its own.

Which certificate of a member counts: its latest; but of one that the authority lets issue certificates, only
the authority can change what is said.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ..names import Name
from .certificate import SignedCertificate
from .codec import encode_certificate
from .judging import RENEWAL_GRACE_SECONDS

MAX_CERTIFICATES: Final = 8192
"""Certificates of all members together, each of 1 KiB at most."""
CERTIFICATE_ID_BYTES: Final = 8
BUCKETS: Final = 64
"""Parts of a directory that are compared with those of others, by the first bits of the names."""
BUCKET_DIGEST_BYTES: Final = 8
_NOTHING: Final = bytes(BUCKET_DIGEST_BYTES)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A certificate as it is kept."""

    signed: SignedCertificate
    encoded: bytes
    id: bytes


def certificate_id(encoded: bytes) -> bytes:
    """What tells certificates apart."""
    return hashlib.sha256(encoded).digest()[:CERTIFICATE_ID_BYTES]


def bucket_of(name: Name) -> int:
    """The part of a directory where certificates of this member are."""
    return name.raw[0] * BUCKETS >> 8


class MemberDirectory:
    """
    Made with the credentials of a node, and asked for as long as they are used.

    Certificates that are kept and not shared are those of banned members, for people to read, and those whose
    issuer is banned, for somebody to decide about.
    """

    def __init__(self, is_shared: Callable[[SignedCertificate], bool], limit: int = MAX_CERTIFICATES) -> None:
        """
        @param is_shared: whether other members should have a certificate; asked again by L{refresh}.
        @param limit: how many certificates are kept.
        """
        self._is_shared = is_shared
        self._limit = limit
        # by member, then by issuer
        self._entries: dict[Name, dict[Name, _Entry]] = {}
        self._issued: Counter[Name] = Counter()
        self._share_of_each = limit
        self._ids: set[bytes] = set()
        self._shared: list[dict[bytes, _Entry]] = [{} for _ in range(BUCKETS)]
        self._digests: list[bytes | None] = [_NOTHING] * BUCKETS

    def __len__(self) -> int:
        """How many members it knows."""
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        """Whether a member is known."""
        return name in self._entries

    def get(self, name: Name) -> SignedCertificate | None:
        """The certificate of a member that counts; C{None} if there is none."""
        found = self._entries.get(name)
        return None if found is None else _best(found)

    def values(self) -> Iterator[SignedCertificate]:
        """The certificates of all members that count; the one that became known first comes first."""
        return map(_best, self._entries.values())

    @property
    def certificates(self) -> tuple[SignedCertificate, ...]:
        """All that are kept, also those that do not count."""
        return tuple(each.signed for found in self._entries.values() for each in found.values())

    def add(self, signed: SignedCertificate) -> bool:
        """
        Add a certificate that is genuine. One older than the last of its issuer changes nothing.

        @return: whether it is kept, and was not kept before.
        """
        encoded = encode_certificate(signed)
        entry = _Entry(signed, encoded, certificate_id(encoded))
        name, issuer = signed.certificate.name, signed.issuer
        before = self._entries.get(name, {}).get(issuer)
        if before is not None:
            if _rank(before) >= _rank(entry):
                return False
            self._forget(before)
        # the place of a member in the order stays, since the first of one nickname has it
        self._entries.setdefault(name, {})[issuer] = entry
        self._issued[issuer] += 1
        self._ids.add(entry.id)
        self._share(entry)
        if self._issued[issuer] > self._share_of_each:
            self._cut(issuer)
        elif self._issued.total() > self._limit:
            self._bound()
        return self.holds(entry.id)

    def holds(self, which: bytes) -> bool:
        """Whether the certificate with this id is kept."""
        return which in self._ids

    def refresh(self) -> None:
        """Find out again what is shared: statements about members have come."""
        for bucket in self._shared:
            bucket.clear()
        self._digests = [None] * BUCKETS
        for found in list(self._entries.values()):
            best = _best(found)
            for each in list(found.values()):
                self._share(each)
                # a revoked one that a later one has replaced is of no use to anybody
                if each.signed is not best and each.id not in self._shared_with(each):
                    self._drop(each)

    def prune(self, now: float) -> int:
        """
        Leave out what has expired so long ago that it cannot even be renewed.

        @return: how many certificates.
        """
        old = [
            each
            for found in self._entries.values()
            for each in found.values()
            if now > each.signed.certificate.not_after + RENEWAL_GRACE_SECONDS
        ]
        for each in old:
            self._drop(each)
        if old:
            self._share_of_each = self._limit
        return len(old)

    @property
    def summary(self) -> bytes:
        """A digest for each bucket of what is shared."""
        for number, bucket in enumerate(self._shared):
            if self._digests[number] is None:
                digest = hashlib.sha256(b"".join(sorted(bucket))).digest()[:BUCKET_DIGEST_BYTES]
                self._digests[number] = digest if bucket else _NOTHING
        return b"".join(each or _NOTHING for each in self._digests)

    def differing(self, summary: bytes) -> list[int]:
        """The buckets that differ in the directory with this summary, without those that are empty there."""
        own, size = self.summary, BUCKET_DIGEST_BYTES
        parts = ((each, summary[each * size : each * size + size]) for each in range(BUCKETS))
        return [
            each for each, part in parts if part != _NOTHING and part != own[each * size : each * size + size]
        ]

    def ids_in(self, bucket: int) -> list[bytes]:
        """The ids of what is shared in a bucket."""
        return list(self._shared[bucket])

    def missing(self, buckets: Iterable[int], ids: frozenset[bytes]) -> list[bytes]:
        """What is shared in some buckets, encoded, and not among these ids."""
        return [
            entry.encoded
            for bucket in buckets
            for which, entry in self._shared[bucket].items()
            if which not in ids
        ]

    def _shared_with(self, entry: _Entry) -> dict[bytes, _Entry]:
        return self._shared[bucket_of(entry.signed.certificate.name)]

    def _share(self, entry: _Entry) -> None:
        if self._is_shared(entry.signed):
            bucket = bucket_of(entry.signed.certificate.name)
            self._shared[bucket][entry.id] = entry
            self._digests[bucket] = None

    def _forget(self, entry: _Entry) -> None:
        self._issued[entry.signed.issuer] -= 1
        self._ids.discard(entry.id)
        bucket = bucket_of(entry.signed.certificate.name)
        if self._shared[bucket].pop(entry.id, None) is not None:
            self._digests[bucket] = None

    def _drop(self, entry: _Entry) -> None:
        name = entry.signed.certificate.name
        self._forget(entry)
        found = self._entries[name]
        del found[entry.signed.issuer]
        if not found:
            del self._entries[name]

    def _bound(self) -> None:
        """Give each issuer an equal share of the room; what one does not need, the others get."""
        sizes = sorted(self._issued.values())
        left = self._limit
        for number, size in enumerate(sizes):
            share = left // (len(sizes) - number)
            if size > share:
                # it stays, since what the others were denied is not counted any more
                self._share_of_each = min(self._share_of_each, share)
                break
            left -= size
        for issuer, size in list(self._issued.items()):
            if size > self._share_of_each:
                self._cut(issuer)

    def _cut(self, issuer: Name) -> None:
        """Leave out the greatest names of an issuer that has more than its share."""
        names = sorted(name for name, found in self._entries.items() if issuer in found)
        for name in names[self._share_of_each :]:
            self._drop(self._entries[name][issuer])


def _rank(entry: _Entry) -> tuple[int, bytes]:
    """The rank of a certificate: of two of one member by one issuer the greater is kept."""
    return entry.signed.certificate.serial, entry.encoded


def _best(found: dict[Name, _Entry]) -> SignedCertificate:
    of_authority = [each for each in found.values() if each.signed.issuer_certificate is None]
    if of_authority and of_authority[0].signed.certificate.may_issue:
        return of_authority[0].signed
    return max(found.values(), key=_rank).signed
