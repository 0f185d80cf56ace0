"""
How Sphinx makes the documentation. The API's pages are made by pydoctor, from the docstrings.
"""

import re
import sys
from importlib.util import find_spec
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
# The first is of this folder. The pages can be read without the others, too: see setup.py, docs.
extensions = ["directives", *filter(find_spec, ["sphinx_copybutton"])]
nitpicky = True
exclude_patterns = ["_build", "api"]
html_theme = "furo" if find_spec("furo") else "alabaster"
html_title = f"routing-crust {release}"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_sphinx = False
if html_theme == "furo":
    html_theme_options = {
        "light_css_variables": {"color-brand-primary": "#1f5f9e", "color-brand-content": "#1f5f9e"},
        "dark_css_variables": {"color-brand-primary": "#7db4ee", "color-brand-content": "#7db4ee"},
    }
pygments_style = "friendly"
pygments_dark_style = "github-dark" if find_spec("a11y_pygments") else "native"
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
copybutton_line_continuation_character = "\\"
