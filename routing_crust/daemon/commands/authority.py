"""C{authority}: the key of a private network's authority, for which no daemon need run."""

from __future__ import annotations

import argparse
import json
import os

from ...errors import TrustFileError
from ...trust.certificate import Ed25519Verifier
from ...trust.networks import network_of
from ...trust.state_files import (
    AUTHORITY_FILE,
    read_authority,
    read_certificate,
    write_authority,
)
from . import EXIT_OK
from .here import print_line, state_dir_of


def authority(options: argparse.Namespace) -> int:
    """Copy the key to a file, or from one."""
    state_dir = state_dir_of(options)
    here, file = state_dir / AUTHORITY_FILE, options.file.expanduser().absolute()
    if options.action == "import":
        # the network of this member, and not of whatever key there is
        network = read_certificate(state_dir, Ed25519Verifier()).certificate.network
        write_authority(here, read_authority(file, network))
        text = (
            f"the authority key of {network} is on this machine now. Commands use it at once; restart the "
            "daemon for it to renew the certificates of admins and inviters"
        )
    else:
        key = read_authority(here)
        network = network_of(key.name)
        write_authority(file, key)
        text = f"the authority key of {network} is in {file}: keep it where nobody else can read it"
        if options.remove:
            # what cannot be read back is no copy
            read_authority(file, network)
            try:
                os.unlink(here)
            except OSError as error:
                raise TrustFileError(
                    f"the authority key {here} cannot be removed: {error.strerror}"
                ) from None
            text += (
                ". It is no longer on this machine: restart the daemon, which may have it in memory. "
                f"'routing-crust authority import {file}' brings it back"
            )
    if options.json:
        print_line(json.dumps({"network": network, "file": str(file), "removed": options.remove}, indent=2))
    else:
        print_line(text)
    return EXIT_OK
