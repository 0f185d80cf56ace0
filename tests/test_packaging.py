"""
What is installed. That it can be built and installed in each way is looked at by .ci/packaging.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from runpy import run_path

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SkipTest, SynchronousTestCase

import routing_crust

ROOT = Path(routing_crust.__file__).resolve().parent.parent


def in_tree(*names: str) -> Path:
    path = ROOT.joinpath(*names)
    if not (ROOT / "setup.py").is_file():
        raise SkipTest("this is not a source tree, but an installed package")
    return path


class TreeTests(SynchronousTestCase):
    def test_every_folder_of_modules_is_a_package(self) -> None:
        """setup.py searches for packages, and a search passes over folders without an __init__.py."""
        folders = {each.parent for each in in_tree("routing_crust").rglob("*.py")}
        self.assertEqual([each for each in folders if not (each / "__init__.py").exists()], [])

    def test_nothing_hides_twisted(self) -> None:
        """Two modules alone lie under twisted/; an __init__.py would hide the plugins, or Twisted."""
        found = sorted(str(each.relative_to(ROOT)) for each in in_tree("twisted").rglob("*.py"))
        names = ("dropin", "endpoints")
        self.assertEqual(found, [f"twisted/plugins/routing_crust_{each}.py" for each in names])

    def test_the_version_stands_in_the_citation_and_in_the_documentation(self) -> None:
        """Both copy it; the documentation's titles once had the quotes of a docstring in its place."""
        citation = in_tree("CITATION.cff").read_text(encoding="utf-8")
        self.assertIn(f"\nversion: {routing_crust.__version__}\n", citation)
        before = list(sys.path)
        self.addCleanup(setattr, sys, "path", before)
        self.assertEqual(run_path(str(in_tree("docs", "conf.py")))["release"], routing_crust.__version__)


class InstalledTests(SynchronousTestCase):
    def test_package_shows_the_installed_version(self) -> None:
        self.assertRegex(routing_crust.__version__, r"^\d+\.\d+\.\d+$")
        try:
            installed = version("routing-crust")
        except PackageNotFoundError:
            raise SkipTest("the package is not installed") from None
        self.assertEqual(routing_crust.__version__, installed)

    def test_package_is_marked_as_typed(self) -> None:
        self.assertTrue((Path(routing_crust.__file__).parent / "py.typed").is_file())

    def test_twisted_finds_the_plugin_and_what_it_promises(self) -> None:
        (maker,) = [each for each in getPlugins(IServiceMaker) if each.tapname == "routing-node"]
        self.assertEqual(maker.name, "Routing node")
        module = import_module(maker.module)
        self.assertIs(maker.options, module.Options)
        self.assertEqual(maker.makeService, module.makeService)

    def test_twistd_shows_the_plugin_and_its_options_from_any_folder(self) -> None:
        listing = self.twistd("--help")
        self.assertIn("routing-node", listing)
        self.assertIn("--listen", self.twistd("routing-node", "--help"))

    def twistd(self, *arguments: str) -> str:
        folder = self.mktemp()
        os.mkdir(folder)
        done = subprocess.run(
            [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout
