"""A private network on this machine, of which the hostile client is no member."""

from __future__ import annotations

import time
from pathlib import Path

from routing_crust.daemon.state_directory import key_path, prepare_state_dir
from routing_crust.identity import Identity, create_identity
from routing_crust.routing.private.membership import Membership
from routing_crust.trust.certificate import MemberRole
from routing_crust.trust.issuing import Issuer
from routing_crust.trust.networks import network_of
from routing_crust.trust.state_files import save_certificate


class PrivateGround:
    """
    Made for one daemon.

    @ivar network: the network's id.
    """

    def __init__(self) -> None:
        authority = Identity.generate()
        self.network = network_of(authority.name)
        self._issuer = Issuer(authority)

    def membership(self, identity: Identity, nickname: str = "honest") -> Membership:
        """The credentials of an honest node."""
        roles = (MemberRole.NODE, MemberRole.RELAY)
        return Membership(self._issuer.issue(identity.name, nickname, roles, time.time()))

    def fill(self, state_dir: Path) -> None:
        """Put the key and the certificate of a daemon into its state directory."""
        prepare_state_dir(state_dir)
        identity = create_identity(key_path(state_dir))
        save_certificate(state_dir, self.membership(identity, "target").certificate)
