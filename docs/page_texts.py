"""
What is done with the text of every page: shell commands are coloured as such, and the public names of the
package lead to their pages in the API, and drawings stand in the page itself.
"""

from __future__ import annotations

import re
from importlib import import_module
from inspect import isclass, isroutine
from pathlib import Path
from types import ModuleType
from typing import Final

from docutils import nodes  # type: ignore[import-untyped]
from zope.interface.interface import InterfaceClass

PUBLIC: Final = ("endpoints", "errors", "streams", "aio", "testing", "")
"""The public modules, as the page on what is public has them. A name in several is that of the first here."""
PROGRAMS: Final = (
    *(
        "apt",
        "apt-get",
        "cd",
        "coverage",
        "curl",
        "docker",
        "dpkg",
        "export",
        "git",
        "journalctl",
        "kill",
        "ls",
    ),
    *("mkdir", "mypy", "pip", "pipx", "python", "python3", "routing-crust", "ruff", "scp", "sphinx-build"),
    *("ssh", "sudo", "sysctl", "systemctl", "tox", "towncrier", "twistd", "uv"),
)
"""What a line of a shell begins with."""
_PROMPT: Final = re.compile(r"^[$#] \S", re.MULTILINE)
_ASSIGNMENT: Final = re.compile(r"^[A-Z_]+=\S*( |$)")
_NAME: Final = re.compile(r"^(?:routing_crust\.)?[A-Za-z_]\w*(?:\.\w+)*(?:\(.*\))?$")


def language_of(text: str) -> str:
    """The language of a block of which the page says nothing: a session, commands, or plain text."""
    if _PROMPT.search(text):
        return "console"
    first = text.split("\n", 1)[0]
    word = first.split(" ", 1)[0]
    return "bash" if word in PROGRAMS or word.startswith(".ci/") or _ASSIGNMENT.match(first) else "text"


def set_languages(document: nodes.document) -> None:
    """Give each block without a language the one that its text has."""
    for block in document.findall(nodes.literal_block):
        if block.get("language", "default") == "default":
            block["language"] = language_of(block.astext())


def put_in_drawings(document: nodes.document, folder: Path) -> None:
    """Put drawings of the folder into the page itself, where they follow the theme that is chosen there."""
    for image in list(document.findall(nodes.image)):
        path = folder / Path(image["uri"]).name
        if path.suffix == ".svg" and path.is_file():
            drawing = f'<div class="drawing-frame">{path.read_text(encoding="utf-8")}</div>'
            image.replace_self(nodes.raw("", drawing, format="html"))


def modules() -> dict[str, ModuleType]:
    """The public modules, by their full names."""
    names = [f"routing_crust.{each}".rstrip(".") for each in PUBLIC]
    return {each: import_module(each) for each in names}


def api_pages() -> dict[str, str]:
    """Where pydoctor explains each public module, class, function and method, by what a page calls it."""
    found: dict[str, str] = {}
    for path, module in modules().items():
        found[path] = f"{path}.html"
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, ModuleType) or name.startswith("__"):
                continue
            kind = isclass(value) or isinstance(value, InterfaceClass)
            page = f"{path}.{name}.html" if kind else f"{path}.html#{name}"
            if found.setdefault(name, page) == page and isclass(value):
                for base in value.__mro__:
                    if not base.__module__.startswith("routing_crust"):
                        continue
                    # a method is explained on the page of the class that has it
                    where = page if base is value else f"{base.__module__}.{base.__qualname__}.html"
                    for method, each in vars(base).items():
                        if isroutine(each) and not method.startswith("_") and each.__doc__:
                            found.setdefault(f"{name}.{method}", f"{where}#{method}")
    return found


def link_names(document: nodes.document, pages: dict[str, str], here: str) -> None:
    """
    Link each public name in the text, the first time in a section.

    @param here: the path from the document's folder to that of the API.
    """
    for section in document.findall(nodes.section):
        seen: set[str] = set()
        for literal in list(section.findall(nodes.literal)):
            if _inside(literal, nodes.section) is not section or _inside(
                literal, nodes.reference, nodes.title
            ):
                continue
            text = literal.astext()
            page = pages.get(text.removesuffix("()").split("(", 1)[0]) if _NAME.match(text) else None
            if page is None or page in seen:
                continue
            seen.add(page)
            link = nodes.reference("", "", refuri=f"{here}{page}", internal=True, classes=["api"])
            literal.replace_self(link)
            link += literal


def _inside(node: nodes.Node, *kinds: type) -> nodes.Node | None:
    """The next of these kinds that a node stands in: a section is the border of the search."""
    parent = node.parent
    while parent is not None and not isinstance(parent, kinds):
        if isinstance(parent, nodes.section):
            return None
        parent = parent.parent
    return parent
