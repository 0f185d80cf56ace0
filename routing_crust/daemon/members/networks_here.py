"""
The private networks of this user: a state directory that has a settings file brings its own settings, so that
the daemon and the console script find it without being told.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ...files import read_bounded
from ...plain_errors import ConfigurationError
from ..state_directory import DIRECTORY_MODE, default_state_dir
from .moving_in import (
    OF_THE_SYSTEM,
    discard_abandoned,
    discard_unfinished,
    filling,
    flush_folder,
    making_beside,
    stays,
)

CONFIG_NAME: Final = "config.toml"
LABEL_NAME: Final = "label"
MAX_LABEL_BYTES: Final = 1024


def settings_path(given: Mapping[str, object], config: Path | None) -> Path | None:
    """
    The settings file to read: the one that is given; else that of the state directory that is given; else, if
    neither a directory nor a network is, that of this user's only private network.

    @param given: the settings of the command line, raw.
    @raise ConfigurationError: there are several to choose from.
    """
    if config is not None:
        return config
    state_dir = given.get("state_dir")
    if state_dir is not None:
        path = Path(str(state_dir)).expanduser() / CONFIG_NAME
        return path if path.is_file() else None
    if given.get("network") is not None:
        return None
    found = private_networks()
    if len(found) > 1:
        labels = ", ".join(path.parent.name for path in found)
        raise ConfigurationError(
            "state_dir",
            f"there are several private networks here ({labels}): say which one is meant, with "
            f"--state-dir={found[0].parent} for instance",
        )
    return found[0] if found else None


def private_networks() -> tuple[Path, ...]:
    """The settings files of this user's private networks in the usual place, in the order of their labels."""
    try:
        return tuple(sorted(default_state_dir("any").parent.glob(f"*/{CONFIG_NAME}")))
    except OSError:
        # a home that is another user's, as after 'sudo -E -u'
        return ()


def network_at(path: Path) -> str:
    """The id of the network of a settings file; empty if it cannot be read."""
    # that loads all settings, and most commands only look for the file
    from ..settings_file import read_settings_file

    try:
        return str(read_settings_file(path).get("network", ""))
    except ConfigurationError:
        return ""


def label_of(state_dir: Path) -> str:
    """What the private network of a state directory is called on this machine."""
    try:
        text = read_bounded(state_dir / LABEL_NAME, MAX_LABEL_BYTES).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    return text or state_dir.name


def way_to(state_dir: Path, new: bool = False) -> str:
    """
    The option that leads to a state directory, with a space in front; empty if it is found without.

    @param new: whether it is yet to be made.
    """
    found = {path.parent for path in private_networks()} | ({state_dir} if new else set())
    # only a lone network in the usual place is found without its path
    usual = state_dir.parent == default_state_dir("any").parent
    return "" if usual and found == {state_dir} else f" --state-dir={state_dir}"


def check_new(state_dir: Path) -> None:
    """
    @raise ConfigurationError: there is something at this path already.
    """
    try:
        discard_unfinished(state_dir)
        discard_abandoned(state_dir)
        with os.scandir(state_dir) as entries:
            taken = next((each for each in entries if each.name not in OF_THE_SYSTEM), None)
    except FileNotFoundError:
        _check_writable(state_dir)
        return
    except OSError as error:
        raise ConfigurationError("state_dir", f"{state_dir} cannot be used: {error.strerror}") from None
    if taken is not None and (state_dir / CONFIG_NAME).is_file():
        raise ConfigurationError(
            "state_dir",
            f"{state_dir} is there already, with the network {label_of(state_dir)} in it: "
            f"'routing-crust start{way_to(state_dir)}' starts its daemon; for another network give another "
            "folder with --state-dir",
        )
    if taken is not None:
        raise ConfigurationError(
            "state_dir",
            f"{state_dir} is there already, with {taken.name} in it: give another one with --state-dir, or "
            "move it away",
        )


def _check_writable(state_dir: Path) -> None:
    """
    @raise ConfigurationError: this user may not make this folder.
    """
    parent = next(each for each in state_dir.parents if each.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigurationError(
            "state_dir", f"{state_dir} cannot be made in {parent}: give another folder with --state-dir"
        )


@contextmanager
def new_state_dir(state_dir: Path) -> Iterator[Path]:
    """
    Make a state directory whole or not at all: what is written into the folder that this gives is in
    C{state_dir} when the block has ended well; else nothing is left of it. A volume that is mounted there is
    filled.

    @raise ConfigurationError: it cannot be made.
    """
    check_new(state_dir)
    if stays(state_dir):
        try:
            with filling(state_dir, CONFIG_NAME) as making:
                yield making
        except OSError as error:
            raise ConfigurationError("state_dir", f"{state_dir} cannot be filled: {error.strerror}") from None
        return
    try:
        state_dir.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        making, lock = making_beside(state_dir)
    except OSError as error:
        raise ConfigurationError("state_dir", f"{state_dir} cannot be made: {error.strerror}") from None
    try:
        yield making
        # an empty folder is replaced; one that somebody has filled meanwhile is not
        os.rename(making, state_dir)
        flush_folder(state_dir.parent)
    except OSError as error:
        raise ConfigurationError("state_dir", f"{state_dir} cannot be made: {error.strerror}") from None
    finally:
        shutil.rmtree(making, ignore_errors=True)
        os.close(lock)
