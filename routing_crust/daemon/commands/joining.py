"""C{join}: become a member of a private network with an invitation."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ...endpoints import Contact, Endpoint
from ...errors import ConfigurationError, JoinFailed
from ...hosts.contacts import AnyContact
from ...hosts.interfaces import Place
from ...identity import Identity, write_identity
from ...names import Name
from ...trust.certificate import Ed25519Verifier, SignedCertificate
from ...trust.codec import decode_certificate
from ...trust.invitation import Invitation
from ...trust.judging import Problem, date_text, judge
from ...trust.redeeming import Welcome
from ...trust.roster import Roster
from ...trust.state_files import (
    BEACON_SECRET_BYTES,
    save_beacon_secret,
    save_certificate,
    save_roster,
)
from ...wire.codec import from_wire
from ..members.networks_here import (
    CONFIG_NAME,
    LABEL_NAME,
    check_new,
    network_at,
    new_state_dir,
    private_networks,
    way_to,
)
from ..members.redeeming import redeem
from ..members.settings_text import config_text
from ..members.starting import start_daemon
from ..state_directory import default_state_dir, key_path
from . import EXIT_OK
from .here import print_line
from .machine import endpoints_of, own_nickname, write_text

MAX_LINE_BYTES: Final = 4096
_COMMAND: Final = ("routing-crust", "join")


@dataclass(frozen=True, slots=True)
class _Joined:
    """What came of it."""

    signed: SignedCertificate
    label: str
    state_dir: Path
    where: str
    members: int


def join(options: argparse.Namespace) -> int:
    """Join a network."""
    invitation = Invitation.from_text(_line(options.line))
    if invitation.is_expired(time.time()):
        raise JoinFailed(
            f"the invitation has expired on {date_text(invitation.expiry)} (by the clock here it is "
            f"{date_text(time.time())}): ask for a new one"
        )
    listen, external = endpoints_of(options)
    _check_new_here(options, invitation)
    identity = Identity.generate()
    places = ", ".join(map(str, (*invitation.hosts, *invitation.endpoints)))
    if not options.json:
        sys.stderr.write(f"asking at {places} ...\n")
    welcome, contact = redeem(invitation, identity, options.nickname or own_nickname(), listen)
    signed = _certificate(welcome, invitation, identity)
    contacts = _contacts(welcome, contact)
    joined = _write(options, invitation, identity, signed, welcome, contacts, (listen, external))
    if options.start:
        joined = replace(joined, members=start_daemon(joined.state_dir).members)
    _tell(options, joined)
    return EXIT_OK


def _line(words: list[str]) -> str:
    if words == ["-"]:
        words = sys.stdin.read(MAX_LINE_BYTES).split()
    # the whole command may have been pasted, or a line that a mail program has broken
    if tuple(words[:2]) == _COMMAND:
        words = words[2:]
    return " ".join(words)


def _check_new_here(options: argparse.Namespace, invitation: Invitation) -> None:
    """
    See that there is room for what will be written, before the invitation is used.

    @raise ConfigurationError: there is not.
    """
    if options.state_dir is not None:
        check_new(options.state_dir.expanduser().absolute())
        return
    check_new(default_state_dir("network").parent / f".{invitation.network[-8:]}")
    for path in private_networks():
        if network_at(path) == invitation.network:
            raise JoinFailed(
                f"this machine is a member of that network already, in {path.parent}: "
                f"'routing-crust start{way_to(path.parent)}' starts its daemon; --state-dir with "
                "another folder makes it a second member"
            )


def _certificate(welcome: Welcome, invitation: Invitation, identity: Identity) -> SignedCertificate:
    """
    @raise JoinFailed: the certificate that came is not good.
    """
    signed = decode_certificate(welcome.certificate)
    roster, verifier = Roster(invitation.network), Ed25519Verifier()
    found = judge(signed, invitation.network, identity.name, roster, time.time(), verifier)
    if found is None:
        return signed
    if found.problem in (Problem.NOT_YET, Problem.EXPIRED):
        raise JoinFailed(f"the certificate that came does not hold ({found}): set the clock of this machine")
    raise JoinFailed(f"the certificate that came does not hold: {found}. Tell who has invited you")


def _contacts(welcome: Welcome, proven: AnyContact | None) -> tuple[AnyContact, ...]:
    """Where members can be found: first where one has let us in."""
    told = (Contact(from_wire(each.endpoint), Name(each.name)) for each in welcome.contacts)
    found = (*told,) if proven is None else (proven, *told)
    return tuple(dict.fromkeys(found))


def _write(
    options: argparse.Namespace,
    invitation: Invitation,
    identity: Identity,
    signed: SignedCertificate,
    welcome: Welcome,
    contacts: tuple[AnyContact, ...],
    endpoints: tuple[tuple[Place, ...], tuple[Endpoint, ...]],
) -> _Joined:
    label = _label(welcome.label)
    state_dir = _state_dir(options.state_dir, label, invitation.network)
    where = way_to(state_dir, new=True)
    nickname = signed.certificate.nickname
    listen, external = endpoints
    with new_state_dir(state_dir) as making:
        write_identity(key_path(making), identity)
        save_certificate(making, signed)
        save_roster(making, Roster(invitation.network))
        if len(welcome.beacon_secret) == BEACON_SECRET_BYTES:
            save_beacon_secret(making, welcome.beacon_secret)
        text = config_text(
            "join",
            label,
            nickname,
            invitation.network,
            state_dir,
            where=where,
            role="node" if signed.certificate.may_be_node else "client",
            contacts=contacts,
            listen=listen,
            external=external,
        )
        write_text(making / CONFIG_NAME, text)
        write_text(making / LABEL_NAME, f"{label}\n")
    return _Joined(signed, label, state_dir, where, welcome.members)


def _label(given: str) -> str:
    # it becomes the name of a folder, and comes from elsewhere
    kept = "".join(each if each.isascii() and (each.isalnum() or each in "._-") else "-" for each in given)
    return kept.lstrip(".-_")[:32] or "network"


def _state_dir(given: Path | None, label: str, network: str) -> Path:
    if given is not None:
        return given.expanduser().absolute()
    usual = default_state_dir(label).absolute()
    try:
        check_new(usual)
    except ConfigurationError:
        # the invitation is used, so this must not fail: another network has the same label here
        return default_state_dir(f"{label}-{network[-8:]}").absolute()
    return usual


def _tell(options: argparse.Namespace, joined: _Joined) -> None:
    own = joined.signed.certificate
    if options.nickname not in ("", own.nickname):
        sys.stderr.write(f"Note: the invitation is for {own.nickname}, so --nickname counts for nothing.\n")
    start = f"twistd -n routing-node{joined.where}"
    if options.json:
        facts = {
            "label": joined.label,
            "network": own.network,
            "nickname": own.nickname,
            "name": str(own.name),
            "state_dir": str(joined.state_dir),
            "members": joined.members,
            "running": options.start,
            "next": [] if options.start else [start],
        }
        print_line(json.dumps(facts, indent=2))
        return
    print_line(f"settings: {joined.state_dir / CONFIG_NAME}")
    if not options.start:
        print_line(f"next:     {start}")
    members = "1 member is" if joined.members == 1 else f"{joined.members} members are"
    print_line(f"you are {own.nickname} in {joined.label}; {members} reachable")
