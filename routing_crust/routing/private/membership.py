"""
Membership: the credentials of a node of a private network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ...errors import ConfigurationError
from ...identity import Identity
from ...trust.certificate import SignedCertificate
from ...trust.member_directory import MemberDirectory
from ...trust.networks import is_private
from ...trust.roster import Roster


def _keep_nothing(_: object) -> None:
    """What is in memory only is lost with the process."""


@dataclass(frozen=True, slots=True)
class Keepers:
    """
    What keeps credentials for the next start. None may raise.

    @ivar certificate: called with each new certificate of ours.
    @ivar roster: called with each new roster.
    @ivar known: called with all members' certificates when a new one is known.
    """

    certificate: Callable[[SignedCertificate], object] = _keep_nothing
    roster: Callable[[Roster], object] = _keep_nothing
    known: Callable[[Sequence[SignedCertificate]], object] = _keep_nothing


_KEEPS_NOTHING: Final = Keepers()


class Membership:
    """
    Made by the holder of the credentials, such as the daemon from its files, and given to the service, which
    replaces them as time goes by. It outlives the stops of the service.

    @ivar network: the id of the private network.
    @ivar certificate: our own certificate.
    @ivar roster: the statements that we hold.
    @ivar authority: the key of the network's authority, on the machine where that is; else C{None}.
    @ivar known: the certificates of all members, ours too, as far as we have heard of them.
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
        keepers: Keepers = _KEEPS_NOTHING,
    ) -> None:
        """
        @param roster: C{None} is an empty one.
        """
        self.network = certificate.certificate.network
        self.certificate = certificate
        self.roster = Roster(self.network) if roster is None else roster
        self.authority = authority
        self.known = MemberDirectory(self.is_shared)
        for each in (certificate, *known):
            self.known.add(each)
        self.beacon_secret = beacon_secret
        self._keepers = keepers

    def set_certificate(self, certificate: SignedCertificate) -> bool:
        """
        Show this certificate from now on, and keep it.

        @return: whether it was unknown.
        """
        self.certificate = certificate
        self._keepers.certificate(certificate)
        return self.learn(certificate)

    def set_roster(self, roster: Roster) -> None:
        """Judge by this roster from now on, and keep it."""
        self.roster = roster
        # by the new roster: what is shared with others depends on who is banned
        self.known.refresh()
        self._keepers.roster(roster)

    def learn(self, signed: SignedCertificate) -> bool:
        """
        Remember a certificate that is genuine, and keep it.

        @return: whether it is new.
        """
        if not self.known.add(signed):
            return False
        self._keepers.known(self.known.certificates)
        return True

    def is_shared(self, signed: SignedCertificate) -> bool:
        """Whether others should have this certificate: neither it nor its issuer's is banned or revoked."""
        roster = self.roster
        chain = (signed,) if signed.issuer_certificate is None else (signed, signed.issuer_certificate)
        return all(
            roster.ban_of(each.certificate.name) is None
            and each.certificate.serial >= roster.lowest_serial(each.certificate.name)
            for each in chain
        )


def check_membership(network: str, identity: Identity, membership: Membership | None) -> None:
    """
    Check that a node has what its network wants.

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
