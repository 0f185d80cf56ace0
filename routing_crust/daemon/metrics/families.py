"""
The figures of a node by the conventions of Prometheus, made from its status.

No label has a value that a peer chooses, so there are never more series than the words here allow: names of
peers, protocols and addresses are no labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from ..text import TUNNEL, connection_type

PREFIX: Final = "routing_crust_"
CONNECTION_TYPES: Final = ("direct", "mapped", "punched", connection_type(TUNNEL))
STATES: Final = ("disconnected", "bootstrapping", "connected", "terminated")
STREAM_KINDS: Final = ("exposed", "forwarded", "proxied", "local")

Status = Mapping[str, Any]
Samples = Iterable[tuple[tuple[str, ...], float]]


@dataclass(frozen=True, slots=True)
class Family:
    """
    A metric.

    @ivar name: without its prefix, and without the C{_total} of a counter.
    @ivar kind: C{gauge} or C{counter}.
    @ivar labels: their names.
    @ivar samples: the values of the labels, and the figure.
    """

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    samples: tuple[tuple[tuple[str, ...], float], ...]


def families(
    status: Status, counts: Mapping[tuple[str, str], int], members: Iterable[Mapping[str, Any]] | None
) -> Iterator[Family]:
    """
    All metrics of a node. What it does not know is left out.

    @param counts: of events since the start.
    """
    yield from _of_node(status)
    yield from _of_links(status)
    yield from _of_events(counts)
    yield from _of_relay(status)
    yield from _of_streams(status)
    if members is not None:
        yield from _of_members(status, list(members))


def gauge(
    name: str, help: str, *samples: tuple[tuple[str, ...], float], labels: tuple[str, ...] = ()
) -> Family:
    """A figure that goes up and down."""
    return Family(name, "gauge", help, labels, samples)


def _counter(name: str, help: str, samples: Samples, labels: tuple[str, ...] = ()) -> Family:
    return Family(name, "counter", help, labels, tuple(samples))


def _number(name: str, help: str, value: object) -> Family:
    return gauge(name, help, ((), float(value) if isinstance(value, (int, float)) else 0.0))


def _of_node(status: Status) -> Iterator[Family]:
    version = str(status.get("version", ""))
    yield gauge("build_info", "The version of routing-crust; always 1.", ((version,), 1), labels=("version",))
    if "uptime" in status:
        yield _number("uptime_seconds", "Seconds since the start of the daemon.", status["uptime"])
    state = status.get("state")
    yield gauge(
        "state",
        "1 for the state that the node is in, 0 for the others.",
        *(((each,), float(each == state)) for each in STATES),
        labels=("state",),
    )
    yield _number(
        "neighbours_linked",
        "1 if the node has links with all neighbours that it knows of, else 0.",
        bool(status.get("group_connected")),
    )
    dialable = status.get("dialable")
    yield gauge(
        "dialable",
        "1 for whether others can dial this node from outside, 0 for the other answers.",
        *(((each,), float(each == dialable)) for each in ("yes", "no", "unknown")),
        labels=("dialable",),
    )
    yield _number("routing_table_nodes", "Nodes in the routing table.", len(status.get("table", ())))


def _of_links(status: Status) -> Iterator[Family]:
    links = status.get("links", ())
    by_type: dict[str, list[Mapping[str, Any]]] = {each: [] for each in CONNECTION_TYPES}
    for link in links:
        by_type.setdefault(connection_type(link["rung"]), []).append(link)
    label = ("connection",)
    yield gauge(
        "links",
        "Confirmed links by their connection type.",
        *(((kind,), len(found)) for kind, found in by_type.items()),
        labels=label,
    )
    yield _number(
        "links_unconfirmed", "Links that are being made or closed.", status.get("unconfirmed_links")
    )
    yield _number(
        "connections_expected", "Connections that are on their way.", status.get("expected_connections")
    )
    yield _number(
        "link_queued_bytes", "Bytes that wait to be sent over links.", sum(each["queued"] for each in links)
    )
    # until the first probe is answered there is only a guess, which includes the work of the handshake
    measured = {
        kind: [each["round_trip_seconds"] for each in found]
        for kind, links_of_it in by_type.items()
        if (found := [each for each in links_of_it if each["round_trip_variation_seconds"] is not None])
    }
    named: tuple[tuple[str, Callable[[list[float]], float]], ...] = (("median", median), ("max", max))
    for word, choose in named:
        yield gauge(
            f"link_round_trip_{word}_seconds",
            f"The {'longest' if word == 'max' else word} smoothed round trip of the links of each type.",
            *(((kind,), choose(times)) for kind, times in measured.items()),
            labels=label,
        )


_EVENTS: Final = (
    ("links_gained", "connection", "Links that were confirmed, or are for another use since then."),
    (
        "links_replaced",
        "connection",
        "Links that have replaced another with the same peer, by the new type.",
    ),
    ("links_lost", "reason", "Links that were lost, with no other one to the same peer."),
    ("state_changes", "state", "Changes of the state, by the new one."),
)


def _of_events(counts: Mapping[tuple[str, str], int]) -> Iterator[Family]:
    for name, label, help in _EVENTS:
        samples = (((value,), float(count)) for (of, value), count in sorted(counts.items()) if of == name)
        yield _counter(name, help, samples, (label,))


def _of_relay(status: Status) -> Iterator[Family]:
    relay = status.get("relay")
    if relay is None:
        return
    yield _number("relay_waiting_messages", "Messages of others that wait to be relayed.", relay["waiting"])
    yield _number(
        "relay_waiting_bytes", "Bytes of messages of others that wait to be relayed.", relay["waiting_bytes"]
    )
    yield _counter(
        "relay_dropped_messages",
        "Messages of others that were dropped because too much was waiting.",
        [((), float(relay["dropped"]))],
    )


def _of_streams(status: Status) -> Iterator[Family]:
    if "streams" not in status:
        return
    streams = status["streams"]
    yield gauge(
        "streams",
        "Open connections of local programs with peers.",
        *(((kind,), sum(each["kind"] == kind for each in streams)) for kind in STREAM_KINDS),
        labels=("kind",),
    )
    yield _number(
        "streams_suspended",
        "Open connections of local programs that wait for another link.",
        sum(bool(each["suspended"]) for each in streams),
    )
    carried = [(kind, status["carried"].get(kind, {})) for kind in STREAM_KINDS]
    yield _counter(
        "stream_connections",
        "Connections of local programs with peers since the start.",
        (((kind,), float(each.get("connections", 0))) for kind, each in carried),
        ("kind",),
    )
    yield _counter(
        "stream_bytes",
        "Bytes that connections of local programs have carried since the start.",
        (
            ((kind, direction), float(each.get(direction, 0)))
            for kind, each in carried
            for direction in ("sent", "received")
        ),
        ("kind", "direction"),
    )
    yield _counter(
        "datagrams_dropped",
        "Datagrams of UDP that were dropped, since more came than could be carried.",
        (((kind,), float(each.get("dropped", 0))) for kind, each in carried),
        ("kind",),
    )


def _of_members(status: Status, members: list[Mapping[str, Any]]) -> Iterator[Family]:
    here = [each for each in members if not each["banned"]]
    yield gauge(
        "members",
        "Members of the private network that this node knows of.",
        (("good",), sum(not each["expired"] for each in here)),
        (("expired",), sum(bool(each["expired"]) for each in here)),
        (("banned",), len(members) - len(here)),
        labels=("standing",),
    )
    own = next((each["expires"] for each in members if each["this"]), None)
    if own is not None:
        yield _number(
            "certificate_expiry_timestamp_seconds",
            "When the certificate of this node ends, in seconds since the epoch.",
            own,
        )
    membership = status.get("membership")
    if membership is not None:
        yield _number("roster_statements", "Statements in the roster of bans.", membership["roster"])
