"""
What is installed, and what it needs.

The lower bounds are tested: C{.ci/run} installs exactly them and runs the suite.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def version() -> str:
    """The version, read and not imported: what the package imports need not be installed yet."""
    text = (HERE / "routing_crust" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError("routing_crust/__init__.py holds no version")
    return found.group(1)


UPNP = [
    "miniupnpc>=2.3.3",
]
METRICS = [
    "prometheus-client>=0.22",  # chooses between OpenMetrics and the text format by the Accept header
]
QR = [
    "segno>=1.6",
]
COMPLETION = [
    "shtab>=1.13",
]
TEST = [
    *METRICS,
    *UPNP,  # where people run the tests, so that none of UPnP's is skipped
    "coverage>=7.10",  # the first that measures subprocesses by itself
    "hypothesis>=6.100",
    "pyhamcrest>=2.0",  # for Twisted's own tests of TLS, which our transport has to pass
    "treq>=24.9",  # for the test that it fetches pages by name
]
BENCH = [
    "foolscap>=24.9",  # what is compared with, and what finds objects by name in a test
]
ADAPTERS = [
    "distributed>=2026.3",  # for the test that Dask's workers reach each other by name
    *BENCH,
]
LINT = [
    "import-linter>=2.17",  # knows acyclic_siblings
    "ruff>=0.15",
]
TYPING = [
    "mypy>=2.0",
    "mypy-zope>=1.0.17",
]
DOCS = [
    "furo>=2025.12.19",  # folds the sides away on a narrow screen, and has a dark mode
    "pydoctor>=25.10",
    "sphinx>=8.0",
    "sphinx-copybutton>=0.5.2",  # copies commands without their prompts and what they print
    "towncrier>=25.8",
]
PACKAGING = [
    "build>=1.2",
    "tox>=4.20",
]

setup(
    name="routing-crust",
    version=version(),
    description="Find peers, connect to them directly and securely, and talk to them by name, on Twisted",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    author="the routing-crust authors",
    license_expression="MIT",
    license_files=["LICENSE"],
    keywords=["twisted", "peer-to-peer", "kademlia", "routing", "tls", "nat"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: Twisted",
        "Intended Audience :: Developers",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet",
        "Topic :: Security :: Cryptography",
        "Topic :: Software Development :: Libraries :: Python Modules",
        "Topic :: System :: Networking",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    # A search alone would leave out twisted.plugins, which must not have an __init__.py.
    packages=[*find_packages(include=["routing_crust", "routing_crust.*"]), "twisted.plugins"],
    # Makes an editable install put this folder on the path, where Twisted looks for plugins.
    package_dir={"": "."},
    package_data={"routing_crust": ["py.typed", "*.pyi", "daemon/page/files/*"]},
    zip_safe=False,
    install_requires=[
        "automat>=24.8.1",
        "cryptography>=47.0.0",
        "expiringdict>=1.2.2",
        "idna>=3.7",  # host names in other letters; older ones take minutes for some long ones
        "ifaddr>=0.2.0",
        "msgspec>=0.19.0",
        "pyopenssl>=26.2.0",
        "service-identity>=24.2.0",  # older ones break the name check of others in the process, silently
        "tomlkit>=0.13",  # edits a settings file and leaves its comments, for --save
        'tomli>=2.0.1; python_version < "3.11"',
        "twisted>=26.10.0",  # the first that binds an outgoing connection to the port it listens on
        "zope.interface>=8.0",
    ],
    extras_require={
        "completion": COMPLETION,
        "metrics": METRICS,
        "qr": QR,
        "upnp": UPNP,
        "adapters": ADAPTERS,
        "bench": BENCH,
        "test": TEST,
        "lint": LINT,
        "typing": TYPING,
        "docs": DOCS,
        "dev": [*COMPLETION, *METRICS, *QR, *UPNP, *TEST, *ADAPTERS, *LINT, *TYPING, *DOCS, *PACKAGING],
    },
    entry_points={"console_scripts": ["routing-crust = routing_crust.daemon.cli:main"]},
)
