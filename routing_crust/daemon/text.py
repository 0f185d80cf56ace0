"""
Text for people: bodies of messages, which may hold anything, and what the daemon reports of its node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

TUNNEL: Final = "tunnel"
"""The value of C{PathKind.TUNNEL}, whose module would take the script a third of its time to load."""


_MEMBER_COLUMNS: Final[tuple[str, ...]] = ("NICKNAME", "NAME", "ROLES", "TAGS", "UNTIL", "CONNECTION")
_INVITATION_COLUMNS: Final[tuple[str, ...]] = (
    "ID", "NICKNAME", "ROLES", "TAGS", "UNTIL", "STATE", "USED", "BY", "INVITER",
)  # fmt: skip


def printable(body: bytes) -> str:
    """
    Write a body as one line of text. It comes from a peer, so characters that could move the cursor or change
    the terminal are written as escapes, as are the bytes that are not UTF-8.
    """
    return one_line(body.decode("utf-8", "backslashreplace"))


def one_line(text: str) -> str:
    """A text with escapes for what cannot be seen, or changes the terminal or the order of characters."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text
    )


def connection_type(path_kind: str) -> str:
    """The word for people: C{path_kind} is a L{PathKind}, or one of a newer daemon."""
    return "relayed" if path_kind == TUNNEL else path_kind


def path_text(path_kind: str, relay: str | None) -> str:
    """The connection type, with the relay if there is one."""
    return connection_type(path_kind) + (f" through {relay}" if relay else "")


def status_text(status: Mapping[str, Any], rates: Mapping[int, tuple[float, float]] | None = None) -> str:
    """
    Describe the state of a node.

    @param status: the daemon's reply.
    @param rates: what each stream sends and receives in a second, by its number, where that is known.
    """
    links = status.get("links", [])
    table = status.get("table", [])
    membership = status.get("membership") or {}
    # every field may be missing: the daemon may be of another version
    rows = [
        ("name", status.get("name")),
        ("network", network_text(status)),
        *([("member", _member_text(membership))] if membership else []),
        ("role", status.get("role")),
        ("state", _state(status)),
        ("contact", status.get("contact") or "none"),
        *([("proxy", status["proxy"])] if status.get("proxy") else []),
        *([("out through", status["out_through"])] if status.get("out_through") else []),
        ("listening", ", ".join(status.get("endpoints", [])) or "no"),
        ("external", _external(status)),
        ("nat", f"{status.get('nat', 'unknown')}, dialable from outside: {_dialable(status)}"),
        *([("listeners", status["listeners"])] if status.get("listeners") else []),
        ("process", f"{status.get('process')}, for {duration(status.get('uptime', 0))}"),
        ("version", status.get("version")),
        ("state dir", status.get("state_dir")),
        ("routing table", f"{len(table)} node{'' if len(table) == 1 else 's'}"),
        ("links", f"{len(links)}, and {status.get('unconfirmed_links', 0)} unconfirmed"),
    ]
    lines = [f"{title + ':':<15}{value}" for title, value in rows]
    lines.extend(_membership_text(membership))
    lines.extend(_link_text(link) for link in links)
    lines.append(f"sessions:      {_sessions(status.get('sessions', {}))}")
    lines.extend(_carried_text(status, rates or {}))
    return "\n".join(lines)


def network_text(status: Mapping[str, Any]) -> str:
    """The network of a node: what a private one is called here goes before its id, which is a key."""
    label, network = status.get("label"), str(status.get("network"))
    return one_line(f"{label} ({network})" if label else network)


def _member_text(membership: Mapping[str, Any]) -> str:
    tags = f", tags {', '.join(membership['tags'])}" if membership.get("tags") else ""
    roles = ",".join(membership.get("roles", ()))
    return one_line(f"{membership.get('nickname')}, {roles}{tags}, until {membership.get('until')}")


def _membership_text(membership: Mapping[str, Any]) -> Iterator[str]:
    """What keeps this node from being a member; nothing if all is well."""
    if membership.get("problem"):
        yield one_line(f"certificate:   {membership['problem']}")
    for name, why in membership.get("refused_by", {}).items():
        yield one_line(f"refused by:    {name[:8]}: {why}")


def members_text(label: str, authority: bool, members: Iterable[Mapping[str, Any]]) -> str:
    """
    Describe the members of a private network, as the daemon lists them.

    @param label: what the network is called here.
    """
    rows = [_MEMBER_COLUMNS, *(_member_row(each) for each in members)]
    where = "on this machine" if authority else "not on this machine"
    head = one_line(f"members of {label} that are known here; its authority key is {where}")
    return "\n".join((head, *_table(rows)))


def invitations_text(invitations: Iterable[Mapping[str, Any]]) -> str:
    """Describe invitations, as the daemon lists them."""
    rows = [_INVITATION_COLUMNS, *(_invitation_row(each) for each in invitations)]
    return "\n".join(_table(rows)) if len(rows) > 1 else "there are no invitations"


def _invitation_row(invitation: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        invitation["id"],
        invitation["nickname"] or "-",
        ",".join(invitation["roles"]),
        ",".join(invitation["tags"]) or "-",
        invitation["until"],
        invitation["state"],
        f"{len(invitation['used_by'])} of {invitation['uses']}",
        ", ".join(invitation["used_by"]) or "-",
        invitation["inviter"],
    )


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield one_line("  ".join(cells).rstrip())


def _member_row(member: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        member["nickname"] or "-",
        member["name"][:8],
        ",".join(member["roles"]) or "-",
        ",".join(member["tags"]) or "-",
        member["until"] or "-",
        _member_connection(member),
    )


def _member_connection(member: Mapping[str, Any]) -> str:
    if member["banned"]:
        return f"banned {member['banned']}"
    if member["this"]:
        return "this node"
    if member["connection"] is None:
        return "certificate expired" if member["expired"] else "no link"
    path = path_text(member["connection"], (member["via"] or "")[:8])
    return f"{path}, for {duration(member['linked_seconds'])}"


def explanation_text(explanation: Mapping[str, Any]) -> str:
    """Explain why there is a link, or none; C{explanation} is the daemon's reply."""
    lines = [f"{_peer_text(explanation['name'], explanation.get('nickname'))}: {explanation['summary']}"]
    candidates = explanation.get("candidates", [])
    if candidates:
        lines.append("where it may be found:")
    for each in candidates:
        lines.append(f"  {each['endpoint']}, from {', '.join(each['sources'])}")
        never = each["next_seconds"] is None
        outcome = each["outcome"] or ("" if never else "not dialled within the last hour")
        lines.append("    " + "; ".join(filter(None, (outcome, _when(each)))))
    attempts = explanation.get("attempts", [])
    if attempts:
        lines.append("what was tried, or happened, within the last hour:")
    lines.extend(_attempt_text(each) for each in attempts)
    if explanation.get("next"):
        lines.append("what happens next:")
    lines.extend(f"  {each}" for each in explanation.get("next", []))
    # addresses and reasons come from peers
    return "\n".join(map(one_line, lines))


def done_text(who: str, name: str, way: str, seconds: float) -> str:
    """
    Say that a message was acknowledged; the later arguments are those of the daemon's reply.

    @param who: what the operator calls the peer.
    """
    by = who if who == name else f"{who} ({name})"
    took = f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
    return one_line(f"acknowledged by {by}, {way}, in {took}")


def size_text(size: float) -> str:
    """A number of bytes."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def suspension_text(peer: str, change: str, count: int, seconds: float, because: str) -> str:
    """Say what becomes of the connections with a peer; the arguments are those of the daemon's reply."""
    what, one = _counted(count, "connection"), count == 1
    if change == "resumed":
        return f"{peer} is back after {duration(seconds)}: {what} {'goes' if one else 'go'} on"
    if change == "ended":
        return one_line(f"{what} with {peer} {'has' if one else 'have'} ended: {because}")
    waits = f"{what} {'waits' if one else 'wait'} for another one"
    return one_line(f"the link to {peer} is lost ({because}): {waits}")


def _when(candidate: Mapping[str, Any]) -> str:
    seconds, obstacle = candidate["next_seconds"], candidate["obstacle"]
    if seconds is None:
        return f"it is not dialled: {obstacle}"
    return f"{obstacle}, so it is left alone for {duration(seconds + 1)}" if seconds else "it may be dialled"


def _attempt_text(attempt: Mapping[str, Any]) -> str:
    where = f" {attempt['where']}" if attempt["where"] else ""
    times = f" ({attempt['times']} times)" if attempt["times"] > 1 else ""
    return f"  {duration(attempt['seconds_ago'])} ago, {attempt['way']}{where}: {attempt['outcome']}{times}"


def _carried_text(status: Mapping[str, Any], rates: Mapping[int, tuple[float, float]]) -> Iterator[str]:
    if status.get("local_proxy"):
        yield f"local proxy:   SOCKS5 and HTTP at {status['local_proxy']}, for *.crust"
    for each in status.get("exposed", []):
        whom = ", ".join(each["allowed"]) or "nobody"
        yield (
            f"exposed:       {each['protocol']}, which is {each['target']}, to {whom}; {each['open']} open"
            f"{_dropped_text(each)}"
        )
    nicknames = status.get("nicknames", {})

    def who(peer: str) -> str:
        return _peer_text(peer, nicknames.get(peer))

    for each in status.get("forwarded", []):
        yield (
            f"forwarded:     {each['listen']} to {each['protocol']} of {who(each['peer'])}; "
            f"{each['open']} open{_dropped_text(each)}"
        )
    for peer, each in status.get("suspended", {}).items():
        seconds, because = duration(each["seconds"]), one_line(each["because"])
        what = f"{_counted(each['streams'], 'stream')} with {who(peer)}"
        yield f"suspended:     {what}, for {seconds}: link lost ({because})"
        left = duration(each["left"])
        yield f"  {one_line(each['trying'])}; they may wait for {left} more, {each['kept']} bytes are kept"
    streams = status.get("streams", [])
    if streams:
        yield f"streams:       {len(streams)}"
    for each in streams:
        seconds = duration(each["seconds"])
        yield (
            f"  {each['kind']:<9} {each['protocol']} with {who(each['peer'])}, for {seconds}, "
            f"{each['sent']} bytes sent, {each['received']} received{_dropped_text(each)}"
            f"{_rate_text(rates.get(each.get('number')))}"
            f"{', waits for a link' if each.get('suspended') else ''}"
        )


def _dropped_text(each: Mapping[str, Any]) -> str:
    # connections drop nothing, and an older daemon does not know the word
    dropped = each.get("dropped", 0)
    return f", {dropped} datagrams dropped" if dropped else ""


def _sessions(sessions: Mapping[str, Any]) -> str:
    """With whom messages through other nodes are sealed; the latest first."""
    listed = sessions.get("peers", [])
    shown = (
        f"{_peer_text(each['peer'], each['nickname'])} for {duration(each['seconds'])}" for each in listed
    )
    # an older daemon does not say how many there are
    number = sessions.get("number", len(listed))
    return f"{number}: {', '.join(shown)}" if listed else str(number)


def _rate_text(rate: tuple[float, float] | None) -> str:
    return "" if rate is None else f" ({size_text(rate[0])}/s out, {size_text(rate[1])}/s in)"


def _state(status: Mapping[str, Any]) -> str:
    if status.get("draining") is not None:
        return (
            f"draining: what is open may finish within {duration(status['draining'])}, nothing new is taken"
        )
    if status.get("state") == "disconnected" and status.get("role") == "first":
        return "disconnected, waiting for the first peer"
    if status.get("state") == "connected" and status.get("role") == "node" and not status.get("table"):
        return "connected, served by its proxy as a client is; it goes on trying to join"
    if status.get("no_way_in"):
        return one_line(f"{status.get('state')}, and tries again: {status['no_way_in']}")
    if status.get("state") == "connected" and status.get("role") == "client":
        # it has no neighbours, and waits for none
        return "connected, through its proxy"
    linked = "linked" if status.get("group_connected") else "not linked"
    return f"{status.get('state')}, {linked} with all neighbours"


def _external(status: Mapping[str, Any]) -> str:
    # our own private addresses are in the list, and say nothing about the outside
    known = status.get("external", [])
    outer = [f"{each['endpoint']} ({each['source']})" for each in known if each["source"] != "private"]
    return ", ".join(outer) or "none known"


def _dialable(status: Mapping[str, Any]) -> str:
    return f"{status.get('dialable', 'unknown')}, for {duration(status.get('dialable_seconds', 0))}"


def _link_text(link: Mapping[str, Any]) -> str:
    direction = "to" if link.get("direction") == "connected" else "from"
    notes = [
        "client" if link.get("client") else "",
        _how_connected(link),
        "" if link.get("two_way") else "one-way",
        _round_trip(link.get("round_trip_seconds")),
        f"{link.get('queued')} bytes queued" if link.get("queued") else "",
        _silence(link.get("silent_seconds")),
    ]
    more = "".join(f", {note}" for note in notes if note)
    what = f"{link.get('use')}, for {duration(link.get('seconds', 0))}"
    peer = _peer_text(link.get("peer"), link.get("nickname"))
    return f"  {direction:<4} {peer} at {link.get('address')}, {what}{more}"


def _peer_text(name: object, nickname: object) -> str:
    """The nickname with the beginning of the name; the whole name, if there is no nickname."""
    return f"{nickname} ({str(name)[:8]})" if nickname else str(name)


def _round_trip(seconds: float | None) -> str:
    if seconds is None:
        return ""
    in_ms = 1000 * seconds
    return f"round trip {in_ms:.1f} ms" if in_ms < 10 else f"round trip {in_ms:.0f} ms"


def _silence(seconds: float | None) -> str:
    # a link that is not doubted, or an older daemon, has none
    return "" if seconds is None else f"no answer for {duration(seconds)}, so another link is tried for"


def _how_connected(link: Mapping[str, Any]) -> str:
    path_kind = link.get("rung", "direct")
    # the usual type goes without saying
    return "" if path_kind == "direct" else path_text(path_kind, link.get("via"))


def duration(seconds: float) -> str:
    """A time, to the second, or to the minute or hour where it is long."""
    whole = int(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
