"""
What the files of a node say of it, whether its daemon runs or not: its certificate, the clock, and the ports
that a daemon would need.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from twisted.internet.protocol import Factory

from ...config import Role, Settings
from ...crust.accept.ports import open_ports
from ...endpoints import Endpoint
from ...errors import CannotListen, KeyFileError, TrustFileError
from ...identity import Identity, load_identity
from ...trust.certificate import SignedCertificate
from ...trust.judging import judge, standing
from ...trust.networks import is_private
from ...trust.roster import Roster
from ...trust.state_files import load_certificate, load_roster
from ..members.credentials import own_identity
from ..state_directory import key_path
from ..text import duration
from .checkup import CLOCK, FAIL, OK, SET_THE_CLOCK, WARN, Finding, of_file, of_membership

MAX_LEAD_SECONDS: Final = 60.0
"""By how much an admin's clock may be ahead of ours before one of the two is called wrong."""


def of_key(state_dir: Path, user: int) -> Finding:
    """The key file: whose it is, who may read it, and whether the daemon can use it."""
    path = key_path(state_dir)
    found = of_file("key file", path, user)
    if found.verdict == FAIL and path.exists():
        return found
    try:
        own_identity(state_dir)
    except KeyFileError as error:
        return Finding("key file", FAIL, str(error))
    return found


def of_credentials(state_dir: Path, network: str, now: float, daemon_runs: bool) -> list[Finding]:
    """
    The certificate in a state directory, judged as the daemon does it, and whether the clock can be right.

    @param now: in seconds since the epoch.
    @param daemon_runs: whether it has been asked for the certificate, so that the clock alone is of interest.
    """
    if not is_private(network):
        return []
    try:
        identity = load_identity(key_path(state_dir))
        signed = load_certificate(state_dir, network, identity.name, identity)
        roster, torn = load_roster(state_dir, network, identity)
    except KeyFileError:
        return []  # said of the key file
    except TrustFileError as error:
        return [] if daemon_runs else [Finding("certificate", FAIL, str(error))]
    found = _of_clock(signed, roster, now)
    if not daemon_runs:
        found.append(_of_certificate(signed, roster, identity, now))
        if torn:
            found.append(Finding("roster", WARN, torn))
    return found


def of_ports(settings: Settings) -> list[Finding]:
    """Whether a daemon could listen where the settings say. It must not run."""
    fixed = [each for each in settings.listen if isinstance(each, Endpoint)]
    if settings.role is Role.CLIENT or not fixed:
        return []
    try:
        open_ports(_NoReactor(), Factory(), fixed)
    except CannotListen as error:
        advice = "nothing is to be done if that is a socket which systemd keeps for the daemon"
        return [Finding("ports", WARN, str(error), advice)]
    return [Finding("ports", OK, f"{', '.join(map(str, fixed))} can be listened on")]


class _NoReactor:
    """Takes ports and serves nobody there: they are closed at once."""

    def adoptStreamPort(self, descriptor: int, family: int, factory: object) -> Any:
        return None


def _of_certificate(signed: SignedCertificate, roster: Roster, identity: Identity, now: float) -> Finding:
    rejection = judge(signed, roster.network, identity.name, roster, now, identity)
    return of_membership(standing(signed.certificate, rejection, now))


def _of_clock(signed: SignedCertificate, roster: Roster, now: float) -> list[Finding]:
    """Nothing if the clock may be right: what has been signed already cannot be of the future."""
    chain = (signed, signed.issuer_certificate)
    times = [
        *(each.certificate.not_before for each in chain if each is not None),
        *(each.statement.time for each in roster.statements),
    ]
    lead = max(times) - now
    if lead <= MAX_LEAD_SECONDS:
        return []
    text = f"it is {duration(lead)} behind, or more: files here were signed later than it shows"
    return [Finding(CLOCK, WARN, text, SET_THE_CLOCK)]
