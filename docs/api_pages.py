"""
How pydoctor reads the package: the names that it exports stand in C{__init__.pyi}, its docstring in
C{__init__.py}.
"""

from pathlib import Path

from pydoctor.astbuilder import SyntaxTreeParser
from pydoctor.model import Module, ParsedAstModule, System


class StubReader(SyntaxTreeParser):
    """Reads beside each module the stub that type checkers read in place of it."""

    def parseFile(self, path: Path, ctx: Module) -> ParsedAstModule | None:
        """Parse a module: its docstring, and then the stub if there is one."""
        parsed = super().parseFile(path, ctx)
        stub = path.with_suffix(".pyi")
        if parsed is not None and stub.exists():
            parsed.root.body[1:] = self.parseFileOnly(stub).body
        return parsed


class ApiPages(System):
    """What makes the pages of the API."""

    syntaxTreeParser = StubReader
