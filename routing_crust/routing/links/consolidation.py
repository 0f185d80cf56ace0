"""
Consolidation: two peers keep one of the links between them.

A rendezvous may give two links, crossed requests four, a bootstrap one more. The end with the smaller name,
the arbiter, decides for both, so the two agree in any order of events. It waits until both directions are
proven, at most C{TWO_WAY_WAIT_SECONDS} seconds (it does not wait where a NAT is known to forbid one of them,
or where the link was punched or is a tunnel), and sends a Confirmation on the best link. The other end
acknowledges on the same link, and only then are the others closed: there is no moment without a link.

Order of messages: Confirmation (arbiter), ConfirmationAck (the other), Goodbye on each other link (arbiter).
The best link is the one with the greatest use; of these the one of the best path kind (mapped before
direct before punched before a tunnel); of these the primary, the one that the responder of the request
dialled; when both asked at once, the request of the greater name counts.

Two that have agreed on a request for a greater use than their link has need no other link, if that one was
punched, or was dialled where the other end cannot dial: the arbiter confirms it again for the greater use. It
may hold the only two ports between which the NATs let anything pass. Any other link is not raised: a second
one shows whether the other end can dial, too.

A peer that opens another link may have lost the agreed one without our noticing. So the arbiter confirms the
agreed one again, and keeps the new one until the acknowledgement has come. If the agreed one is doubted by
then, the arbiter decides for the other, and the handover waits for what the slow one may still bring. A
link that it has decided for, and that is not acknowledged, gives way likewise.

L{Consolidation} does no I/O: each input returns what is to be done.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TypeAlias

from ...config import Settings, TwoWay
from ...endpoints import PathKind
from ...errors import CloseReason
from ...limits import TWO_WAY_WAIT_SECONDS
from ...wire.messages import Confirmation, LinkUse
from .decisions import Action, CandidateLink, Close, Doubt, Established, SendAck, SendConfirmation

_Decision: TypeAlias = tuple[Hashable, int, LinkUse, bool]
"""Of ours: link, epoch, use, two-way."""


class Consolidation:
    """
    The links to one peer. Made with the first of them, discarded with the last.

    @ivar current: the link that both ends agreed on, or C{None}.
    @ivar incarnation: the peer's.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        arbiter: bool,
        incarnation: int,
        next_epoch: Callable[[], int],
        is_doubted: Callable[[Hashable], bool] = lambda link: False,
    ) -> None:
        """
        @param arbiter: whether our name is the smaller one.
        @param next_epoch: gives numbers that grow, across restarts too.
        @param is_doubted: whether a link may be dead, as its silence shows. When a link becomes doubted,
            L{tick} is to be called.
        """
        self._is_doubted = is_doubted
        self._settings = settings
        self._arbiter = arbiter
        self._next_epoch = next_epoch
        self._candidates: dict[Hashable, CandidateLink] = {}
        self._pending: _Decision | None = None  # which is not acknowledged
        self._withdrawn: _Decision | None = None  # which was not, when we left its link
        self._epoch = -1  # of the last decision of the arbiter's that we have followed
        self._we_reached = False
        self._they_reached = False
        self._agreed: tuple[LinkUse, bool] | None = None
        self._doubted = False  # whether the current link must be confirmed again
        self._passed_over: dict[Hashable, None] = {}  # doubted links that another is to replace, in order
        self.incarnation = incarnation
        self._settled = 0.0  # when the current link became that
        self.current: Hashable | None = None

    @property
    def links(self) -> tuple[Hashable, ...]:
        """All verified links to this peer, oldest first."""
        return tuple(self._candidates)

    def is_dialled(self, use: LinkUse) -> bool:
        """Whether one end has dialled the other for this use or a greater one."""
        return any(each.plain and each.use >= use for each in self._undoubted())

    def needs_no_tunnel(self, use: LinkUse) -> bool:
        """Whether there is a link for this use or a greater one, or one that was dialled plainly."""
        # What was dialled plainly can be dialled again from another port. What was punched cannot: the link
        # itself holds the only two ports between which the NATs let anything pass.
        repeatable = (PathKind.MAPPED, PathKind.DIRECT)
        return any(each.use >= use or each.path_kind in repeatable for each in self._undoubted())

    @property
    def two_way(self) -> bool:
        """Whether each end has dialled the other with success."""
        return self._we_reached and self._they_reached

    @property
    def wake_at(self) -> float | None:
        """When L{tick} must be called, if nothing happens before; C{None} for never."""
        waiting = [self._spare_since(each) for each in self._candidates.values() if self._is_spare(each)]
        if not waiting:
            return None
        give_up = min(waiting) + self._patience
        decide = self._decision_due()
        return give_up if decide is None else min(decide, give_up)

    def link_up(self, candidate: CandidateLink, incarnation: int, now: float) -> list[Action]:
        """
        A link's Hello is verified at this end.

        A peer with a newer incarnation has restarted: its older links are dead and are closed at once. A
        link of an older incarnation is refused.
        """
        if incarnation < self.incarnation:
            return [Close(candidate.link, CloseReason.STALE)]
        actions: list[Action] = []
        if incarnation > self.incarnation:
            actions.extend(Close(link, CloseReason.RESTARTED) for link in self._candidates)
            self._forget(incarnation)
        self._candidates[candidate.link] = candidate
        if candidate.plain:
            self._we_reached |= candidate.we_dialled
            self._they_reached |= not candidate.we_dialled
        # a peer that opens another link may have lost the agreed one: have that one acknowledged again
        self._doubted = self._arbiter and self.current is not None
        decided_on = self._decided_on
        if candidate.beside:
            self._leave(self.current)
        actions.extend(self._decide(now))
        if decided_on is not None and self._pending is not None and self._pending[0] == decided_on:
            actions.append(Doubt(decided_on))
        return actions

    def link_lost(self, link: Hashable, now: float) -> list[Action]:
        """A link is gone, or we close it for another reason."""
        # a link that we close was taken out with the decision, and its loss is reported here as well
        self._candidates.pop(link, None)
        self._drop(link)
        if self.current == link:
            self.current = None
            self._agreed = None
            self._doubted = False
        return self._decide(now)

    def agree(self, use: LinkUse, now: float) -> list[Action]:
        """Both ends have agreed on a request for this use, and a link that they have may do for it."""
        if not self._arbiter or self._one_way_refused(use, self.two_way):
            return []  # the other end is asked when the Confirmation comes
        if any(each.use >= use for each in self._candidates.values()):
            return []  # to raise another one could lead back to a link that both ends have left
        decided_on = self._decided_on
        candidate = self._candidates.get(decided_on)
        if candidate is None or candidate.path_kind is PathKind.TUNNEL:
            return []
        if candidate.plain and candidate.both_ways:
            return []
        self._candidates[decided_on] = replace(candidate, use=use)
        return self._decide(now)

    def confirmation(
        self,
        link: Hashable,
        message: Confirmation,
        now: float,
        permitted: Callable[[], LinkUse] = lambda: LinkUse.ATTACHED,
    ) -> list[Action]:
        """
        The arbiter has decided. A decision that is older than the last one is ignored.

        @param permitted: gives the greatest use for which we ask the peer or that we have granted it. The
            arbiter may raise a link to that, and its Confirmation may overtake the response that says so.
        """
        candidate = self._candidates.get(link)
        if candidate is None:
            return []
        if self._arbiter:
            return [self._close(link, CloseReason.PROTOCOL_ERROR)]
        # Confirmations on two links may overtake each other: the later decision counts
        if message.epoch <= self._epoch:
            return []
        # the arbiter decides which link lives, but cannot give it a greater use than was agreed to
        raised = message.use > candidate.use
        if (raised and message.use > permitted()) or self._one_way_refused(message.use, message.two_way):
            if raised and link == self.current:
                # our table may have filled up since we agreed, and the link serves what it was made for
                self._epoch = message.epoch
                return [SendAck(link, message.epoch, declined=True)]
            return [self._close(link, CloseReason.NOT_WANTED)]
        if raised:
            self._candidates[link] = replace(candidate, use=message.use)
        self._epoch = message.epoch
        return [SendAck(link, message.epoch), *self._settle(link, message.use, message.two_way, now)]

    def ack(self, link: Hashable, epoch: int, now: float, declined: bool = False) -> list[Action]:
        """
        The other end follows our decision: now the other links can go.

        @param declined: it does not follow us in giving the link a greater use.
        """
        if not self._arbiter and link in self._candidates:
            return [self._close(link, CloseReason.PROTOCOL_ERROR)]
        if self._pending is None or self._pending[:2] != (link, epoch):
            return [] if declined else self._acknowledged_late(link, epoch, now)
        _, _, use, two_way = self._pending
        self._pending = None
        self._doubted = False
        if declined:
            if link != self.current or self._agreed is None:
                return [self._close(link, CloseReason.PROTOCOL_ERROR), *self._decide(now)]
            use, two_way = self._agreed
            self._candidates[link] = replace(self._candidates[link], use=use)
            return self._decide(now)
        # only now are the other links closed: the peer is known to use this one
        return [*self._settle(link, use, two_way, now), *self._decide(now)]

    def _acknowledged_late(self, link: Hashable, epoch: int, now: float) -> list[Action]:
        """A link that we left was merely slow: the peer uses it until it hears of the later decision."""
        withdrawn = self._withdrawn
        if withdrawn is None or withdrawn[:2] != (link, epoch) or link not in self._candidates:
            return []
        self._withdrawn = None
        return self._settle(link, withdrawn[2], withdrawn[3], now)

    def tick(self, now: float) -> list[Action]:
        """Time has passed: decide among the links there are, and close those without a decision."""
        actions = self._decide(now)
        reason = CloseReason.HELLO_TIMEOUT if self.current is None else CloseReason.SUPERSEDED
        for each in list(self._candidates.values()):
            if self._is_spare(each) and now >= self._spare_since(each) + self._patience:
                actions.append(self._close(each.link, reason))
        return actions

    @property
    def _patience(self) -> float:
        """Seconds for which a link may be there without a decision."""
        settings = self._settings
        patience = TWO_WAY_WAIT_SECONDS + settings.hello_timeout
        if not self._arbiter and self.current is not None:
            # until our acknowledgement arrives, this may be the only link that the arbiter has; after the
            # inactivity timeout it has arrived, or the link that we sent it on is dead
            patience += settings.inactivity_timeout
        return patience

    def _settle(self, link: Hashable, use: LinkUse, two_way: bool, now: float) -> list[Action]:
        if self.current != link:
            self._settled = now
            self._agreed = None
        before, self._agreed = self._agreed, (use, two_way)
        self.current = link
        # a link in doubt is agreed on again as it was, which is no news to the parts above
        return [] if before == self._agreed else [Established(link, use, two_way)]

    def _is_spare(self, candidate: CandidateLink) -> bool:
        """
        Whether a link is closed if no decision is made for it. One that we have decided for is not, while
        there is another: for the other end it may be the only one by now. If it is dead, its silence shows.
        """
        if candidate.link == self.current:
            return False
        decided_on = self._pending is not None and self._pending[0] == candidate.link
        return self.current is None or not decided_on

    def _spare_since(self, candidate: CandidateLink) -> float:
        return max(candidate.since, self._settled)

    def _close(self, link: Hashable, reason: CloseReason) -> Close:
        del self._candidates[link]
        self._drop(link)
        return Close(link, reason)

    def _drop(self, link: Hashable) -> None:
        """Forget what was decided of a link that is gone."""
        self._passed_over.pop(link, None)
        if self._pending is not None and self._pending[0] == link:
            self._pending = None
            # the peer may have followed it, and has no agreed link then
            self._doubted = self.current is not None

    def _forget(self, incarnation: int) -> None:
        # the last epoch stays: the arbiter's epochs grow across its restarts, too
        self._candidates.clear()
        self._passed_over.clear()
        self._pending = self._withdrawn = None
        self._agreed = None
        self._doubted = False
        self._we_reached = self._they_reached = False
        self.current = None
        self.incarnation = incarnation

    def _best(self) -> CandidateLink | None:
        left = list(self._passed_over)

        def rank(each: CandidateLink) -> tuple[int, int, int, bool, bool, bool, float]:
            # the request of the greater name counts, and the arbiter's is the smaller one
            spare = each.link != self.current
            # of those that we have left, the last is the one that the peer may use
            last = len(left) - left.index(each.link) if each.link in left else 0
            preference = each.path_kind.preference
            # of equals the present link, since each change costs a handover
            return (last, -each.use, -preference, each.we_asked, not each.primary, spare, each.since)

        return min(self._candidates.values(), key=rank, default=None)

    def _decision_due(self) -> float | None:
        """When the second direction has been waited for long enough, if it is being waited for."""
        best = self._best()
        if best is None or not self._arbiter or self._pending is not None:
            return None
        if best.link == self.current or not self._worth_waiting(best):
            return None
        # from the first of them on, else each further link would put the decision off
        asked_for = [each.since for each in self._candidates.values() if each.use is not LinkUse.ATTACHED]
        return min(asked_for) + TWO_WAY_WAIT_SECONDS

    def _worth_waiting(self, best: CandidateLink) -> bool:
        if best.use is LinkUse.ATTACHED or self.two_way or self._settings.two_way is TwoWay.OFF:
            return False
        return self._settings.two_way is TwoWay.REQUIRED or (best.plain and best.both_ways)

    def _undoubted(self) -> list[CandidateLink]:
        return [each for each in self._candidates.values() if not self._is_doubted(each.link)]

    def _decide(self, now: float) -> list[Action]:
        actions: list[Action] = []
        self._pass_over()
        # one decision at a time: until the answer comes, either link may be the one that the peer uses
        while self._arbiter and self._pending is None:
            best = self._best()
            if best is None:
                break
            if best.link == self.current and self._agreed == (best.use, self.two_way) and not self._doubted:
                spare = [link for link in self._candidates if link != self.current]
                actions.extend(self._close(link, CloseReason.SUPERSEDED) for link in spare)
                break
            due = self._decision_due()
            if due is not None and now < due:
                break
            if self._one_way_refused(best.use, self.two_way):
                # the next best may be for a use that needs no second direction
                actions.append(self._close(best.link, CloseReason.NOT_WANTED))
                continue
            epoch = self._next_epoch()
            self._pending = (best.link, epoch, best.use, self.two_way)
            actions.append(SendConfirmation(best.link, Confirmation(epoch, best.use, self.two_way)))
        return actions

    @property
    def _decided_on(self) -> Hashable | None:
        """The link that is to be ours, even if the answer to the decision is still on its way."""
        return self.current if self._pending is None else self._pending[0]

    def _pass_over(self) -> None:
        """If a link that we have decided for is doubted and there is another, let that take its place."""
        pending = None if self._pending is None else self._pending[0]
        for link in (self.current, pending):
            # it was decided for again if it was the only one for a while, and must not keep the next waiting
            if link is None or (link in self._passed_over and pending != link):
                continue
            # the peer may follow the last decision, and must not be led back to a link that it has left
            former = (self.current, link, *self._passed_over)
            others = [each for each in self._undoubted() if each.link not in former]
            if others and self._is_doubted(link):
                self._leave(self.current)
                self._leave(link)

    def _leave(self, link: Hashable | None) -> None:
        """Decide for another link, for good: to come back to one that the peer has left would lose frames."""
        if link is None or not self._arbiter:
            return
        self._passed_over.pop(link, None)
        self._passed_over[link] = None
        if self._pending is not None and self._pending[0] == link:
            self._withdrawn, self._pending = self._pending, None
            # the peer may follow that one by now, and must have another before any is closed
            self._doubted = self.current is not None

    def _one_way_refused(self, use: LinkUse, two_way: bool) -> bool:
        return use is LinkUse.MEMBER and not two_way and self._settings.two_way is TwoWay.REQUIRED
