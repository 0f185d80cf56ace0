"""
What C{routing-crust doctor} finds: a verdict on each thing that must be right, and what to do where
it is not.

Decisions only: the command gathers what is judged here.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ...limits import DAY_SECONDS
from ..text import duration, network_text

OK: Final = "ok"
WARN: Final = "warn"
FAIL: Final = "fail"
CLOCK: Final = "clock"
RELAYED: Final = "tunnel"
"""What the status calls the connection type of links that another node relays."""
MAX_CLOCK_OFFSET_SECONDS: Final = 10.0
"""Requests of a node whose clock is further off are refused for their age before long."""
MIN_MTU_BYTES: Final = 1280
"""The least that IPv6 allows; with less, many paths lose whole packets."""
SET_THE_CLOCK: Final = "set it: 'timedatectl set-ntp true'"
NOT_YET: Final = "not_yet"
EXPIRED: Final = "expired"
"""Problems of a certificate that a wrong clock alone can cause."""
ROOT: Final = 0
MAX_HOSTS_SHOWN: Final = 3
NO_PATHS: Final[Mapping[str, int]] = MappingProxyType({})
FEW_DESCRIPTORS: Final = 1024
"""Each link and each carried connection takes one or two."""


class Finding(NamedTuple):
    """
    One line.

    @ivar check: what was looked at.
    @ivar verdict: L{OK}, L{WARN} or L{FAIL}.
    @ivar text: what was found.
    @ivar advice: what to do; empty where nothing is to be done.
    """

    check: str
    verdict: str
    text: str
    advice: str = ""


class Interface(NamedTuple):
    """
    A network interface that is up, and not loopback.

    @ivar multicast: whether it carries packets to many.
    @ivar mtu: the largest packet, in bytes.
    """

    name: str
    multicast: bool
    mtu: int


def of_file(check: str, path: Path, user: int) -> Finding:
    """
    A file or folder of the daemon: whose it is, and who may read it.

    @param user: who looks. Root may look at anybody's.
    """
    try:
        status = path.stat()
    except OSError as error:
        advice = "start the daemon once, or say --state-dir"
        return Finding(check, FAIL, f"{path}: {error.strerror}", advice)
    mode = stat.S_IMODE(status.st_mode)
    # its mode may be right, and yet the daemon could not read it
    if user not in (status.st_uid, ROOT):
        return Finding(check, FAIL, f"{path} is another user's", "run this as that user, or chown it")
    if mode & 0o077:
        advice = f"run 'chmod {'700' if stat.S_ISDIR(status.st_mode) else '600'} {path}'"
        return Finding(check, FAIL, f"{path} has mode {mode:04o}: others may read it", advice)
    return Finding(check, OK, f"{path}, mode {mode:04o}")


def of_status(
    status: Mapping[str, Any], version: str, path_mtus: Mapping[str, int] = NO_PATHS
) -> list[Finding]:
    """
    What the daemon reports of its node.

    @param path_mtus: the largest packets that pass to the hosts of its links, by their addresses.
    """
    return [
        _version(status, version),
        _network(status),
        _listening(status),
        _dialable(status),
        _router(status),
        _nat(status),
        _path_mtu(status, path_mtus),
        _uplinks(status),
        _ipv6(status),
        _links(status),
        _clock(status),
    ]


def of_contacts(outcomes: Iterable[tuple[str, str]]) -> list[Finding]:
    """The contacts of the settings: each with the problem of a connection to it, empty if there was none."""
    return [
        Finding("contact", WARN, f"{contact}: {problem}", "see whether that node runs, and the address")
        if problem
        else Finding("contact", OK, f"{contact} answers")
        for contact, problem in outcomes
    ]


def of_membership(membership: Mapping[str, Any]) -> Finding:
    """Our certificate in a private network, by the rules of the daemon itself: its log warns by them, too."""
    until, days = membership.get("until", "?"), membership.get("seconds_left", 0) / DAY_SECONDS
    if membership.get("problem"):
        advice = "ask an admin for a new invitation, and 'routing-crust join' again"
        if membership.get("problem_kind") in (NOT_YET, EXPIRED):
            advice = f"see first whether the clock of this host is right; if it is, {advice}"
        return Finding("certificate", FAIL, str(membership["problem"]), advice)
    if membership.get("ends_soon"):
        advice = "let this node link with an admin or the member that invited it, which renew it"
        return Finding("certificate", WARN, f"it ends in {days:.0f} days, and was not renewed", advice)
    return Finding("certificate", OK, f"it is good until {until}")


def of_interfaces(interfaces: Iterable[Interface]) -> list[Finding]:
    """The interfaces that are up, without loopback: whether nodes are found by them, and their MTU."""
    up = list(interfaces)
    names = ", ".join(each.name for each in up if each.multicast)
    found = [Finding("multicast", OK, f"possible on {names}: nodes on the local network can be found")]
    if not names:
        text, advice = "no interface has it: nodes on the local network are not found", "name a contact"
        found = [Finding("multicast", WARN, text, advice)]
    small = [each for each in up if each.mtu < MIN_MTU_BYTES]
    if small:
        text = ", ".join(f"{each.name} has {each.mtu} bytes" for each in small)
        advice = f"set it to {MIN_MTU_BYTES} or more: large packets get lost, and links hang"
        found.append(Finding("MTU", WARN, text, advice))
    else:
        found.append(Finding("MTU", OK, ", ".join(f"{each.name} has {each.mtu}" for each in up) or "none"))
    return found


def of_descriptors(limit: int) -> Finding:
    """How many files and sockets the daemon may have open."""
    if limit < FEW_DESCRIPTORS:
        advice = "raise 'ulimit -n', or LimitNOFILE in the unit"
        return Finding("descriptors", WARN, f"at most {limit}", advice)
    return Finding("descriptors", OK, f"at most {limit}")


def exit_is_good(found: Iterable[Finding]) -> bool:
    """Whether nothing has failed."""
    return all(each.verdict != FAIL for each in found)


def _version(status: Mapping[str, Any], version: str) -> Finding:
    runs = status.get("version")
    if runs != version:
        text = f"the daemon runs {runs}, and {version} is installed"
        return Finding("version", WARN, text, "start the daemon again")
    return Finding("version", OK, version)


def _network(status: Mapping[str, Any]) -> Finding:
    state, first = status.get("state"), status.get("role") == "first"
    if state == "connected":
        if status.get("group_connected") or status.get("role") == "client":
            return Finding("network", OK, f"connected to {network_text(status)}")
        text = "links with some neighbours are missing"
        return Finding("network", WARN, text, "wait a minute; then see the log")
    if first:
        text, advice = (
            "waiting for the first peer",
            "give others the contact that 'routing-crust status' shows",
        )
        if status.get("membership"):
            advice = "'routing-crust invite NICKNAME' prints what lets one in"
        return Finding("network", OK, text, advice)
    problem = status.get("no_way_in") or state
    return Finding("network", FAIL, f"no way into it: {problem}", "see the contacts below, and the log")


def _listening(status: Mapping[str, Any]) -> Finding:
    endpoints = status.get("endpoints", [])
    if endpoints:
        return Finding("listening", OK, ", ".join(endpoints))
    if status.get("role") == "client":
        return Finding("listening", OK, "no, since it is a client")
    return Finding("listening", FAIL, "nowhere", "give 'listen' an address and port that is free")


def _dialable(status: Mapping[str, Any]) -> Finding:
    dialable = status.get("dialable")
    if dialable == "yes":
        return Finding("dialable", OK, "peers have dialled us from outside")
    if dialable == "no":
        advice = "forward the port on the router and name it in 'external'; else links are punched or relayed"
        return Finding("dialable", WARN, "peers could not dial us from outside", advice)
    return Finding("dialable", OK, "not known: it takes peers in other networks to find out")


def _router(status: Mapping[str, Any]) -> Finding:
    mapped = [each["endpoint"] for each in status.get("external", []) if each.get("source") == "mapped"]
    # what has been asked for, with the protocol that gave it, or the reason why there is nothing
    asked = "; ".join(map(str, status.get("mapped_ports", [])))
    if mapped:
        return Finding("router", OK, f"it maps a port for us: {asked or ', '.join(mapped)}")
    return Finding("router", OK, asked or "it maps no port for us (PCP, NAT-PMP, UPnP)")


def _nat(status: Mapping[str, Any]) -> Finding:
    kind = status.get("nat", "unknown")
    if kind == "symmetric":
        advice = (
            "holes can be punched only to some NATs, and ports are guessed only where a link is in use: "
            "map or forward a port, or accept relayed links"
        )
        return Finding("NAT", WARN, kind, advice)
    return Finding("NAT", OK, kind)


def _path_mtu(status: Mapping[str, Any], path_mtus: Mapping[str, int]) -> Finding:
    small = [f"{each['host']} ({each['segment_bytes']} bytes)" for each in status.get("path_mtu", [])]
    if small:
        text = f"large packets get lost without a word; segments are kept small to {', '.join(small)}"
        advice = (
            "where many hosts are named, lower the MTU of the interface ('ip link set dev eth0 mtu 1280') "
            "or have the router let ICMP pass; 'sysctl net.ipv4.tcp_mtu_probing=1' helps all programs"
        )
        return Finding("path MTU", WARN, text, advice)
    if not path_mtus:
        return Finding("path MTU", OK, "no packets were found to be too large")
    sizes = ", ".join(
        f"{size} bytes to {_some([host for host, each in path_mtus.items() if each == size])}"
        for size in sorted(set(path_mtus.values()))
    )
    if min(path_mtus.values()) < MIN_MTU_BYTES:
        advice = f"raise the MTU to {MIN_MTU_BYTES} or more on the way there: IPv6 needs it"
        return Finding("path MTU", WARN, sizes, advice)
    return Finding("path MTU", OK, sizes)


def _some(hosts: Sequence[str]) -> str:
    """A few of the hosts, and how many more there are."""
    rest = len(hosts) - MAX_HOSTS_SHOWN
    return ", ".join(hosts[:MAX_HOSTS_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _uplinks(status: Mapping[str, Any]) -> Finding:
    names = ", ".join(map(str, status.get("uplinks", [])))
    if names:
        text = f"peers answer by {names}, and not by the interface that the system prefers"
        advice = "see whether that one has a way to the internet; else take its default route away"
        return Finding("uplinks", WARN, text, advice)
    return Finding("uplinks", OK, "the one that the system prefers")


def _ipv6(status: Mapping[str, Any]) -> Finding:
    outer = [each for each in status.get("external", []) if each.get("source") != "private"]
    if any(each["endpoint"].startswith("[") for each in outer):
        return Finding("IPv6", OK, "this host has a global address")
    return Finding("IPv6", OK, "this host has no global address that the node listens on")


def _links(status: Mapping[str, Any]) -> Finding:
    links = status.get("links", [])
    relayed = sum(each.get("rung") == RELAYED for each in links)
    if links and relayed == len(links):
        advice = "see 'routing-crust explain NAME' for each"
        return Finding("links", WARN, f"all {relayed} are relayed", advice)
    return Finding("links", OK, f"{len(links)}, {relayed} of them relayed")


def _clock(status: Mapping[str, Any]) -> Finding:
    ahead = status.get("clock_offset_seconds")
    if status.get("membership", {}).get("problem_kind") == NOT_YET:
        # a node that accepts nobody's certificate compares its clock with nobody's
        return Finding(
            CLOCK, WARN, "by this clock the certificate of this node is not valid yet", SET_THE_CLOCK
        )
    if ahead is None:
        return Finding(CLOCK, OK, "not known: there is no peer to compare it with")
    if abs(ahead) > MAX_CLOCK_OFFSET_SECONDS:
        apart = duration(abs(ahead))
        text = f"the network's time is {apart} {'ahead of' if ahead > 0 else 'behind'} ours"
        return Finding(CLOCK, WARN, text, SET_THE_CLOCK)
    return Finding(CLOCK, OK, "it agrees with that of the peers")


def finding_text(each: Finding) -> str:
    """A finding as a line."""
    advice = f" -> {each.advice}" if each.advice else ""
    return f"{each.verdict:<5}{each.check + ':':<17}{each.text}{advice}"
