"""C{receive}: receives files and folders that peers send with C{send-file}."""

from __future__ import annotations

import argparse
import sys
from time import monotonic
from typing import Final

from ....forwarding_rules import EVERYONE
from ....plain_errors import RoutingCrustError
from ...control.client import ClientError
from ...control.messages import StatusCommand, StatusReply
from ...control.session_messages import (
    AcceptCommand,
    OfferCommand,
    OfferingReply,
    OpenedReply,
)
from ...transfer.channel import Channel, ChannelLost
from ...transfer.errors import TransferError
from ...transfer.messages import PROTOCOL, Offer, ProtocolBroken
from ...transfer.receiver import Declined, PeerGaveUp, Receiver
from ...transfer.store import Store
from .. import EXIT_OK
from ..here import STATUS_TIMEOUT_SECONDS, connect, print_line
from .offers import KEPT_WAITING_SECONDS, HeldUp, IncomingOffers
from .progress import TransferLine
from .reporting import finished_text, offer_text, print_digests, print_json, sums_fields

_SHOWN_NAME: Final = 8
_YES: Final = ("y", "yes")


def receive(options: argparse.Namespace) -> int:
    """Receive files and folders."""
    if not (options.yes or options.accept_from or sys.stdin.isatty()):
        raise ClientError(
            "nobody can be asked here: say --accept-from NAME, or --yes to take what any node of the network "
            "sends"
        )
    store = Store(options.into, overwrite=options.overwrite, preserve=options.preserve)
    try:
        with connect(options) as client:
            # without names everybody may ask: a person, or --yes, decides
            allow = tuple(options.accept_from) or (EVERYONE,)
            command = OfferCommand(protocol=PROTOCOL, allow=allow, keep=options.keep)
            offering = client.ask(command, OfferingReply, STATUS_TIMEOUT_SECONDS)
            if options.json:
                print_json("waiting", name=offering.host)
            else:
                print_line("waiting for files; 'routing-crust send-file PATH NAME' sends them, with the name")
                print_line(f"{offering.host} or the nickname of this node")
            return _until_over(options, store, IncomingOffers(client))
    except KeyboardInterrupt:
        if options.keep_going:
            return EXIT_OK
        raise
    finally:
        store.close()


def _until_over(options: argparse.Namespace, store: Store, offers: IncomingOffers) -> int:
    while not _served(options, store, offers) or options.keep_going:
        offers.free()
    return EXIT_OK


def _served(options: argparse.Namespace, store: Store, offers: IncomingOffers) -> bool:
    """
    Serve the next peer.

    @return: whether all has come.
    @raise TransferError: the disk here does not take it, and this was to be the only transfer.
    """
    try:
        _one(options, store, offers)
    except (ChannelLost, ProtocolBroken, Declined, PeerGaveUp, HeldUp) as error:
        # what a sender does ends nothing here
        _problem(options, error)
    except TransferError as error:
        if not options.keep_going:
            raise
        _problem(options, error)
    else:
        return True
    return False


def _one(options: argparse.Namespace, store: Store, offers: IncomingOffers) -> None:
    asked = offers.next()
    who = _called(options, asked.name)
    with connect(options) as client:
        try:
            client.ask(AcceptCommand(stream=asked.stream), OpenedReply, STATUS_TIMEOUT_SECONDS)
        except ClientError as error:
            raise ChannelLost(f"{who} could not be answered: {error}") from None
        channel = Channel(*client.becomes_a_stream())
        receiver = Receiver(channel, store, asked.name)
        channel.when_kept_waiting(KEPT_WAITING_SECONDS, offers.turn(receiver.sums))
        line = TransferLine(receiver.sums)
        began: list[float] = []

        def wanted(offer: Offer) -> None:
            _decide(options, who, asked.name, offer)
            began.append(monotonic())
            # not before: it would overwrite the question to the operator
            line.__enter__()

        try:
            receiver.run(wanted)
        finally:
            if began:
                line.__exit__(None, None, None)
    seconds = monotonic() - began[0]
    if options.json:
        fields = sums_fields(receiver.sums, receiver.digests, seconds)
        print_json("received", sender=asked.name, **fields)
    else:
        print_line(finished_text("received from", who, receiver.sums, seconds))
        print_digests(receiver.digests)


def _decide(options: argparse.Namespace, who: str, name: str, offer: Offer) -> None:
    """
    @raise Declined: the operator does not want it.
    """
    if options.json:
        sizes = {"files": offer.files, "folders": offer.folders, "bytes": offer.size}
        print_json("offered", sender=name, **sizes)
    else:
        print_line(f"{who} offers {offer_text(offer)}")
    if options.yes or options.accept_from:
        return
    sys.stderr.write("Take it? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in _YES:
        raise Declined("the receiver does not want it")


def _called(options: argparse.Namespace, name: str) -> str:
    """The nickname of a peer with the beginning of its name; the name, if there is none."""
    try:
        with connect(options) as client:
            status = client.ask(StatusCommand(), StatusReply, STATUS_TIMEOUT_SECONDS).status
    except RoutingCrustError:
        return name
    for link in status.get("links", []):
        if link.get("peer") == name and link.get("nickname"):
            return f"{link['nickname']} ({name[:_SHOWN_NAME]})"
    return name


def _problem(options: argparse.Namespace, error: RoutingCrustError) -> None:
    if options.json:
        print_json("failed", problem=str(error))
    else:
        sys.stderr.write(f"routing-crust: {error}; waiting for the next\n")
