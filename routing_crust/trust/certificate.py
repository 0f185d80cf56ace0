"""
Member certificates: what an issuer says of a member, and the chain of signatures that leads to the authority.

A chain has one or two steps. The authority signs the certificates of those who may issue (admins and
inviters), and these sign the certificates of all others. So the issuer of a certificate is either the
authority, or the member whose certificate is carried along with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

from ..errors import InvalidCertificate
from ..forwarding_rules import is_nickname
from ..identity import signature_holds
from ..names import Name
from .networks import authority_of

CERTIFICATE_LABEL: Final = "certificate"
"""What every signature of a certificate covers, beside the network and the body."""
MAX_TAGS: Final = 8
MAX_TAG_CHARACTERS: Final = 24
MAX_TIME: Final = 1 << 40
"""In seconds since the epoch; far beyond any certificate."""
_TAG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Verifier(Protocol):
    """Checks signatures, as an L{Identity<routing_crust.identity.Identity>} does, real or simulated."""

    def holds(self, signer: Name, signature: bytes, label: str, network: str, *fields: bytes) -> bool:
        """Whether a signature is by this node, for the label, the network and the fields. Never raises."""
        ...


class Ed25519Verifier:
    """Checks signatures where there is no identity at hand."""

    __slots__ = ()

    def holds(self, signer: Name, signature: bytes, label: str, network: str, *fields: bytes) -> bool:
        """Whether a signature is by this node, for the label, the network and the fields. Never raises."""
        return signature_holds(signer, signature, label, network, *fields)


class MemberRole(IntEnum):
    """What a member may do. The number is in certificates, so numbers are never reused."""

    CLIENT = 0
    """Use the network through a proxy."""
    NODE = 1
    """Be in routing tables and route for others."""
    RELAY = 2
    """Carry tunnels for others."""
    INVITE = 3
    """Issue and renew certificates of members that may not issue themselves."""
    ADMIN = 4
    """Ban members as well, and give tags that it does not have itself."""

    @property
    def text(self) -> str:
        """The role as commands and files write it."""
        return self.name.lower()

    @property
    def implied(self) -> frozenset[MemberRole]:
        """The roles of a member that is given this one: an admin may invite, relay and be a node as well."""
        if self is MemberRole.CLIENT:
            return frozenset((self,))
        return frozenset(each for each in MemberRole if MemberRole.NODE <= each <= self)

    @classmethod
    def from_text(cls, text: str) -> MemberRole:
        """
        Read a role as commands write it.

        @raise InvalidCertificate: there is no such role.
        """
        try:
            return cls[text.upper()]
        except KeyError:
            choices = ", ".join(each.text for each in cls)
            raise InvalidCertificate(f"{text!r} is not a role: the roles are {choices}") from None


ISSUING_ROLES: Final = frozenset((MemberRole.INVITE, MemberRole.ADMIN))
"""Only the authority gives these."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """
    What an issuer says of a member.

    @ivar network: the id of the private network.
    @ivar name: the member, which is its public key.
    @ivar nickname: how people call it; no two members have the same one.
    @ivar roles: what it may do.
    @ivar tags: groups that permissions can name, such as C{tag:servers}.
    @ivar not_before: from when on it is good, in seconds since the epoch.
    @ivar not_after: until when it is good.
    @ivar serial: grows with each certificate of the same member, so that older ones can be revoked.
    """

    network: str
    name: Name
    nickname: str
    roles: frozenset[MemberRole]
    tags: frozenset[str]
    not_before: int
    not_after: int
    serial: int

    def __post_init__(self) -> None:
        """
        @raise InvalidCertificate: no certificate can say this; the error says what is wrong with it.
        @raise InvalidName: C{network} is not the id of a private network.
        """
        # only for its error
        authority_of(self.network)
        if not is_nickname(self.nickname):
            raise InvalidCertificate(
                f"{self.nickname!r} cannot be a nickname: write up to 32 letters, digits and . _ - and begin "
                "with a letter or digit"
            )
        if not self.roles:
            raise InvalidCertificate("a certificate needs a role: client, node, relay, invite or admin")
        check_tags(self.tags)
        if not 0 <= self.not_before < self.not_after <= MAX_TIME or self.serial < 0:
            raise InvalidCertificate("a certificate must end after it begins, and its serial is not negative")

    @property
    def may_issue(self) -> bool:
        """Whether the member may issue certificates of others."""
        return not ISSUING_ROLES.isdisjoint(self.roles)

    @property
    def is_admin(self) -> bool:
        """Whether the member may ban others."""
        return MemberRole.ADMIN in self.roles

    @property
    def may_be_node(self) -> bool:
        """Whether the member may be more than a client."""
        return MemberRole.NODE in self.roles

    @property
    def lifetime(self) -> int:
        """For how long it is good, in seconds."""
        return self.not_after - self.not_before

    def __str__(self) -> str:
        """The nickname with the beginning of the name, for logs and tables."""
        return f"{self.nickname} ({self.name.short})"


def check_tags(tags: frozenset[str]) -> None:
    """
    @raise InvalidCertificate: there are too many tags, or one of them cannot be a tag.
    """
    if len(tags) > MAX_TAGS:
        raise InvalidCertificate(f"a member has at most {MAX_TAGS} tags, and these are {len(tags)}")
    # sorted, so that the same tags always give the same error
    for tag in sorted(tags):
        if len(tag) > MAX_TAG_CHARACTERS or not _TAG.fullmatch(tag):
            raise InvalidCertificate(
                f"{tag!r} cannot be a tag: write up to {MAX_TAG_CHARACTERS} letters, digits and . _ - and "
                "begin with a letter or digit"
            )


@dataclass(frozen=True, slots=True)
class SignedCertificate:
    """
    A certificate with the signatures that lead to the authority. Whether they hold is for
    L{routing_crust.trust.judging} to say.

    @ivar certificate: what the signature says.
    @ivar body: the signed bytes of it.
    @ivar signature: the issuer's.
    @ivar issuer_certificate: that of the issuer, signed by the authority; C{None} where the authority is
        the issuer.
    """

    certificate: Certificate
    body: bytes
    signature: bytes
    issuer_certificate: SignedCertificate | None = None

    @property
    def issuer(self) -> Name:
        """The name that has signed, or is said to have."""
        above = self.issuer_certificate
        return authority_of(self.certificate.network) if above is None else above.certificate.name

    def is_signed(self, verifier: Verifier) -> bool:
        """Whether the signature is the issuer's. The issuer's own certificate is not looked at."""
        return verifier.holds(
            self.issuer, self.signature, CERTIFICATE_LABEL, self.certificate.network, self.body
        )
