"""
Prints the lowest versions that a wheel says it works with, as constraints for pip.
"""

import re
import sys
import zipfile
from email.parser import Parser


def floors(wheel: str) -> list[str]:
    """A line C{name==version} for each C{name>=version} that the package itself, not an extra, needs."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    lines = []
    for requirement in metadata.get_all("Requires-Dist", []):
        if "extra ==" in requirement:
            continue
        found = re.fullmatch(r"([A-Za-z0-9._-]+)>=([0-9.]+)( *;.*)?", requirement)
        if found is None:
            raise SystemExit(f"{requirement!r} has no lowest version")
        lines.append(f"{found[1]}=={found[2]}{found[3] or ''}")
    if not lines:
        raise SystemExit(f"{wheel} needs nothing, which cannot be right")
    return lines


if __name__ == "__main__":
    print("\n".join(floors(sys.argv[1])))
