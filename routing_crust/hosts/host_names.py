"""
Host names: what one looks like, and how one in other letters than a to z is asked for (IDNA, RFC 5891).
"""

from __future__ import annotations

import re
from typing import Final

from ..plain_errors import InvalidEndpoint

MAX_HOST_NAME_CHARACTERS: Final = 253

# An underscore begins the names of services, and stands in host names of home networks.
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_LIKE_ADDRESS: Final = re.compile(r"[0-9.]*|.*[:%\[\]].*")


def is_like_address(host: str) -> bool:
    """Whether a text is an IP address, or was meant as one: no host name has a colon or is all digits."""
    return _LIKE_ADDRESS.fullmatch(host) is not None


def host_name(text: str) -> str:
    """
    Read a host name.

    @return: in lower case, without a dot at its end, and as name servers know it: C{bücher.example} is
        C{xn--bcher-kva.example} to them.
    @raise InvalidEndpoint: it is none; the error says what is wrong.
    """
    name = text.strip().removesuffix(".")
    if not name.isascii():
        name = _in_ascii(name)
    name = name.lower()
    labels = name.split(".")
    if len(name) > MAX_HOST_NAME_CHARACTERS:
        raise InvalidEndpoint(
            f"a host name has at most {MAX_HOST_NAME_CHARACTERS} characters, and this has {len(name)}"
        )
    bad = next((each for each in labels if not _LABEL.fullmatch(each)), None)
    if bad is not None:
        raise InvalidEndpoint(
            f"{text!r} is not a host name: between its dots are 1 to 63 letters, digits and hyphens"
        )
    if labels[-1].isdigit():
        raise InvalidEndpoint(f"{text!r} is neither an IP address nor a host name")
    return name


def _in_ascii(name: str) -> str:
    # loaded only for those who have such a name
    import idna

    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise InvalidEndpoint(f"{name!r} is not a host name: {error}") from None
