"""
Return paths: the links by which the envelopes of a sender came.

Greedy routing finds the way to a node that is in the tables of its neighbours. A joining node is in few of
them, so greedy routing may not find the way back to it. Then an answer goes back the way that the question
came, from relay to relay.
"""

from __future__ import annotations

from typing import Final

from ...bounded_dict import BoundedDict
from ...crust.interfaces import ILink
from ...names import Name
from ..membership.neighbourhood import LinkLookup

MAX_RETURN_PATHS: Final = 4096


class ReturnPaths:
    """
    The links by which envelopes have come, by their senders; only the latest ones.

    Made by the forwarder, told of each envelope that it passes on, discarded with it. The senders are not
    verified here: a false one can only misdirect envelopes that had no other way.
    """

    def __init__(self, links: LinkLookup) -> None:
        self._known = links
        self._links: BoundedDict[Name, ILink] = BoundedDict(MAX_RETURN_PATHS)

    def __len__(self) -> int:
        return len(self._links)

    def came_by(self, source: Name, link: ILink) -> None:
        """An envelope of C{source} came over C{link}."""
        self._links.put(source, link)

    def back_to(self, source: Name) -> ILink | None:
        """The link by which the latest envelope of C{source} came, if it is still up."""
        link = self._links.get(source)
        # a link that was replaced and does not count any more leads nowhere
        if link is not None and self._known.link_to(link.peer) is not link:
            del self._links[source]
            return None
        return link

    def link_changed(self, old: ILink, new: ILink) -> None:
        """A new link has replaced the old one."""
        # only values change, so the dictionary may be read meanwhile
        for source, link in self._links.items():
            if link is old:
                self._links[source] = new

    def link_lost(self, link: ILink) -> None:
        """A link is gone."""
        for source in [source for source, each in self._links.items() if each is link]:
            del self._links[source]
