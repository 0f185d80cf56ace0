"""
The credentials of a daemon's node: read from the state directory at the start, and written there when they
change.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from twisted.logger import Logger

from ...config import Role, Settings
from ...errors import KeyFileError
from ...identity import Identity, create_identity, load_identity
from ...routing.private.membership import Keepers, Membership
from ...trust.networks import is_private
from ...trust.roster import Roster
from ...trust.state_files import (
    BEACON_FILE,
    CERTIFICATE_FILE,
    INVITED_AGAIN,
    load_authority,
    load_beacon_secret,
    load_certificate,
    load_members,
    load_roster,
    put_roster_aside,
    save_certificate,
    save_roster,
)
from ..state_directory import key_path
from .member_book import MemberBook

_START_OR_SAY: Final = "start the daemon once, or say --state-dir"
_log: Final = Logger(namespace="routing_crust.daemon.members")
_Value = TypeVar("_Value")


def own_identity(state_dir: Path) -> Identity:
    """
    The key of a node that has started before.

    @raise KeyFileError: the key is gone, or cannot be used.
    """
    path, is_member = key_path(state_dir), _is_member(state_dir)
    if not os.path.lexists(path):
        advice = f"restore it from a copy, or {INVITED_AGAIN}" if is_member else _START_OR_SAY
        raise KeyFileError(f"there is no key file {path}: {advice}")
    return load_identity(path, if_lost=INVITED_AGAIN) if is_member else load_identity(path)


def own_or_new_identity(state_dir: Path) -> Identity:
    """
    The key of a node, made if there is none; but beside a certificate, which is for one key, none is made.

    @raise KeyFileError: the key is gone, cannot be used, or cannot be written.
    """
    path = key_path(state_dir)
    is_new = not os.path.lexists(path) and not _is_member(state_dir)
    return create_identity(path) if is_new else own_identity(state_dir)


def _is_member(state_dir: Path) -> bool:
    return os.path.lexists(state_dir / CERTIFICATE_FILE)


def load_membership(
    state_dir: Path, network: str, identity: Identity, book: MemberBook | None = None
) -> Membership | None:
    """
    The credentials that are kept in a state directory; C{None} for an open network. A damaged roster is put
    aside, and what is whole of it is used: the rest comes from other members.

    @param book: writes down what becomes known of other members; C{None} keeps nothing of it.
    @raise TrustFileError: a file is missing, damaged, or of another network or key.
    """
    if not is_private(network):
        return None
    certificate = load_certificate(state_dir, network, identity.name, identity)
    roster, problem = load_roster(state_dir, network, identity)
    if problem:
        _mend_roster(state_dir, roster, problem)
    # members show their certificates again, so what is lost comes back
    known, problem = load_members(state_dir, network, identity)
    if problem:
        _log.warn("{problem}", problem=problem)
    beacon_secret = load_beacon_secret(state_dir)
    if not beacon_secret:
        _log.info(
            "members on the local network are not looked for, and do not find this node: {file} is missing",
            file=str(state_dir / BEACON_FILE),
        )
    return Membership(
        certificate,
        roster,
        known=known,
        authority=load_authority(state_dir, network),
        beacon_secret=beacon_secret,
        keepers=Keepers(
            certificate=_keeper(state_dir, save_certificate, "certificate"),
            roster=_keeper(state_dir, save_roster, "roster"),
            known=_ignore if book is None else book.keep,
        ),
    )


def certified_settings(settings: Settings, membership: Membership | None) -> Settings:
    """The settings of a node with this certificate: one that is for a client makes it a client."""
    own = None if membership is None else membership.certificate.certificate
    if own is None or own.may_be_node or settings.role is Role.CLIENT:
        return settings
    _log.info("{member} is a client, as its certificate says: it listens nowhere", member=own)
    return replace(settings, role=Role.CLIENT, external=())


def _ignore(_: object) -> None:
    """Keep nothing."""


def _mend_roster(state_dir: Path, roster: Roster, problem: str) -> None:
    try:
        aside = put_roster_aside(state_dir)
        save_roster(state_dir, roster)
    except OSError as error:
        _log.warn("{problem} ({error})", problem=problem, error=error.strerror)
        return
    _log.warn("{problem}; the damaged file is now {aside}", problem=problem, aside=str(aside))


def _keeper(state_dir: Path, save: Callable[[Path, _Value], object], what: str) -> Callable[[_Value], object]:
    def keep(value: _Value) -> None:
        try:
            save(state_dir, value)
        except OSError as error:
            # the node goes on with what it has in memory
            _log.warn(
                "the {what} cannot be written in {folder} ({problem}); the file there stays as it was",
                what=what,
                folder=str(state_dir),
                problem=error.strerror,
            )

    return keep
