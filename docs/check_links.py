"""
Checks the links inside the built documentation: C{python docs/check_links.py FOLDER}, with the pages of the
API in C{FOLDER/api}. Each file and each place in it must be there. No link may write a mail.

Prints what leads nowhere; the exit status is 0 only if nothing does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit


class Page(HTMLParser):
    """
    One page.

    @ivar places: what can be linked to in it.
    @ivar links: what it links to.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the names that the element gives, and where it leads."""
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.places.add(value)
            elif name in ("href", "src", "data"):
                self.links.append(value)


def problems(folder: Path, of: str = "**/*.html") -> list[str]:
    """What is wrong with the links of these pages."""
    read: dict[Path, Page] = {}

    def page(path: Path) -> Page:
        if path not in read:
            read[path] = Page(path.read_text(encoding="utf-8"))
        return read[path]

    found = []
    for path in sorted(folder.glob(of)):
        for link in dict.fromkeys(page(path).links):
            wrong = _wrong(path, link, page)
            if wrong:
                found.append(f"{path.relative_to(folder)}: {link}: {wrong}")
    return found


def _wrong(path: Path, link: str, page: Callable[[Path], Page]) -> str:
    parts = urlsplit(link)
    if parts.scheme == "mailto":
        return "writes a mail"
    if parts.scheme or parts.netloc:
        return ""
    file, place = urldefrag(link)
    target = (path.parent / unquote(file.split("?", 1)[0])) if file else path
    if not target.is_file():
        return "is not there"
    if place and target.suffix == ".html" and unquote(place) not in page(target).places:
        return "is not a place in that page"
    return ""


def main() -> int:
    """Check a folder."""
    (folder,) = map(Path, sys.argv[1:])
    if not (folder / "api" / "index.html").exists():
        print(f"no pages of the API in {folder / 'api'}: make them with pydoctor")
        return 1
    found = problems(folder)
    print("\n".join(found) or "all links lead somewhere")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
