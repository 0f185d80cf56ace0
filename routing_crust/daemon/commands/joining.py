"""C{join}: become a member of a private network with an invitation."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ...endpoints import Contact, Endpoint
from ...errors import ConfigurationError, InvalidEndpoint, JoinFailed
from ...hosts.contacts import AnyContact
from ...hosts.interfaces import Place
from ...hosts.proxies import PROXY_VARIABLES, Proxy, ProxyRules
from ...identity import Identity, write_identity
from ...names import Name
from ...trust.certificate import Ed25519Verifier, SignedCertificate
from ...trust.codec import decode_certificate
from ...trust.invitation import Invitation
from ...trust.judging import Problem, date_text, judge
from ...trust.redeeming import Welcome
from ...trust.roster import Roster
from ...trust.short_invitation import AnyInvitation, invitation_from_text
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
from ..members.starting import Starter
from ..state_directory import default_state_dir, key_path
from . import EXIT_OK
from .here import print_line
from .machine import endpoints_of, own_nickname, write_text

MAX_LINE_BYTES: Final = 4096
_COMMAND: Final = ("routing-crust", "join")


@dataclass(frozen=True, slots=True)
class _Joined:
    """The outcome of a join."""

    signed: SignedCertificate
    label: str
    state_dir: Path
    where: str
    members: int


def join(options: argparse.Namespace, starter: Starter | None = None) -> int:
    """
    Join a network.

    @param starter: starts the daemon in it, where that is wanted.
    """
    invitation = invitation_from_text(_line(options.line))
    listen, external = endpoints_of(options)
    proxy = _proxy(options.proxy)
    _check_room(options.state_dir)
    if isinstance(invitation, Invitation):
        _check_not_expired(invitation)
        _check_new_here(options.state_dir, invitation.network)
    identity = Identity.generate()
    places = ", ".join(map(str, (*invitation.hosts, *invitation.endpoints)))
    if not options.json:
        sys.stderr.write(f"asking at {places} ...\n")
    try:
        welcome, contact = redeem(invitation, identity, options.nickname or own_nickname(), listen, proxy)
    except JoinFailed as error:
        raise JoinFailed(f"{error}{_hint(options.proxy)}") from None
    signed, warning = _certificate(welcome, invitation, identity)
    _check_new_here(options.state_dir, signed.certificate.network)
    contacts = _contacts(welcome, contact)
    joined = _write(options, identity, signed, welcome, contacts, (listen, external))
    if starter is not None:
        joined = replace(joined, members=starter.start(joined.state_dir).members)
    _tell(options, joined, warning)
    return EXIT_OK


def _proxy(text: str) -> Proxy:
    """
    @raise ConfigurationError: it cannot be used.
    """
    try:
        proxy = Proxy.from_text(text)
        ProxyRules.of(proxy, os.environ)
    except InvalidEndpoint as error:
        raise ConfigurationError("proxy", str(error)) from None
    return proxy


def _hint(proxy: str) -> str:
    named = next((each for each in PROXY_VARIABLES if os.environ.get(each)), "")
    return f" ({named} names a proxy: --proxy environment goes through it)" if named and not proxy else ""


def _line(words: list[str]) -> str:
    text = sys.stdin.read(MAX_LINE_BYTES) if words == ["-"] else " ".join(words)
    # the whole command may have been pasted, or a line that a mail program has broken
    words = text.split()
    if tuple(words[:2]) == _COMMAND:
        words = words[2:]
    return " ".join(words)


def _check_room(state_dir: Path | None) -> None:
    """
    Check that there is room for what will be written, before the invitation is used.

    @raise ConfigurationError: there is not.
    """
    if state_dir is not None:
        check_new(state_dir.expanduser().absolute())
    else:
        check_new(default_state_dir("network").parent / ".joining")


def _check_not_expired(invitation: Invitation) -> None:
    """
    @raise JoinFailed: it has.
    """
    if invitation.is_expired(time.time()):
        raise JoinFailed(
            f"the invitation has expired on {date_text(invitation.expiry)} (by the clock here it is "
            f"{date_text(time.time())}): ask for a new one"
        )


def _check_new_here(state_dir: Path | None, network: str) -> None:
    """
    @raise JoinFailed: this machine is in that network, and is not to be so a second time.
    """
    for path in private_networks() if state_dir is None else ():
        if network_at(path) == network:
            raise JoinFailed(
                f"this machine is a member of that network already, in {path.parent}: "
                f"'routing-crust start{way_to(path.parent)}' starts its daemon; --state-dir with "
                "another folder makes it a second member"
            )


def _certificate(
    welcome: Welcome, invitation: AnyInvitation, identity: Identity
) -> tuple[SignedCertificate, str]:
    """
    @return: the certificate that came, and what is wrong with the clock of this machine.
    @raise JoinFailed: the certificate is not good.
    """
    signed = decode_certificate(welcome.certificate)
    # a short invitation does not say which network it is for: its secret has proven the welcome
    network = invitation.network if isinstance(invitation, Invitation) else signed.certificate.network
    found = judge(signed, network, identity.name, Roster(network), time.time(), Ed25519Verifier())
    if found is None:
        return signed, ""
    # it was made just now, by a node that knows the secret; and the invitation is used, so this must not fail
    if found.problem in (Problem.NOT_YET, Problem.EXPIRED):
        return signed, f"set the clock of this machine: {found}"
    raise JoinFailed(f"the certificate that came does not hold: {found}. Tell the person who invited you")


def _contacts(welcome: Welcome, proven: AnyContact | None) -> tuple[AnyContact, ...]:
    """Where members can be found: first where one has let us in."""
    told = (Contact(from_wire(each.endpoint), Name(each.name)) for each in welcome.contacts)
    found = (*told,) if proven is None else (proven, *told)
    return tuple(dict.fromkeys(found))


def _write(
    options: argparse.Namespace,
    identity: Identity,
    signed: SignedCertificate,
    welcome: Welcome,
    contacts: tuple[AnyContact, ...],
    endpoints: tuple[tuple[Place, ...], tuple[Endpoint, ...]],
) -> _Joined:
    label, network = _label(welcome.label), signed.certificate.network
    state_dir = _state_dir(options.state_dir, label, network)
    where = way_to(state_dir, new=True)
    nickname = signed.certificate.nickname
    listen, external = endpoints
    with new_state_dir(state_dir) as making:
        write_identity(key_path(making), identity)
        save_certificate(making, signed)
        save_roster(making, Roster(network))
        if len(welcome.beacon_secret) == BEACON_SECRET_BYTES:
            save_beacon_secret(making, welcome.beacon_secret)
        text = config_text(
            "join",
            label,
            nickname,
            network,
            state_dir,
            where=where,
            role="node" if signed.certificate.may_be_node else "client",
            contacts=contacts,
            proxy=options.proxy,
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


def _tell(options: argparse.Namespace, joined: _Joined, warning: str) -> None:
    own = joined.signed.certificate
    if options.nickname not in ("", own.nickname):
        sys.stderr.write(f"Note: the invitation is for {own.nickname}, so --nickname counts for nothing.\n")
    if warning and not options.json:
        sys.stderr.write(f"Warning: {warning}\n")
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
            "warning": warning,
        }
        print_line(json.dumps(facts, indent=2))
        return
    print_line(f"settings: {joined.state_dir / CONFIG_NAME}")
    if not options.start:
        print_line(f"next:     {start}")
    members = "1 member is" if joined.members == 1 else f"{joined.members} members are"
    print_line(f"you are {own.nickname} in {joined.label}; {members} reachable")
