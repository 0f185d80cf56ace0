"""
Membership: the credentials of a node of a private network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ...bounded_dict import BoundedDict
from ...errors import ConfigurationError
from ...identity import Identity
from ...names import Name
from ...trust.certificate import SignedCertificate
from ...trust.networks import is_private
from ...trust.roster import Roster

MAX_KNOWN: Final = 4096
"""Members whose certificates are remembered beyond their links, for their nicknames."""


def _keep_nothing(_: object) -> None:
    """What is in memory only is lost with the process."""


class Membership:
    """
    Made by whoever has the credentials, such as the daemon from its files, and given to the service, which
    replaces them as time goes by. It outlives the stops of the service.

    @ivar network: the id of the private network.
    @ivar certificate: our own certificate.
    @ivar roster: the statements that we hold.
    @ivar authority: the key of the network's authority, on the machine where that is; else C{None}.
    @ivar known: the latest certificates of other members that we have met or certified.
    @ivar beacon_secret: what the members share for their beacons; empty if this node lacks it, and then no
        members are looked for on the local network.
    """

    def __init__(
        self,
        certificate: SignedCertificate,
        roster: Roster | None = None,
        *,
        authority: Identity | None = None,
        known: Iterable[SignedCertificate] = (),
        beacon_secret: bytes = b"",
        keep_certificate: Callable[[SignedCertificate], object] = _keep_nothing,
        keep_roster: Callable[[Roster], object] = _keep_nothing,
        keep_known: Callable[[Sequence[SignedCertificate]], object] = _keep_nothing,
    ) -> None:
        """
        @param roster: C{None} is an empty one.
        @param keep_certificate: called with each new certificate of ours, to keep it for the next start.
        @param keep_roster: called with each new roster, likewise.
        @param keep_known: called with what is in C{known} when that changes, likewise. None may raise.
        """
        self.network = certificate.certificate.network
        self.certificate = certificate
        self.roster = Roster(self.network) if roster is None else roster
        self.authority = authority
        self.known: BoundedDict[Name, SignedCertificate] = BoundedDict(MAX_KNOWN)
        for each in known:
            self.known[each.certificate.name] = each
        self.beacon_secret = beacon_secret
        self._keep_certificate = keep_certificate
        self._keep_roster = keep_roster
        self._keep_known = keep_known

    def set_certificate(self, certificate: SignedCertificate) -> None:
        """Show this certificate from now on, and keep it."""
        self.certificate = certificate
        self._keep_certificate(certificate)

    def set_roster(self, roster: Roster) -> None:
        """Judge by this roster from now on, and keep it."""
        self.roster = roster
        self._keep_roster(roster)

    def remember(self, signed: SignedCertificate) -> None:
        """Remember the certificate of another member, and keep it."""
        name = signed.certificate.name
        before = self.known.get(name)
        self.known.put(name, signed)
        if before != signed:
            self._keep_known(tuple(self.known.values()))


def check_membership(network: str, identity: Identity, membership: Membership | None) -> None:
    """
    See that a node has what its network wants.

    @raise ConfigurationError: the network is private and there is no membership, or one of another network or
        for another key; or it is open, and there is one.
    """
    if membership is None:
        if is_private(network):
            problem = "this network is private, and there is no certificate: join it with an invitation"
            raise ConfigurationError("network", problem)
        return
    if membership.network != network:
        raise ConfigurationError(
            "network", f"the certificate is of the network {membership.network}, and not of {network}"
        )
    own = membership.certificate.certificate
    if own.name != identity.name:
        raise ConfigurationError(
            "network", f"the certificate is that of {own}, and the key is that of {identity.name.short}"
        )
