"""C{init}: found a private network, with this machine as its first member and its admin."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from secrets import token_bytes

from ...config import Settings
from ...identity import Identity, create_identity
from ...trust.certificate import MemberRole, SignedCertificate
from ...trust.issuing import Issuer
from ...trust.networks import network_of
from ...trust.roster import Roster
from ...trust.state_files import (
    AUTHORITY_FILE,
    BEACON_SECRET_BYTES,
    save_beacon_secret,
    save_certificate,
    save_roster,
    write_authority,
)
from ..members.networks_here import CONFIG_NAME, LABEL_NAME, new_state_dir, way_to
from ..members.settings_text import config_text
from ..members.starting import Starter
from ..state_directory import default_state_dir, key_path
from . import EXIT_OK
from .here import print_line
from .machine import endpoints_of, own_nickname, write_text

FOUNDER_ROLES = (MemberRole.NODE, MemberRole.RELAY, MemberRole.ADMIN)


def init(options: argparse.Namespace, starter: Starter | None = None) -> int:
    """
    Found a network.

    @param starter: starts its daemon, where that is wanted.
    """
    state_dir = (options.state_dir or default_state_dir(options.label)).expanduser().absolute()
    listen, external = endpoints_of(options)
    nickname = options.nickname or own_nickname()
    where = way_to(state_dir, new=True)
    with new_state_dir(state_dir) as making:
        signed = _credentials(making, nickname)
        network = signed.certificate.network
        text = config_text(
            "init",
            options.label,
            nickname,
            network,
            state_dir,
            where=where,
            role="first",
            listen=listen,
            external=external,
        )
        write_text(making / CONFIG_NAME, text)
        write_text(making / LABEL_NAME, f"{options.label}\n")
    if starter is not None:
        starter.start(state_dir, alone=True)
    name = signed.certificate.name
    start, invite = f"twistd -n routing-node{where}", f"routing-crust invite{where} NICKNAME"
    to_do = [invite] if options.start else [start, invite]
    if options.json:
        facts = {
            "label": options.label,
            "network": network,
            "nickname": nickname,
            "name": str(name),
            "state_dir": str(state_dir),
            "authority_key": str(state_dir / AUTHORITY_FILE),
            "running": options.start,
            "next": to_do,
        }
        print_line(json.dumps(facts, indent=2))
        return EXIT_OK
    print_line(
        f"{options.label} is founded, and this machine is its admin, {nickname} ({name.short}).\n"
        f"  settings        {state_dir / CONFIG_NAME}\n"
        f"  authority key   {state_dir / AUTHORITY_FILE}\n"
        "                  Anyone who has it owns the network: keep a copy where nobody else can read it.\n"
        "Next:\n" + "\n".join(f"  {each}" for each in to_do)
    )
    return EXIT_OK


def _credentials(making: Path, nickname: str) -> SignedCertificate:
    """Make the keys, and the certificate of an admin."""
    identity = create_identity(key_path(making))
    authority = Identity.generate()
    write_authority(making / AUTHORITY_FILE, authority)
    signed = Issuer(authority).issue(identity.name, nickname, FOUNDER_ROLES, time.time())
    save_certificate(making, signed)
    network = network_of(authority.name)
    # a network's id that settings refuse would be found out too late
    Settings(network=network)
    save_roster(making, Roster(network))
    save_beacon_secret(making, token_bytes(BEACON_SECRET_BYTES))
    return signed
