"""
The file C{invitations}: the ledger of an inviter, in JSON. It holds their secrets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ..errors import InvalidCertificate, InvalidName, TrustFileError
from ..names import Name
from .certificate import MemberRole
from .invitation import SECRET_BYTES
from .ledger import Ledger, LedgerEntry
from .text_files import read_text, write_text

INVITATIONS_FILE: Final = "invitations"
_MAX_LEDGER_FILE_BYTES: Final = 32 * 1024 * 1024
"""Room for all copies of others' invitations, with as many users as they may have."""


def load_ledger(state_dir: Path, network: str) -> Ledger:
    """
    Read the invitations that this inviter has made.

    @raise TrustFileError: the file cannot be read, is damaged or of another network.
    """
    path = state_dir / INVITATIONS_FILE
    text = read_text(path, _MAX_LEDGER_FILE_BYTES, "list of invitations")
    if text is None:
        return Ledger()
    try:
        content = json.loads(text)
        if content["version"] != 1:
            raise ValueError("it has another version")
        found = content["network"]
        entries = tuple(_entry(each) for each in content["invitations"])
    # json raises RecursionError for brackets in brackets
    except (ValueError, TypeError, KeyError, RecursionError, InvalidName, InvalidCertificate) as error:
        raise TrustFileError(
            f"the list of invitations {path} is damaged ({error}): restore it from a copy, or move it away; "
            "then invitations that are not redeemed yet are of no use"
        ) from None
    if found != network:
        raise TrustFileError(
            f"the list of invitations {path} is of the network {found}, and not of {network}: move it away"
        )
    return Ledger(entries)


def save_ledger(state_dir: Path, network: str, ledger: Ledger) -> None:
    """
    @raise OSError: it cannot be written; the old one is still there.
    """
    rows = [
        {
            "secret": each.secret.hex(),
            "expiry": each.expiry,
            "uses": each.uses,
            "nickname": each.nickname,
            "roles": sorted(role.text for role in each.roles),
            "tags": sorted(each.tags),
            "allow": list(each.allow),
            "used_by": [str(name) for name in each.used_by],
            "inviter": "" if each.inviter is None else str(each.inviter),
            "void": each.void,
        }
        for each in ledger.entries
    ]
    content = {"version": 1, "network": network, "invitations": rows}
    write_text(state_dir / INVITATIONS_FILE, json.dumps(content, indent=1) + "\n")


def _entry(row: Mapping[str, Any]) -> LedgerEntry:
    secret = bytes.fromhex(row["secret"])
    if len(secret) != SECRET_BYTES:
        raise ValueError("a secret has the wrong length")
    return LedgerEntry(
        secret,
        int(row["expiry"]),
        int(row["uses"]),
        str(row["nickname"]),
        frozenset(MemberRole.from_text(each) for each in row["roles"]),
        frozenset(str(each) for each in row["tags"]),
        tuple(str(each) for each in row["allow"]),
        tuple(Name.from_text(each) for each in row["used_by"]),
        Name.from_text(row["inviter"]) if row["inviter"] else None,
        bool(row["void"]),
    )
