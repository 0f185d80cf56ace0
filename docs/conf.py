"""
How Sphinx makes the documentation. The API's pages are made by pydoctor, from the docstrings.
"""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
VERSION = re.search(
    r'^__version__ = "(.+)"$',
    (HERE.parent / "routing_crust" / "__init__.py").read_text(encoding="utf-8"),
    re.MULTILINE,
)

project = "routing-crust"
author = "the routing-crust authors"
copyright = "the routing-crust authors"
if VERSION is None:
    raise RuntimeError("routing_crust/__init__.py holds no version")
release = VERSION.group(1)
extensions = ["directives"]  # of this folder: tables that are made from the code
nitpicky = True
exclude_patterns = ["_build", "api"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Find peers, connect to them directly and securely, and talk to them by name, on Twisted"
}
