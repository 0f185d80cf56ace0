"""
The settings file that C{init} and C{join} write: what the node needs, and in comments what its operator is
likely to want, so that nothing has to be looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ...endpoints import Endpoint
from ...hosts.contacts import AnyContact
from ...hosts.interfaces import Place

_HEAD: Final = """\
# {nickname} in the private network {label}, as 'routing-crust {command}' has written it.
# Start the node:     routing-crust start{where}; or twistd -n routing-node{where}, to see its log here
# All the settings:   twistd routing-node --help, and --help-settings

# The public key of the authority of {label}: only who has a certificate of it has links with us.
network = {network}

# Key, certificate, roster and control socket are here.
state_dir = {state_dir}
"""
_FIRST: Final = """
# This node has founded the network, so it does not wait for others to let it in.
role = "first"
"""
_CLIENT: Final = """
# Its certificate makes it a client: it uses the network, and neither listens nor routes for others.
"""
_CONTACTS: Final = """
# Where to find members at the first start. Later the node knows more of them by itself.
contacts = [
{contacts}]
"""
_PROXY: Final = """
# What connections to the internet go out through.
proxy = {proxy}
"""
_LISTEN: Final = """
# Where it listens.
listen = [{listen}]
"""
_DEFAULT_LISTEN: Final = """
# Where it listens, if not here:
# listen = ["0.0.0.0:5483", "[::]:5483"]
"""
_EXTERNAL: Final = """
# Where others can dial it from outside.
external = [{external}]
"""
_DEFAULT_EXTERNAL: Final = """
# Where others can dial it from outside, if a port is forwarded to it that it does not find out about:
# external = ["198.51.100.7:5483"]
"""
_PROGRAMS: Final = """
# Programs here for other members, and who may have them: nicknames, tags, or "*" for every member.
# expose = { ssh = "tcp:localhost:22" }
# allow_peer = { ssh = ["NICKNAME", "tag:TAG"] }

# Programs of other members at ports here: 'ssh -p 2222 localhost' then is a session there.
# forward = { "tcp:2222" = "NICKNAME/ssh" }
"""


def config_text(
    command: str,
    label: str,
    nickname: str,
    network: str,
    state_dir: Path,
    *,
    where: str = "",
    role: str = "node",
    contacts: Sequence[AnyContact] = (),
    proxy: str = "",
    listen: Sequence[Place] = (),
    external: Sequence[Endpoint] = (),
) -> str:
    """
    The text of the settings file.

    @param command: what writes it: C{init} or C{join}.
    @param label: what the network is called on this machine.
    @param role: what the certificate lets the node be, or C{first}.
    @param where: what has to follow C{routing-node} to start this node; empty if nothing has to.
    """
    head = _HEAD.format(
        nickname=nickname,
        label=label,
        command=command,
        where=where,
        network=toml_text(network),
        state_dir=toml_text(str(state_dir)),
    )
    parts = [head, {"first": _FIRST, "client": _CLIENT}.get(role, "")]
    if contacts:
        rows = "".join(f"    {toml_text(str(each))},\n" for each in contacts)
        parts.append(_CONTACTS.format(contacts=rows))
    if proxy:
        parts.append(_PROXY.format(proxy=toml_text(proxy)))
    if role != "client":
        parts.append(_LISTEN.format(listen=_list(listen)) if listen else _DEFAULT_LISTEN)
        parts.append(_EXTERNAL.format(external=_list(external)) if external else _DEFAULT_EXTERNAL)
    return "".join((*parts, _PROGRAMS))


def toml_text(text: str) -> str:
    """A text as TOML writes it, whatever it holds."""
    escaped = "".join(_escaped(each) for each in text)
    return f'"{escaped}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _list(endpoints: Sequence[Place]) -> str:
    return ", ".join(toml_text(str(each)) for each in endpoints)
