"""
The files of a private network in a state directory, written whole or not at all:

 - C{certificate}: this member's, with that of its issuer;
 - C{roster}: the statements, each in a line, with the digest of all in the first one;
 - C{members}: certificates of other members, each in a line;
 - C{authority.key}: the network's authority, only where its founder keeps it;
 - C{beacon.secret}: what the members share for their beacons.

The ledger of an inviter is in L{routing_crust.trust.ledger_file}.
"""

from __future__ import annotations

import base64
import binascii
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..errors import InvalidName, KeyFileError, TrustFileError, WireError
from ..identity import Identity, load_identity, write_identity
from ..names import Name
from ..wire.fields import MAX_CERTIFICATE_BYTES
from .certificate import SignedCertificate, Verifier
from .codec import decode_certificate, encode_certificate
from .issuing import is_authority_of
from .judging import date_text
from .networks import network_of
from .roster import (
    MAX_ADMINS_IN_ROSTER,
    MAX_STATEMENTS_OF_AN_ADMIN,
    MAX_STATEMENTS_OF_THE_AUTHORITY,
    Roster,
    statement_problem,
)
from .statement import MAX_STATEMENT_BYTES, SignedStatement, decode_statement
from .text_files import read_text, write_text

CERTIFICATE_FILE: Final = "certificate"
ROSTER_FILE: Final = "roster"
MEMBERS_FILE: Final = "members"
AUTHORITY_FILE: Final = "authority.key"
BEACON_FILE: Final = "beacon.secret"
BEACON_SECRET_BYTES: Final = 32
DAMAGED_SUFFIX: Final = ".damaged"

_CERTIFICATE_HEAD: Final = "routing-crust certificate 1"
_ROSTER_HEAD: Final = "routing-crust roster 1"
_MEMBERS_HEAD: Final = "routing-crust members 1"
_MAX_MEMBERS_FILE_BYTES: Final = 8192 * 2 * MAX_CERTIFICATE_BYTES
_MAX_CERTIFICATE_FILE_BYTES: Final = 4 * MAX_CERTIFICATE_BYTES
_MAX_ROSTER_FILE_BYTES: Final = (
    2
    * MAX_STATEMENT_BYTES
    * (MAX_STATEMENTS_OF_THE_AUTHORITY + MAX_ADMINS_IN_ROSTER * MAX_STATEMENTS_OF_AN_ADMIN)
)
INVITED_AGAIN: Final = "have this machine invited again"
_ADVICE: Final = f"restore it from a copy, or {INVITED_AGAIN}"


def read_certificate(state_dir: Path, verifier: Verifier) -> SignedCertificate:
    """
    Read the certificate in a state directory, whosever it is.

    @raise TrustFileError: there is none, or it is damaged or edited.
    """
    path = state_dir / CERTIFICATE_FILE
    text = read_text(path, _MAX_CERTIFICATE_FILE_BYTES, "certificate")
    if text is None:
        raise TrustFileError(
            f"there is no certificate at {path}: join the private network with an invitation"
        )
    try:
        # the comment says whose it is, for those who open the file
        lines = [each for each in text.split("\n") if not each.startswith("#")]
        if lines[:1] != [_CERTIFICATE_HEAD]:
            raise WireError("it does not begin as one")
        signed = decode_certificate(base64.b64decode("".join(lines[1:]), validate=True))
    except (WireError, binascii.Error, ValueError) as error:
        raise TrustFileError(f"the certificate {path} is damaged ({error}): {_ADVICE}") from None
    chain = (signed, signed.issuer_certificate)
    if not all(each.is_signed(verifier) for each in chain if each is not None):
        raise TrustFileError(f"the certificate {path} is not what its issuer has signed: {_ADVICE}")
    return signed


def load_certificate(state_dir: Path, network: str, name: Name, verifier: Verifier) -> SignedCertificate:
    """
    Read this member's certificate. Whether it has expired, or is banned, is not looked at.

    @param network: the network that it must be of.
    @param name: the member that it must be of.
    @raise TrustFileError: there is none, it is damaged or edited, or another one's.
    """
    signed = read_certificate(state_dir, verifier)
    own, path = signed.certificate, state_dir / CERTIFICATE_FILE
    if own.network != network:
        raise TrustFileError(f"the certificate {path} is of the network {own.network}, and not of {network}")
    if own.name != name:
        raise TrustFileError(
            f"the certificate {path} is that of {own}, and the key beside it is {name.short}: {_ADVICE}"
        )
    return signed


def save_certificate(state_dir: Path, signed: SignedCertificate) -> None:
    """
    @raise OSError: it cannot be written; the old one is still there.
    """
    own = signed.certificate
    coded = base64.b64encode(encode_certificate(signed)).decode("ascii")
    head = (
        f"# {own} in {own.network}, until {date_text(own.not_after)}.",
        "# It is signed, so there is nothing to edit.",
        _CERTIFICATE_HEAD,
    )
    write_text(state_dir / CERTIFICATE_FILE, "\n".join((*head, *textwrap.wrap(coded, 76), "")))


def load_roster(state_dir: Path, network: str, verifier: Verifier) -> tuple[Roster, str]:
    """
    Read the roster. What is left of a damaged one is used; the node gets the rest from its peers.

    @return: the roster, and what is wrong with the file, in words; empty if nothing is.
    @raise TrustFileError: it is of another network, or cannot be read.
    """
    path = state_dir / ROSTER_FILE
    text = read_text(path, _MAX_ROSTER_FILE_BYTES, "roster")
    if text is None:
        return Roster(network), ""
    lines = text.split("\n")
    head = lines[0].removeprefix(_ROSTER_HEAD + " ").split(" ")
    is_headed = lines[0].startswith(_ROSTER_HEAD) and len(head) == 2 and _is_network(head[0])
    if is_headed and head[0] != network:
        raise TrustFileError(
            f"the roster {path} is of the network {head[0]}, and not of {network}: move it away"
        )
    found = [_statement(each, network, verifier) for each in lines[1:] if each]
    statements = [each for each in found if each is not None]
    # the digest finds lines that are missing as a whole, which signatures cannot
    roster = Roster(network, statements)
    if len(found) == len(statements) and head == [network, roster.digest.hex()]:
        return roster, ""
    return roster, (
        f"the roster {path} is torn or edited: {len(roster)} of its statements hold, and what is missing "
        "comes from other members"
    )


def save_roster(state_dir: Path, roster: Roster) -> None:
    """
    @raise OSError: it cannot be written; the old one is still there.
    """
    lines = [base64.b64encode(each.encoded).decode("ascii") for each in roster.statements]
    head = f"{_ROSTER_HEAD} {roster.network} {roster.digest.hex()}"
    write_text(state_dir / ROSTER_FILE, "\n".join((head, *lines, "")))


def put_roster_aside(state_dir: Path) -> Path:
    """
    Rename a damaged roster, so that somebody can look at it. Returns its new path.

    @raise OSError: it cannot be renamed.
    """
    path = state_dir / ROSTER_FILE
    aside = path.with_name(ROSTER_FILE + DAMAGED_SUFFIX)
    # one copy is enough: the next damage replaces it
    os.replace(path, aside)
    return aside


def load_members(
    state_dir: Path, network: str, verifier: Verifier
) -> tuple[tuple[SignedCertificate, ...], str]:
    """
    Read the certificates of other members. Whether they have expired, or are banned, is not looked at.

    @return: those that hold, and what is wrong with the file, in words; empty if nothing is.
    """
    path = state_dir / MEMBERS_FILE
    try:
        text = read_text(path, _MAX_MEMBERS_FILE_BYTES, "list of members")
    except TrustFileError as error:
        return (), str(error)
    if text is None:
        return (), ""
    head, *lines = text.split("\n")
    found = [_certificate(each, network, verifier) for each in lines if each]
    members = tuple(each for each in found if each is not None)
    if head == f"{_MEMBERS_HEAD} {network}" and len(found) == len(members):
        return members, ""
    return members, (
        f"the list of members {path} is damaged or of another network: {len(members)} of its certificates "
        "hold, and the others come with their members"
    )


def save_members(state_dir: Path, network: str, members: Sequence[SignedCertificate]) -> None:
    """
    @raise OSError: it cannot be written; the old one is still there.
    """
    lines = [base64.b64encode(encode_certificate(each)).decode("ascii") for each in members]
    write_text(state_dir / MEMBERS_FILE, "\n".join((f"{_MEMBERS_HEAD} {network}", *lines, "")))


def read_authority(path: Path, network: str | None = None) -> Identity:
    """
    Read the key of an authority.

    @param network: the network that it must be the authority of; C{None} takes any.
    @raise TrustFileError: there is none, others may read it, it is damaged, or another network's.
    """
    try:
        authority = load_identity(
            path,
            "authority key",
            "found a new network, since anyone who has this key decides who is a member",
            "go on without it: admins can still invite and ban, but nobody can make admins",
        )
    except KeyFileError as error:
        raise TrustFileError(str(error)) from None
    if network is not None and not is_authority_of(authority, network):
        raise TrustFileError(
            f"the authority key {path} is that of the network {network_of(authority.name)}, and "
            f"not of {network}"
        )
    return authority


def load_authority(state_dir: Path, network: str) -> Identity | None:
    """
    Read the key of the authority, if it is kept here.

    @raise TrustFileError: as L{read_authority} does.
    """
    path = state_dir / AUTHORITY_FILE
    # lexists, not exists: a dangling link is a damaged file
    return read_authority(path, network) if os.path.lexists(path) else None


def write_authority(path: Path, authority: Identity) -> None:
    """
    Write the key of an authority to a new file of mode 0600.

    @raise TrustFileError: the file is there already, or cannot be written.
    """
    try:
        write_identity(path, authority, "authority key")
    except KeyFileError as error:
        raise TrustFileError(str(error)) from None


def load_beacon_secret(state_dir: Path) -> bytes:
    """
    Read what the members share for their beacons; empty if there is none.

    @raise TrustFileError: it is damaged.
    """
    path = state_dir / BEACON_FILE
    text = read_text(path, 4 * BEACON_SECRET_BYTES, "secret of the beacons")
    if text is None:
        return b""
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError:
        secret = b""
    if len(secret) != BEACON_SECRET_BYTES:
        raise TrustFileError(
            f"the secret of the beacons {path} is damaged: copy it from another member, or move it away; "
            "then members on the local network find each other by their contacts only"
        )
    return secret


def save_beacon_secret(state_dir: Path, secret: bytes) -> None:
    """
    @raise OSError: it cannot be written.
    """
    write_text(state_dir / BEACON_FILE, secret.hex() + "\n")


def _statement(line: str, network: str, verifier: Verifier) -> SignedStatement | None:
    """The statement of a line; C{None} if it is damaged, or may not be kept."""
    try:
        statement = decode_statement(base64.b64decode(line, validate=True))
    except (WireError, binascii.Error, ValueError):
        return None
    return None if statement_problem(statement, network, verifier) else statement


def _certificate(line: str, network: str, verifier: Verifier) -> SignedCertificate | None:
    """The certificate of a line; C{None} if it is damaged, forged or of another network."""
    try:
        signed = decode_certificate(base64.b64decode(line, validate=True))
    except (WireError, binascii.Error, ValueError):
        return None
    chain = (signed, signed.issuer_certificate)
    good = all(each.is_signed(verifier) for each in chain if each is not None)
    return signed if good and signed.certificate.network == network else None


def _is_network(text: str) -> bool:
    try:
        return network_of(Name.from_text(text.partition(":")[2])) == text
    except InvalidName:
        return False
