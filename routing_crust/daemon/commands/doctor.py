"""C{doctor}: looks at everything that must be right, and says what to do where it is not."""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ... import __version__
from ...endpoints import Endpoint
from ...plain_errors import ConfigurationError
from ..checking.at_rest import of_credentials, of_key, of_ports
from ..checking.checkup import (
    CLOCK,
    FAIL,
    OK,
    RELAYED,
    Finding,
    Interface,
    exit_is_good,
    finding_text,
    of_contacts,
    of_descriptors,
    of_file,
    of_interfaces,
    of_membership,
    of_status,
)
from ..checking.path_mtu import path_mtus
from ..control.client import ClientError, ControlClient
from ..control.messages import StatusCommand, StatusReply
from ..members.networks_here import CONFIG_NAME
from . import EXIT_FAILED, EXIT_OK
from .here import STATUS_TIMEOUT_SECONDS, connect, print_line, state_dir_of

INTERFACES: Final = Path("/sys/class/net")
_UP: Final = 0x1
_LOOPBACK: Final = 0x8
_MULTICAST: Final = 0x1000
"""These three are IFF_ flags of Linux (netdevice(7))."""


def doctor(options: argparse.Namespace) -> int:
    """Print the findings."""
    state_dir = state_dir_of(options)
    user, runs = os.geteuid(), True
    found = [of_file("state directory", state_dir, user), of_key(state_dir, user)]
    try:
        with connect(options) as client:
            found += _of_daemon(client)
    except ClientError as error:
        found.append(Finding("daemon", FAIL, str(error)))
        runs = False
    found += of_interfaces(interfaces_in(INTERFACES))
    config = options.config or state_dir / CONFIG_NAME
    if config.exists():
        try:
            found += _of_settings(config, state_dir, runs)
        except ConfigurationError as error:
            # what else was found must not go with it
            found.append(Finding("settings", FAIL, str(error), f"mend {config}: no daemon starts with it"))
    found = _one_clock(found)
    if options.json:
        print_line(json.dumps([each._asdict() for each in found], indent=2))
    else:
        for each in found:
            print_line(finding_text(each))
    return EXIT_OK if exit_is_good(found) else EXIT_FAILED


def _of_daemon(client: ControlClient) -> list[Finding]:
    status = client.ask(StatusCommand(), StatusReply, STATUS_TIMEOUT_SECONDS).status
    process = status.get("process")
    paths = path_mtus(_hosts(status))
    found = [Finding("daemon", OK, f"process {process}"), *of_status(status, __version__, paths)]
    limit = _descriptor_limit(process)
    if limit is not None:
        found.append(of_descriptors(limit))
    if status.get("membership"):
        found.append(of_membership(status["membership"]))
    return found


def _descriptor_limit(process: object) -> int | None:
    try:
        text = Path(f"/proc/{process}/limits").read_text(encoding="ascii")
    except OSError:
        return None
    limit = re.search(r"^Max open files +(\d+)", text, re.MULTILINE)
    return None if limit is None else int(limit[1])


def interfaces_in(folder: Path) -> Iterator[Interface]:
    """The interfaces that are up and not loopback, as Linux shows them; none where it does not."""
    for each in sorted(folder.glob("*")):
        try:
            flags = int((each / "flags").read_text("ascii"), 16)
            mtu = int((each / "mtu").read_text("ascii"))
        except (OSError, ValueError):
            # what is no interface, or has just gone
            continue
        if flags & _UP and not flags & _LOOPBACK:
            yield Interface(each.name, bool(flags & _MULTICAST), mtu)


def _hosts(status: Mapping[str, Any]) -> list[str]:
    """The addresses of the peers to which there is a link that nobody relays."""
    direct = [each for each in status.get("links", ()) if each.get("rung") != RELAYED and each.get("address")]
    return sorted({Endpoint.from_text(each["address"]).host for each in direct})


def _one_clock(found: Sequence[Finding]) -> list[Finding]:
    """These, without what the daemon says well of a clock that the files prove wrong."""
    wrong = any(each.check == CLOCK and each.verdict != OK for each in found)
    return [each for each in found if each.check != CLOCK or each.verdict != OK or not wrong]


def _of_settings(config: Path, state_dir: Path, daemon_runs: bool) -> list[Finding]:
    """
    What depends on a settings file: credentials, ports and contacts.

    @raise ConfigurationError: the file cannot be used.
    """
    # loads all that settings are made of, for which the other commands need not wait
    from ...config import Settings
    from ...hosts.proxies import ProxyRules
    from ..checking.contacts import check_contacts

    settings = Settings.from_toml(config)
    found = of_credentials(state_dir, settings.network, time.time(), daemon_runs)
    if not daemon_runs:
        found += of_ports(settings)
    return found + of_contacts(check_contacts(settings.contacts, ProxyRules.of(settings.proxy, os.environ)))
