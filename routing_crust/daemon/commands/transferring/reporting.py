"""How the two commands say what they do: lines for people, or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ...text import size_text
from ...transfer.errors import shown
from ...transfer.messages import Offer
from ...transfer.sums import Sums
from ..here import print_line


def offer_text(offer: Offer) -> str:
    """What is offered."""
    names = ", ".join(shown((each,)) for each in offer.items)
    return f"{_files(offer.files)}, {size_text(offer.size)}: {names}"


def finished_text(verb: str, who: str, sums: Sums, seconds: float) -> str:
    """
    The sums at the end.

    @param verb: such as "sent to".
    """
    there = sums.covered - sums.moved
    before = f"; {size_text(there)} of these needed not be sent" if there > 0 else ""
    rate = size_text(sums.moved / seconds) if seconds > 0 else "0 B"
    return (
        f"{verb} {who}: {_files(sums.files)}, {size_text(sums.covered)} in {seconds:.1f} s ({rate}/s){before}"
    )


def print_digests(digests: Mapping[bytes, bytes]) -> None:
    """The hash of each item, as C{sha256sum} prints it."""
    for name, digest in digests.items():
        print_line(f"{digest.hex()}  {shown((name,))}")


def print_json(event: str, **fields: object) -> None:
    """Print a line of JSON."""
    print_line(json.dumps({"event": event, **fields}))


def sums_fields(sums: Sums, digests: Mapping[bytes, bytes], seconds: float) -> dict[str, object]:
    """The sums at the end, for JSON."""
    return {
        "files": sums.files,
        "folders": sums.folders,
        "bytes": sums.covered,
        "moved": sums.moved,
        "seconds": round(seconds, 3),
        "sha256": {shown((name,)): digest.hex() for name, digest in digests.items()},
    }


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"
