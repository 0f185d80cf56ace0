"""
Builds the package from a clean tree, installs it in each way there is, and looks that it works.

Called as C{python .ci/packaging.py FOLDER} in the tree; the folder is made and holds what is built. Each
way of installing gets a virtual environment of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path.cwd()
TREE = Path(sys.argv[1]).absolute() / "source"
DROPINS = {"twisted/plugins/routing_crust_dropin.py", "twisted/plugins/routing_crust_endpoints.py"}


def run(*command: object, cwd: Path, fail: bool = True) -> str:
    """What a command says. If it fails, so does all of this, with what it said."""
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode and fail:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}\nexit status {done.returncode}")
    return done.stdout


def check(holds: object, what: str) -> None:
    """The end, with these words, if something does not hold."""
    if not holds:
        raise SystemExit(what)


def sources() -> set[str]:
    """The modules of the package, and what goes with them."""
    found = {str(each.relative_to(TREE)) for each in (TREE / "routing_crust").rglob("*.py")}
    found |= {str(each.relative_to(TREE)) for each in (TREE / "routing_crust").rglob("*.pyi")}
    found |= {str(each.relative_to(TREE)) for each in (TREE / "routing_crust/daemon/page/files").iterdir()}
    return found | {*DROPINS, "routing_crust/py.typed"}


def check_contents(wheel: Path, sdist: Path, from_tree: Path) -> None:
    """The wheel holds the modules and nothing else; the sdist holds enough to build and test it."""
    with zipfile.ZipFile(wheel) as archive:
        content = {each for each in archive.namelist() if ".dist-info/" not in each}
        metadata = next(each for each in archive.namelist() if each.endswith("/METADATA"))
        text = archive.read(metadata).decode()
    check(content == sources(), f"the wheel and the tree differ in {sorted(content ^ sources())}")
    check("License-Expression: MIT" in text, "the licence is not in the metadata")
    check("Requires-Python: >=3.10" in text, "the Python version is not in the metadata")
    with zipfile.ZipFile(from_tree) as archive:
        direct = {each for each in archive.namelist() if ".dist-info/" not in each}
    check(direct == content, f"the wheels from tree and sdist differ in {sorted(direct ^ content)}")
    with tarfile.open(sdist) as tar:
        held = {each.partition("/")[2] for each in tar.getnames()}
    wanted = sources() | {"setup.py", "pyproject.toml", "README.rst", "NEWS.rst", "LICENSE", "tox.ini"}
    wanted |= {str(each.relative_to(TREE)) for each in (TREE / "tests").rglob("*.py")}
    wanted |= {str(each.relative_to(TREE)) for each in (TREE / "contrib").rglob("*") if each.is_file()}
    check(wanted <= held, f"the sdist lacks {sorted(wanted - held)}")


def check_installed(how: str, folder: Path, *arguments: object) -> str:
    """Install it, use it, and take it away again."""
    folder.mkdir()
    venv.create(folder / "venv")
    bin = folder / "venv" / "bin"
    # a pip in each would take longer than the rest
    pip = (sys.executable, "-m", "pip", "--python", bin / "python")
    run(*pip, "install", "--quiet", *arguments, cwd=folder)
    run(*pip, "check", cwd=folder)
    listing = run(bin / "twistd", "--help", cwd=folder)
    check("routing-node" in listing, f"{how}: twistd does not know routing-node:\n{listing}")
    check("--listen" in run(bin / "twistd", "routing-node", "--help", cwd=folder), f"{how}: no options")
    run(bin / "routing-crust", "--help", cwd=folder)
    run(bin / "python", "-c", "import routing_crust, twisted.internet.reactor", cwd=folder)
    run(*pip, "uninstall", "--quiet", "--yes", "routing-crust", cwd=folder)
    run(bin / "python", "-c", "import twisted.plugins, twisted.internet.reactor", cwd=folder)
    listing = run(bin / "twistd", "--help", cwd=folder)
    check(
        "web" in listing and "routing-node" not in listing, f"{how}: uninstalling left something:\n{listing}"
    )
    left = run(bin / "python", "-c", "import routing_crust", cwd=folder, fail=False)
    check("No module named 'routing_crust'" in left, f"{how}: still there after uninstalling")
    return how


def main() -> None:
    folder = TREE.parent
    folder.mkdir()
    # a copy, since setuptools leaves its own copy of the modules in a folder build/
    shutil.copytree(HERE, TREE, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__", ".git"))
    run(sys.executable, "-m", "build", "--outdir", folder / "built", TREE, cwd=folder)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder / "tree", TREE, cwd=folder)
    (wheel,) = (folder / "built").glob("*.whl")
    (sdist,) = (folder / "built").glob("*.tar.gz")
    (from_tree,) = (folder / "tree").glob("*.whl")
    check_contents(wheel, sdist, from_tree)
    with ThreadPoolExecutor() as pool:
        ways = [
            pool.submit(check_installed, "wheel", folder / "as-wheel", wheel),
            pool.submit(check_installed, "sdist", folder / "as-sdist", sdist),
            pool.submit(check_installed, "editable", folder / "as-editable", "--editable", TREE),
        ]
        for each in ways:
            print(each.result(), "works")


if __name__ == "__main__":
    main()
