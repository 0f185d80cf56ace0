"""
Redeeming an invitation: what its holder and the inviter say to each other, and how each proves the secret.

Order of messages, on a new link: a L{Redeem} from the end that has dialled, in place of its Hello, and the
L{RedeemAnswer}; nothing else. The other end need not be the inviter. Any member takes it, and passes it on
in a L{RedeemFor}, whose answer comes back in a L{RedeemedFor}: so an inviter behind a NAT is reached through
a member that is not.

The secret never travels. A proof is an HMAC with it over a label, the network, the inviter, the invitation,
the name of who redeems it and the exporter value of the TLS session, each after its length, and over what is
said. So a proof is good for one name on one link: a member that passes it on can drop it, and no more. What
the inviter answers is proven in the same way, and the certificate in it is signed for that name.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ..names import Name
from ..wire.fields import (
    MAX_CERTIFICATE_BYTES,
    MAX_NETWORK_ID_CHARACTERS,
    Count,
    NameBytes,
    Nonce,
    WireMessage,
)
from ..wire.messages import WireContact
from .codec import decode_with
from .invitation import invitation_id

MAX_REDEEM_BYTES: Final = 512
MAX_WELCOME_BYTES: Final = 3 * 1024
"""
The longest welcome: its answer must fit into the largest frame before a Hello, and into a control envelope.
"""
MAX_ANSWER_BYTES: Final = MAX_WELCOME_BYTES + 256
PROOF_BYTES: Final = 32
MAX_BINDING_BYTES: Final = 64
MAX_LABEL_CHARACTERS: Final = 32
MAX_BEACON_SECRET_BYTES: Final = 64
MAX_WELCOME_CONTACTS: Final = 8

_ASKING: Final = b"routing-crust/redeem/2"
_ANSWERING: Final = b"routing-crust/redeemed/2"

Proof = Annotated[bytes, Meta(min_length=PROOF_BYTES, max_length=PROOF_BYTES)]
MaybeProof = Annotated[bytes, Meta(max_length=PROOF_BYTES)]


class RedeemRefusal(IntEnum):
    """Why an invitation is not redeemed. The number goes over the wire, so numbers are never reused."""

    NONE = 0
    """It is redeemed: the welcome is in the answer."""
    UNKNOWN = 1
    """There is no such invitation, or the proof does not hold."""
    EXPIRED = 2
    USED_UP = 3
    NICKNAME_TAKEN = 4
    NICKNAME_MISSING = 5
    """The invitation leaves the nickname open, and what was asked for cannot be one."""
    INVITER_GONE = 6
    """The member that was asked cannot reach the inviter."""
    TOO_MANY = 7
    """Too many tries have come from this network recently."""
    CANNOT_ISSUE = 8
    """The inviter may issue no certificates, or cannot write its list of invitations."""
    OTHER_NETWORK = 9
    VOID = 10
    """Its inviter has taken it back."""

    @property
    def text(self) -> str:
        """The reason in words, and what to do about it."""
        return _TEXTS[self]


_TEXTS: Final = {
    RedeemRefusal.NONE: "it was redeemed",
    RedeemRefusal.UNKNOWN: "it is not known there: ask the person who gave it to you for a new one",
    RedeemRefusal.EXPIRED: "it has expired: ask the person who gave it to you for a new one",
    RedeemRefusal.USED_UP: (
        "it has been used as often as it may be: ask the person who gave it to you for a new one"
    ),
    RedeemRefusal.NICKNAME_TAKEN: (
        "another member has this nickname: choose another with --nickname, or, if the invitation says it, "
        "ask for a new one"
    ),
    RedeemRefusal.NICKNAME_MISSING: "it leaves the nickname to you: choose one with --nickname",
    RedeemRefusal.INVITER_GONE: "the member there can reach neither your inviter nor an admin",
    RedeemRefusal.TOO_MANY: "too many tries have come from your network: wait a minute",
    RedeemRefusal.CANNOT_ISSUE: "your inviter cannot let anybody in: the log there says why",
    RedeemRefusal.OTHER_NETWORK: "the node there is of another network",
    RedeemRefusal.VOID: "the person who gave it to you has taken it back: ask for a new one",
}


class Redeem(WireMessage, frozen=True, gc=False):
    """
    The first frame of a node that has an invitation and no certificate yet.

    @ivar versions: the protocol versions that the sender speaks.
    @ivar network: empty where the sender has a short invitation, which does not say it.
    @ivar inviter: who has made the invitation.
    @ivar invitation: which one it is; it says nothing of the secret.
    @ivar nickname: what the sender would be called; counts where the invitation does not say.
    @ivar proof: that the sender has the secret.
    """

    versions: Annotated[tuple[Annotated[int, Meta(ge=0, le=65535)], ...], Meta(min_length=1, max_length=8)]
    network: Annotated[str, Meta(max_length=MAX_NETWORK_ID_CHARACTERS)]
    inviter: NameBytes
    invitation: Nonce
    nickname: Annotated[str, Meta(max_length=32)]
    proof: Proof


class RedeemAnswer(WireMessage, frozen=True, gc=False):
    """
    The answer to a L{Redeem}.

    @ivar body: the L{Welcome}; empty in a refusal.
    @ivar proof: of the same secret; empty where the answering node does not know it.
    """

    refusal: RedeemRefusal
    body: Annotated[bytes, Meta(max_length=MAX_WELCOME_BYTES)] = b""
    proof: MaybeProof = b""


class Welcome(WireMessage, frozen=True):
    """
    What a new member is given.

    @ivar label: what the inviter calls the network.
    @ivar certificate: the new member's, with that of its issuer.
    @ivar beacon_secret: what the members share for their beacons.
    @ivar contacts: where to find members.
    @ivar members: how many members the inviter has links with.
    """

    label: Annotated[str, Meta(max_length=MAX_LABEL_CHARACTERS)]
    certificate: Annotated[bytes, Meta(max_length=MAX_CERTIFICATE_BYTES)]
    beacon_secret: Annotated[bytes, Meta(max_length=MAX_BEACON_SECRET_BYTES)]
    contacts: Annotated[tuple[WireContact, ...], Meta(max_length=MAX_WELCOME_CONTACTS)]
    members: Count


class RedeemFor(WireMessage, frozen=True, gc=False):
    """
    A L{Redeem} that a member passes on to the inviter.

    @ivar number: chosen by that member, for the answer.
    @ivar name: the name that the other end of the link has proven.
    @ivar binding: the exporter value of that link.
    @ivar redeem: the L{Redeem}, as it came.
    """

    number: Nonce
    name: NameBytes
    binding: Annotated[bytes, Meta(min_length=1, max_length=MAX_BINDING_BYTES)]
    redeem: Annotated[bytes, Meta(max_length=MAX_REDEEM_BYTES)]


class RedeemedFor(WireMessage, frozen=True, gc=False):
    """
    The inviter's answer to a L{RedeemFor}.

    @ivar number: that of the L{RedeemFor}.
    @ivar answer: the L{RedeemAnswer}, which is passed on as it is.
    """

    number: Nonce
    answer: Annotated[bytes, Meta(max_length=MAX_ANSWER_BYTES)]


encode: Final = msgspec.msgpack.Encoder().encode
_redeems = msgspec.msgpack.Decoder(Redeem)
_answers = msgspec.msgpack.Decoder(RedeemAnswer)
_welcomes = msgspec.msgpack.Decoder(Welcome)
_passed_on = msgspec.msgpack.Decoder(RedeemFor)
_answered = msgspec.msgpack.Decoder(RedeemedFor)


def decode_redeem(data: bytes) -> Redeem:
    """
    @raise WireError: these bytes are none.
    """
    return decode_with(_redeems, data, "Redeem")


def decode_answer(data: bytes) -> RedeemAnswer:
    """
    @raise WireError: these bytes are none.
    """
    return decode_with(_answers, data, "RedeemAnswer")


def decode_welcome(data: bytes) -> Welcome:
    """
    @raise WireError: these bytes are none.
    """
    return decode_with(_welcomes, data, "Welcome")


def decode_redeem_for(data: bytes) -> RedeemFor:
    """
    @raise WireError: these bytes are none.
    """
    return decode_with(_passed_on, data, "RedeemFor")


def decode_redeemed_for(data: bytes) -> RedeemedFor:
    """
    @raise WireError: these bytes are none.
    """
    return decode_with(_answered, data, "RedeemedFor")


@dataclass(frozen=True, slots=True)
class Redemption:
    """
    One try to redeem an invitation, as both ends know it: what their proofs are about.

    @ivar network: the id of the private network, or empty where who redeems it does not know that.
    @ivar inviter: who has made the invitation.
    @ivar secret: the invitation's.
    @ivar name: who redeems it.
    @ivar binding: the exporter value of the TLS session of the link.
    """

    network: str
    inviter: Name
    secret: bytes
    name: Name
    binding: bytes

    def ask(self, versions: tuple[int, ...], nickname: str) -> Redeem:
        """What is sent to redeem it."""
        proof = self._proof(_ASKING, nickname.encode())
        which = invitation_id(self.secret)
        return Redeem(versions, self.network, self.inviter.raw, which, nickname, proof)

    def is_asked_by(self, redeem: Redeem) -> bool:
        """Whether the proof of a L{Redeem} holds."""
        # the nickname is in the proof: a member that passes it on cannot choose another
        proof = self._proof(_ASKING, redeem.nickname.encode())
        return hmac.compare_digest(proof, redeem.proof)

    def answer(self, refusal: RedeemRefusal, body: bytes = b"") -> RedeemAnswer:
        """What is answered: C{body} is the encoded L{Welcome}."""
        return RedeemAnswer(refusal, body, self._proof(_ANSWERING, bytes([refusal]), body))

    def is_answered_by(self, answer: RedeemAnswer) -> bool:
        """Whether the answer is the inviter's."""
        proof = self._proof(_ANSWERING, bytes([answer.refusal]), answer.body)
        return hmac.compare_digest(proof, answer.proof)

    def _proof(self, label: bytes, *said: bytes) -> bytes:
        fields = (
            label,
            self.network.encode(),
            self.inviter.raw,
            invitation_id(self.secret),
            self.name.raw,
            self.binding,
            *said,
        )
        # the length before each keeps ("ab", "c") and ("a", "bc") apart
        whole = b"".join(len(each).to_bytes(4, "big") + each for each in fields)
        return hmac.digest(self.secret, whole, hashlib.sha256)
