"""
Settings: one flat set of them, the same in code, on the command line and in the configuration file.

Each field of L{Settings} carries its help text and its valid range, so that the options, the page of the
documentation and the errors are all made from this one table. A L{Settings} that exists is valid.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields
from enum import Enum
from ipaddress import IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final

from .endpoints import Endpoint, PrivateDialling
from .forwarding_rules import Exposure, Forward, Nickname, Permission, is_tag, unknown_nickname
from .hosts.contacts import AnyContact
from .hosts.interfaces import Place
from .hosts.proxies import NO_PROXY, Proxy
from .limits import KIB, MIB
from .names import NAME_CHARACTERS, PRIVATE_PREFIX, Name
from .parsing import parse_settings, read_toml, valid_range
from .plain_errors import ConfigurationError, InvalidName, number_text

DEFAULT_PORT: Final = 5483
OUTBOX_OVERHEAD_BYTES: Final = 4 * KIB
"""What a message that waits counts for in C{outbox_memory} besides its body."""
LEAST_STREAM_MEMORY: Final = 16 * KIB
"""The least C{stream_memory} for each of C{max_streams}, in bytes."""


class Role(str, Enum):
    """What a process is in its network."""

    NODE = "node"
    """It is in routing tables and relays for others."""
    CLIENT = "client"
    """It has one link, to a node that speaks for it, and accepts none."""
    FIRST = "first"
    """A node that starts a network: it dials nobody and waits."""


class TwoWay(str, Enum):
    """Whether a link to a node is proven in both directions before one of the two is kept."""

    PREFERRED = "preferred"
    """Both are tried; what is there after a second is kept."""
    REQUIRED = "required"
    """A node that cannot be dialled stays out of the routing table."""
    OFF = "off"
    """The first link that comes up is kept."""


class KeyExchange(str, Enum):
    """How two nodes agree on keys, for their links and for their sessions."""

    HYBRID = "hybrid"
    """By X25519 and ML-KEM-768 together, so that no quantum computer of later years opens what was recorded
    today; by X25519 alone with a node that is not able to."""
    X25519 = "x25519"
    """By X25519 alone: links and sessions are made a little faster, with fewer bytes."""


def _number(default: float, low: float, high: float, unit: str, help: str, *, advanced: bool = True) -> Any:
    return field(
        default=default,
        metadata={"low": low, "high": high, "unit": unit, "help": help, "advanced": advanced},
    )


def _plain(default: Any, help: str, *, advanced: bool = False) -> Any:
    return field(default=default, metadata={"help": help, "advanced": advanced})


def _several(of: Any, default: Any, help: str) -> Any:
    return field(default=default, metadata={"of": of, "help": help, "advanced": False})


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """
    Every setting, validated.

    @raise ConfigurationError: from the constructor, for the first value that cannot be used. The error
        names the setting and what would be valid.
    """

    # fmt: off
    # What an operator sets.
    network: str = _plain("default", "the network's id; nodes of another network are refused")
    role: Role = _plain(Role.NODE, "what this process is: node, client or first")
    listen: tuple[Place, ...] = _several(
        Place,
        (Endpoint("0.0.0.0", DEFAULT_PORT), Endpoint("::", DEFAULT_PORT)),
        "the addresses to listen on, as address:port, or interfaces with all their addresses, as eth0:port; port 0 lets the system choose at an address",
    )
    external: tuple[Endpoint, ...] = _several(
        Endpoint, (), "where others can dial us, if a router forwards a port to this host, as address:port"
    )
    contacts: tuple[AnyContact, ...] = _several(AnyContact, (), "where to find nodes of the network, as name@host:port, with an address or a host name, or as dns:domain for the nodes that a domain names")
    allow: tuple[str, ...] = _several(str, (), "the only peers to link with, as names or networks (192.0.2.0/24)")
    deny: tuple[str, ...] = _several(str, (), "peers never to link with, as names or networks; goes before allow")
    nicknames: tuple[Nickname, ...] = _several(
        Nickname, (), "what to call nodes wherever a name is asked for, as nickname=name, or as a table in the file"
    )
    expose: tuple[Exposure, ...] = _several(
        Exposure, (), "protocols for peers and the local programs that speak them, as protocol=endpoint, such as ssh=tcp:localhost:22 or dns=udp:127.0.0.1:53, with 'keep 1h' after it for how long they may wait for a lost link"
    )
    allow_peer: tuple[Permission, ...] = _several(
        Permission, (), "who may have what is exposed, as protocol=name, with * for every node of the network; nobody else may"
    )
    forward: tuple[Forward, ...] = _several(
        Forward, (), "local ports that lead to protocols of peers, as endpoint=name/protocol, such as tcp:2222=backup/ssh or udp:5353=home/dns, with 'keep 1h' after it for how long they wait for a lost link; on 127.0.0.1 unless the endpoint has an interface"
    )
    state_dir: Path | None = _plain(
        None, "the folder for the key, the saved contacts and the control socket; none keeps nothing"
    )
    lan_discovery: bool = _plain(True, "whether to find and be found by nodes on the local network")
    port_mapping: bool = _plain(True, "whether to have the router map our listening port to the outside (PCP, NAT-PMP, UPnP)")
    proxy: Proxy = _plain(
        NO_PROXY, "the proxy that connections to the internet go out through, http://, socks5:// or socks5h:// and HOST:PORT, with USER:PASSWORD@ before the host if it wants a login; or environment for the one that HTTPS_PROXY or ALL_PROXY names; none if empty"
    )
    port_guessing: bool = _plain(True, "whether to guess ports, at most once an hour for a peer, where a symmetric NAT keeps it on a tunnel that is in use")
    two_way: TwoWay = _plain(TwoWay.PREFERRED, "whether links are proven in both directions: preferred, required or off")
    key_exchange: KeyExchange = _plain(
        KeyExchange.HYBRID, "how nodes agree on keys: hybrid (X25519 with ML-KEM-768, against quantum computers) or x25519"
    )
    private_dialling: PrivateDialling = _plain(
        PrivateDialling.ON_LINK,
        "which private addresses from strangers may be dialled: on-link, always or never",
    )

    # Time, in seconds.
    hello_timeout: float = _number(10, 0.5, 120, "s", "from the TCP connection to a verified Hello")
    inactivity_timeout: float = _number(60, 2, 3600, "s", "a link from which nothing is heard for this time is dead")
    ack_timeout: float = _number(20, 0.1, 300, "s", "without an acknowledgement a message is sent again by another route")
    stream_survival: float = _number(600, 0, 604800, "s", "for how long streams wait for another link when theirs is lost; 0 ends them with it")
    clock_skew: float = _number(600, 1, 86400, "s", "how far the clocks of two nodes may be apart")

    # Sizes, in bytes.
    max_message: int = _number(MIB, 1, 64 * MIB, "B", "the largest body of a message")
    outbox_memory: int = _number(64 * MIB, 16 * KIB, 16384 * MIB, "B", "what own messages that wait for an acknowledgement may take, each with 4 KiB besides its body")
    relay_rate: int = _number(8 * MIB, KIB, 1024 * MIB, "B/s", "what is relayed for others, messages and as much again through tunnels, each shared fairly among them")
    tunnel_memory: int = _number(64 * MIB, 0, 16384 * MIB, "B", "what the tunnels that this node carries for others may take; the peer that holds most makes room; 0 carries none")
    stream_window: int = _number(256 * KIB, 16 * KIB, 64 * MIB, "B", "what a peer may send to a stream before we have read any of it")
    stream_memory: int = _number(32 * MIB, MIB, 4096 * MIB, "B", "what all streams of a peer may have waiting to be read here")

    # Counts.
    group_size: int = _number(8, 1, 64, "", "how many nodes nearest to a name are its close group")
    bucket_size: int = _number(8, 1, 64, "", "how many nodes a bucket of the routing table is filled up to")
    max_links: int = _number(256, 1, 65536, "", "links in all")
    max_unverified_links: int = _number(128, 1, 65536, "", "accepted connections whose link is not confirmed; beyond that the oldest of the most crowded prefix goes")
    max_handshakes_per_prefix: float = _number(20, 0.1, 65536, "/s", "TLS handshakes begun for one /24 or /48; others wait for their turn")
    max_dials: int = _number(160, 1, 4096, "", "dials at once")
    max_expected: int = _number(256, 1, 65536, "", "expected connections in all; a quarter is kept for our own requests; when others need more, the oldest of the peer that asks most goes")
    max_clients: int = _number(64, 0, 65536, "", "clients and joining nodes that this node speaks for")
    max_same_prefix_in_bucket: int = _number(2, 1, 1024, "", "nodes of one /24 or /48 in a bucket; does not count for loopback and private addresses")
    max_same_prefix_in_table: int = _number(10, 1, 65536, "", "nodes of one /24 or /48 in the routing table; does not count for loopback and private addresses")
    max_requests: int = _number(4096, 1, 1_000_000, "", "requests of others that are being handled; more are ignored, so they are asked again")
    max_requests_per_peer: int = _number(1024, 1, 1_000_000, "", "requests of one peer that are being handled")
    max_streams: int = _number(256, 1, 4096, "", "streams that a peer may have opened, and as many that we have opened to it")
    stranger_dials: float = _number(12, 1, 10_000, "/min", "dials to addresses that strangers gave and that have not proven themselves")
    stranger_dials_per_prefix: float = _number(3, 1, 10_000, "/min", "such dials to one /24 or /48; does not count for loopback and private addresses")

    # fmt: on

    @classmethod
    def from_text(cls, **given: object) -> Settings:
        """
        Settings from texts, as a command line or a file has them: C{Settings.from_text(role="client",
        contacts=["NAME@192.0.2.1:5483"])}. What a text would stand for will do as well.

        @raise ConfigurationError: there is no such setting, or a value cannot be used.
        """
        return cls(**parse_settings(given, {each.name: each for each in fields(cls)}))

    @classmethod
    def from_toml(cls, path: Path | str, **given: object) -> Settings:
        """
        Settings from a file, as C{twistd routing-node --config} reads it.

        @param given: as for L{from_text}; these take precedence.
        @raise ConfigurationError: the file or a value cannot be used.
        """
        return cls.from_text(**{**read_toml(Path(path), {each.name: each for each in fields(cls)}), **given})

    def __repr__(self) -> str:
        told = [(each, getattr(self, each.name)) for each in fields(self)]
        return f"Settings({', '.join(f'{each.name}={value!r}' for each, value in told if value != each.default)})"

    def __post_init__(self) -> None:
        for each in fields(self):
            _check(each, getattr(self, each.name))
        self._check_network()
        self._check_lists()
        for smaller, larger in ORDERED:
            if getattr(self, smaller) > getattr(self, larger):
                raise ConfigurationError(
                    smaller, f"{self._text(smaller)} is more than {larger} ({self._text(larger)})"
                )
        if self.stream_memory < LEAST_STREAM_MEMORY * self.max_streams:
            raise ConfigurationError(
                "stream_memory",
                f"must be {LEAST_STREAM_MEMORY} for each of max_streams ({self.max_streams}), or more",
            )

    def _text(self, setting: str) -> str:
        return number_text(getattr(self, setting))

    def _check_network(self) -> None:
        # In this order: text that cannot be encoded is not printable either.
        if not self.network.isprintable() or not (1 <= len(self.network.encode()) <= 64):
            raise ConfigurationError("network", "write 1 to 64 printable characters")

    def _check_lists(self) -> None:
        for endpoint in self.external:
            address = endpoint.address
            if endpoint.port == 0 or address.is_unspecified or address.is_multicast:
                raise ConfigurationError("external", f"{endpoint} cannot be dialled by anybody")
        if self.external and self.role is Role.CLIENT:
            raise ConfigurationError("external", "a client is not dialled: leave it out, or be a node")
        for setting in ("allow", "deny"):
            for entry in getattr(self, setting):
                check_rule(setting, entry)
        self._check_pairings()
        if self.role is Role.FIRST and self.contacts:
            raise ConfigurationError(
                "contacts", "the first node dials nobody: give it no contacts, or another role"
            )
        if self.role is not Role.CLIENT and not self.listen:
            raise ConfigurationError(
                "listen",
                "a node must listen somewhere: give an address:port or interface:port, or be a client",
            )

    def _check_pairings(self) -> None:
        for setting, keys in (
            ("nicknames", [each.nickname for each in self.nicknames]),
            ("expose", [each.protocol for each in self.expose]),
            ("forward", [each.listen for each in self.forward]),
        ):
            twice = [key for number, key in enumerate(keys) if key in keys[:number]]
            if twice:
                raise ConfigurationError(setting, f"{twice[0]} stands there twice")
        if not self.network.startswith(PRIVATE_PREFIX):
            self._check_names()
        exposed = [each.protocol for each in self.expose]
        for permission in self.allow_peer:
            if permission.protocol not in exposed:
                raise ConfigurationError(
                    "allow_peer", f"{permission}: nothing is exposed as {permission.protocol}"
                )

    def _check_names(self) -> None:
        """Check that nothing is left for certificates to say, which an open network does not have."""
        nicknames = [each.nickname for each in self.nicknames]
        for setting, rules in (("forward", self.forward), ("allow_peer", self.allow_peer)):
            for rule in rules:
                if isinstance(rule.name, str):
                    if is_tag(rule.name):
                        raise ConfigurationError(
                            setting, f"{rule}: there are no tags, since this network is not private"
                        )
                    raise ConfigurationError(setting, f"{rule}: {unknown_nickname(rule.name, nicknames)}")


CHANGEABLE: Final = frozenset(
    (
        "allow",
        "allow_peer",
        "contacts",
        "deny",
        "expose",
        "forward",
        "hello_timeout",
        "max_clients",
        "max_dials",
        "max_expected",
        "max_handshakes_per_prefix",
        "max_links",
        "max_requests",
        "max_requests_per_peer",
        "max_same_prefix_in_bucket",
        "max_same_prefix_in_table",
        "max_streams",
        "max_unverified_links",
        "nicknames",
        "outbox_memory",
        "port_guessing",
        "private_dialling",
        "relay_rate",
        "stranger_dials",
        "stranger_dials_per_prefix",
        "stream_memory",
        "stream_survival",
        "stream_window",
        "tunnel_memory",
        "two_way",
    )
)
"""
The settings that may change while a node runs. Each part of a node has the same L{Settings}, and reads these
whenever it uses them.
"""


def change_settings(running: Settings, new: Settings) -> None:
    """
    Have a node take over the values of L{CHANGEABLE} settings. Only
    L{RoutingService.change_settings<routing_crust.routing.service.RoutingService.change_settings>} calls
    this, since some of them need more than a new value.
    """
    for name in CHANGEABLE:
        # past the guard of the class: a copy would have to be handed to each part that has this one
        object.__setattr__(running, name, getattr(new, name))


_MAPPED: Final = IPv6Network("::ffff:0:0/96")
# Pairs of settings of which the first may not be greater than the second.
ORDERED = (("max_requests_per_peer", "max_requests"),)


def check_rule(setting: str, entry: str) -> None:
    """
    Check one entry of an allow or deny list.

    @raise ConfigurationError: it is neither a name nor a network.
    """
    try:
        network = ip_network(entry)
    except ValueError:
        try:
            Name.from_text(entry)
        except InvalidName:
            raise ConfigurationError(
                setting, f"{entry!r} is neither a name nor an address or network such as 192.0.2.0/24"
            ) from None
    else:
        if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
            # Endpoints hold no such addresses, so the rule would never match.
            raise ConfigurationError(setting, f"{entry!r} is IPv4 in IPv6: write the IPv4 network")


def names_in(rules: Iterable[str]) -> frozenset[Name]:
    """The names among the entries of an allow or deny list."""
    # a network, as text, is never as long as a name
    return frozenset(Name.from_text(each) for each in rules if len(each) == NAME_CHARACTERS)


def setting_fields() -> tuple[Field[Any], ...]:
    """The fields of L{Settings}, from which options and documentation are made."""
    return fields(Settings)


def _check(each: Field[Any], value: object) -> None:
    if "low" in each.metadata:
        _check_number(each, value)
    elif "of" in each.metadata:
        _check_tuple(each, value)
    elif each.default is None:
        if value is not None and not isinstance(value, Path):
            raise ConfigurationError(each.name, f"{value!r} is not a Path{_to_write(each, value)}")
    elif type(value) is not type(each.default):
        raise ConfigurationError(
            each.name, f"{value!r} is not a {type(each.default).__name__}{_to_write(each, value)}"
        )


def _to_write(each: Field[Any], value: object) -> str:
    """What a caller can write in place of a text, or texts, where a value of the setting's type is needed."""
    texts = value if isinstance(value, (list, tuple)) else (value,)
    if not all(isinstance(text, str) for text in texts):
        return ""
    return f": for texts there is Settings.from_text({each.name}={value!r})"


def _check_number(each: Field[Any], value: object) -> None:
    whole = each.type == "int"
    # to Python a bool is an int, and True would pass for 1
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        kind = "a whole number" if whole else "a number"
        raise ConfigurationError(each.name, f"{value!r} is not {kind}; valid is {valid_range(each)}")
    if not each.metadata["low"] <= value <= each.metadata["high"]:  # also false for NaN
        raise ConfigurationError(
            each.name, f"{number_text(value)} is out of range; valid is {valid_range(each)}"
        )


def _check_tuple(each: Field[Any], value: object) -> None:
    kind = each.metadata["of"]
    if not isinstance(value, tuple) or not all(isinstance(entry, kind) for entry in value):
        kinds = " or ".join(one.__name__ for one in getattr(kind, "__args__", (kind,)))
        raise ConfigurationError(each.name, f"{value!r} is not a tuple of {kinds}{_to_write(each, value)}")
