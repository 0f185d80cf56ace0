"""Bugs in forwards, files and endpoints."""

from __future__ import annotations

from typing import Final

from ..mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(
        "a redirect of a peer may choose the control socket",
        "daemon/endpoints/agent.py",
        '_NAME: Final = "[A-Za-z0-9][A-Za-z0-9._-]*"',
        '_NAME: Final = "[A-Za-z0-9][A-Za-z0-9._:=-]*"',
        (
            "tests.daemon.endpoints.test_agent.UriTests.test_what_is_not_of_the_network_is_refused_and_told_what_to_write",
        ),
    ),
    Mutant(
        "the host of a program is not asked after",
        "daemon/forward/splice.py",
        "        keep_alive(self.transport)\n",
        "",
        (
            "tests.daemon.forward.test_splice.FullSocketTests.test_host_of_the_program_is_asked_whether_it_is_there",
        ),
    ),
    Mutant(
        "a redirect is followed without the protocol that it came from",
        "daemon/endpoints/agent.py",
        "if address != uri:",
        "if False:",
        (
            "tests.daemon.endpoints.test_agent.InMemoryTests.test_redirects_are_followed_to_the_same_peer_and_to_nowhere_else",
        ),
    ),
    Mutant(
        "a sender that sends hardly anything keeps its turn",
        "daemon/commands/transferring/offers.py",
        "if is_slow and others_wait:",
        "if False:",
        (
            "tests.daemon.commands.transferring.test_commands.ReceiveTests.test_sender_that_sends_hardly_anything_gives_way_once_another_was_turned_away",
        ),
    ),
    Mutant(
        "a byte now and then makes up for any wait",
        "daemon/transfer/channel.py",
        "        self._patience_left -= seconds\n",
        "        self._patience_left = self._patience - seconds\n",
        (
            "tests.daemon.transfer.test_channel.ChannelTests.test_waits_add_up_however_little_comes_in_between",
        ),
    ),
    Mutant(
        "a peer that goes on after the end of a transfer keeps its receiver",
        "daemon/transfer/channel.py",
        "            self.limit(_CLOSE_SECONDS)\n",
        "",
        (
            "tests.daemon.transfer.test_channel.ChannelTests.test_end_waits_no_longer_for_a_daemon_that_goes_on",
        ),
    ),
    Mutant(
        "names of files that come may lead elsewhere",
        "daemon/transfer/receiving.py",
        'if name in (b".", b"..") or b"/" in name or b"\\0" in name:',
        "if False:",
        ("tests.daemon.transfer.test_rules.ReceivingTests.test_names_that_lead_elsewhere_are_refused",),
    ),
    Mutant(
        "a file comes twice",
        "daemon/transfer/receiving.py",
        "if self._last and not self._last < entry.path:",
        "if False:",
        ("tests.daemon.transfer.test_rules.ReceivingTests.test_names_come_once_and_in_their_order",),
    ),
    Mutant(
        "a file is put below a file",
        "daemon/transfer/receiving.py",
        "if folders != self._folders[: len(folders)]:",
        "if False:",
        (
            "tests.daemon.transfer.test_rules.ReceivingTests.test_file_is_in_no_file_and_in_no_folder_that_was_left",
        ),
    ),
    Mutant(
        "more files come than were offered",
        "daemon/transfer/receiving.py",
        "if self._files_left < 0 or self._folders_left < 0 or self._size_left < 0:",
        "if False:",
        ("tests.daemon.transfer.test_rules.ReceivingTests.test_nothing_comes_beyond_the_offer",),
    ),
    Mutant(
        "a million files are named in advance",
        "daemon/transfer/receiving.py",
        "if len(self.expected) > MAX_AHEAD:",
        "if False:",
        ("tests.daemon.transfer.test_rules.ReceivingTests.test_a_million_files_are_not_held",),
    ),
    Mutant(
        "bytes of a file come twice",
        "daemon/transfer/receiving.py",
        "if data.offset < file.position:",
        "if False:",
        ("tests.daemon.transfer.test_rules.ReceivingTests.test_bytes_come_once_and_within_their_file",),
    ),
    Mutant(
        "bytes come beyond the size of a file",
        "daemon/transfer/receiving.py",
        "if end > file.size:",
        "if False:",
        ("tests.daemon.transfer.test_rules.ReceivingTests.test_bytes_come_once_and_within_their_file",),
    ),
    Mutant(
        "a receiver has more of a file than there is",
        "daemon/transfer/sending.py",
        "if want.have > size:",
        "if False:",
        ("tests.daemon.transfer.test_rules.SendingTests.test_receiver_asks_for_chunks_that_are_there",),
    ),
    Mutant(
        "a receiver confirms before all is sent",
        "daemon/transfer/sending.py",
        "isinstance(message, Done) and self.stage is Stage.DONE",
        "isinstance(message, Done)",
        ("tests.daemon.transfer.test_rules.SendingTests.test_receiver_cannot_confirm_what_was_not_sent",),
    ),
    Mutant(
        "all of a file is sent again after a break",
        "daemon/transfer/source.py",
        "if hasher.digest() != theirs and not want.fixed:",
        "if not want.fixed:",
        ("tests.daemon.transfer.test_transfer.ResumeTests.test_only_what_is_missing_is_sent_after_a_break",),
    ),
    Mutant(
        "a chunk that has changed stays as it was",
        "daemon/transfer/source.py",
        "if hasher.digest() != theirs and not want.fixed:",
        "if False:",
        ("tests.daemon.transfer.test_transfer.ResumeTests.test_chunk_that_has_changed_is_sent_again",),
    ),
    Mutant(
        "a file that changes while it is sent is taken",
        "daemon/transfer/source.py",
        "if (info.st_size, info.st_mtime_ns) != self._before:",
        "if False:",
        (
            "tests.daemon.transfer.test_transfer.RefusalTests.test_file_that_changes_meanwhile_is_said_and_resumed",
        ),
    ),
    Mutant(
        "holes of a file are read and sent",
        "daemon/transfer/source.py",
        "info.st_blocks * _STORED_UNIT_BYTES < info.st_size",
        "False",
        ("tests.daemon.transfer.test_transfer.TransferTests.test_holes_are_not_sent_and_stay_holes",),
    ),
    Mutant(
        "what has the name of a file that comes is not looked at",
        "daemon/transfer/incoming.py",
        "if self._hasher.digest() != digest:",
        "if False:",
        ("tests.daemon.transfer.test_transfer.RefusalTests.test_another_file_of_the_name_stays",),
    ),
    Mutant(
        "the disk is left to the end of a file that comes",
        "daemon/transfer/incoming.py",
        "if end - self._begun >= _WRITTEN_BYTES and",
        "if end < 0 and",
        ("tests.daemon.transfer.test_transfer.TransferTests.test_disk_is_written_to_while_a_file_comes",),
    ),
    Mutant(
        "a temporary folder that others may write is used",
        "daemon/transfer/store.py",
        "if info.st_uid != os.geteuid() or stat.S_IMODE(info.st_mode) & 0o077:",
        "if False:",
        (
            "tests.daemon.transfer.test_transfer.RefusalTests.test_temporary_folder_of_somebody_else_is_not_used",
        ),
    ),
    Mutant(
        "a second receiver writes into the files of the first",
        "daemon/transfer/store.py",
        "fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)",
        ("tests.daemon.transfer.test_transfer.ResumeTests.test_two_receivers_do_not_write_one_file",),
    ),
    Mutant(
        "another name of a file is written through",
        "daemon/transfer/folders.py",
        "return stat.S_ISREG(info.st_mode) and info.st_nlink == 1",
        "return stat.S_ISREG(info.st_mode)",
        (
            "tests.daemon.transfer.test_transfer.RefusalTests.test_other_name_of_a_file_is_not_written_through",
        ),
    ),
    Mutant(
        "a disk takes two names for one, and one file is lost",
        "daemon/transfer/folders.py",
        "if info.st_ino in self._came:",
        "if False:",
        (
            "tests.daemon.transfer.test_transfer.RefusalTests.test_disk_that_takes_two_names_for_one_keeps_neither",
        ),
    ),
    Mutant(
        "a file that is sent no more stays in the folder",
        "daemon/transfer/folders.py",
        (
            "remove(name, self.descriptor)\n"
            "        except OSError as error:\n"
            '            raise disk_error("what an'
        ),
        'pass\n        except OSError as error:\n            raise disk_error("what an',
        (
            "tests.daemon.transfer.test_transfer.ResumeTests.test_file_that_has_become_shorter_or_a_folder_is_taken_as_it_is_now",
        ),
    ),
    Mutant(
        "exposed programs take the last descriptors",
        "daemon/forward/exposer.py",
        "if descriptors_left() < RESERVED_DESCRIPTORS:",
        "if False:",
        (
            "tests.daemon.forward.test_refusals.RefusalTests.test_last_descriptors_are_not_for_exposed_programs",
        ),
    ),
    Mutant(
        "what a program wrote before it closed with unread input is lost",
        "daemon/forward/last_bytes.py",
        "            for data in _rest(transport.socket):\n                received(data)",
        "            pass",
        ("tests.daemon.forward.test_last_bytes",),
    ),
    Mutant(
        "a program that closes its UNIX socket with unread input aborts the stream",
        "daemon/forward/last_bytes.py",
        "                reason = Failure(ConnectionDone())",
        "                pass",
        ("tests.daemon.forward.test_last_bytes.ClosedUnixTests",),
    ),
    Mutant(
        "only programs at UNIX sockets have their last bytes read",
        "daemon/forward/last_bytes.py",
        "if not isinstance(transport, Connection):",
        "if not IUNIXTransport.providedBy(transport):",
        ("tests.daemon.forward.test_last_bytes.ClosedTcpTests",),
    ),
    Mutant(
        "a program that is cut off looks as if it had said everything",
        "daemon/forward/last_bytes.py",
        "if IUNIXTransport.providedBy(transport):",
        "if True:",
        ("tests.daemon.forward.test_last_bytes.ClosedTcpTests",),
    ),
    Mutant(
        "what a forward has carried is forgotten when it ends",
        "daemon/forward/registry.py",
        "self._ended[kind] = self._ended.get(kind, Carried()).plus(connections.carried)",
        "pass",
        ("tests.daemon.forward.test_carrying.FlowTests.test_totals_never_become_less",),
    ),
    Mutant(
        "a forward to a peer that is off says nothing at first",
        "daemon/forward/peer_watch.py",
        "        self._timer = self._service.clock.callLater(TELL_SECONDS, self._tell_what_was_tried)\n",
        "",
        (
            "tests.daemon.forward.test_reports.PeerWatchTests."
            "test_peer_that_is_off_is_told_within_two_seconds_and_looked_for_again",
        ),
    ),
    Mutant(
        "a server does not wait for its daemon",
        "daemon/endpoints/server.py",
        "        except DaemonAbsent:\n            raise\n",
        "",
        ("tests.daemon.endpoints.test_daemon_refusals.WaitingTests",),
    ),
    Mutant(
        "a peer that lost its permission keeps its streams",
        "daemon/forward/exposer.py",
        "lambda peer: isinstance(peer, Name) and not self._may_have(peer),",
        "lambda peer: False,",
        (
            "tests.daemon.live.test_changer.ReloadTests.test_stream_that_is_not_allowed_any_more_ends_with_the_reason",
        ),
    ),
    Mutant(
        "a stream is accepted that was forbidden while the program was connected",
        "daemon/forward/exposer.py",
        "if self._port is None or not self._may_have(address.name):",
        "if False:",
        (
            "tests.daemon.live.test_changer.ReloadTests.test_stream_that_comes_while_it_is_taken_away_is_refused",
        ),
    ),
    Mutant(
        "ports of a change that has failed stay open",
        "daemon/forward/changing.py",
        "            for each in opened:\n                await self._registry.end(each)\n",
        "",
        ("tests.daemon.live.test_changer.FailureTests.test_port_that_is_taken_changes_nothing",),
    ),
    Mutant(
        "a port that was to go is lost when the change fails",
        "daemon/forward/changing.py",
        "            for each in paused:\n                await self._resume(each)\n",
        "",
        ("tests.daemon.live.test_changer.FailureTests.test_port_that_is_taken_changes_nothing",),
    ),
    Mutant(
        "a forward has the time of all others",
        "daemon/forward/forwarder.py",
        "            self.forward.keep,\n            patient=True",
        "            patient=True",
        ("tests.daemon.forward.test_carrying.FlowTests.test_forward_has_a_time_of_its_own",),
    ),
    Mutant(
        "a transfer that brings nothing of what was offered is taken for one that went well",
        "daemon/transfer/receiving.py",
        "            if not self._last:\n",
        "            if False:\n",
        ("tests.daemon.transfer.test_rules.ReceivingTests.test_transfer_of_nothing_is_refused",),
    ),
    Mutant(
        "a sender that offers nothing keeps the receiver of files for ever",
        "daemon/transfer/receiver.py",
        "        self._channel.limit(OFFER_SECONDS)\n",
        "",
        ("tests.daemon.transfer.test_transfer.SilenceTests.test_who_has_offered_has_any_time",),
    ),
    Mutant(
        "a queue of datagrams has no end",
        "daemon/forward/datagrams/framing.py",
        "while len(self._waiting) > QUEUE_DATAGRAMS or self._size > QUEUE_BYTES:",
        "while False:",
        ("tests.daemon.forward.datagrams.test_framing.QueueTests",),
    ),
    Mutant(
        "a datagram on a stream may be longer than UDP carries",
        "daemon/forward/datagrams/framing.py",
        "    if length > MAX_DATAGRAM_BYTES:\n",
        "    if False:\n",
        (
            "tests.daemon.forward.datagrams.test_framing.FramingTests.test_longer_ones_than_udp_carries_are_no_datagrams",
        ),
    ),
    Mutant(
        "a session of datagrams that is idle never ends",
        "daemon/forward/datagrams/session.py",
        "            self.end_because(StreamReason.CANCELLED, IDLE)",
        "            pass",
        (
            "tests.daemon.forward.datagrams.test_datagrams.FlowTests.test_question_and_answer_end_after_half_a_minute",
        ),
    ),
    Mutant(
        "datagrams pile up in a stream that waits for a link",
        "daemon/forward/datagrams/session.py",
        "        self._paused = True\n        self._owner.suspended",
        "        self._owner.suspended",
        (
            "tests.daemon.forward.datagrams.test_datagrams.FlowTests.test_datagrams_wait_for_a_lost_link_and_the_newest_arrive",
        ),
    ),
    Mutant(
        "a peer may have any number of sockets at an exposed UDP program",
        "daemon/forward/datagrams/exposer.py",
        "if len(own) >= MAX_SESSIONS_OF_PEER:",
        "if False:",
        (
            "tests.daemon.forward.datagrams.test_datagrams.BoundTests.test_peer_has_so_many_sockets_at_the_program_and_no_more",
        ),
    ),
    Mutant(
        "many keys at one address take the UDP sessions of peers elsewhere",
        "daemon/forward/datagrams/exposer.py",
        "{each: self._streams.prefix_of(each) for each in held}",
        "{each: str(each) for each in held}",
        (
            "tests.daemon.forward.datagrams.test_datagrams.BoundTests.test_many_keys_of_one_prefix_take_no_place_of_a_peer_elsewhere",
        ),
    ),
    Mutant(
        "nobody hears that a UDP program is not running",
        "daemon/forward/datagrams/exposer.py",
        "            self._exposer.unreachable(self)",
        "            pass",
        (
            "tests.daemon.forward.datagrams.test_datagrams.RefusalTests.test_closed_port_of_the_program_is_told_at_both_ends",
        ),
    ),
    Mutant(
        "a source of datagrams that are refused opens a stream with each",
        "daemon/forward/datagrams/forwarder.py",
        "        self._held_until = self._service.clock.seconds() + HOLD_SECONDS\n",
        "",
        (
            "tests.daemon.forward.datagrams.test_datagrams.RefusalTests.test_closed_port_of_the_program_is_told_at_both_ends",
        ),
    ),
    Mutant(
        "a UDP port has any number of sources",
        "daemon/forward/datagrams/forwarder.py",
        "if len(self._sessions) >= min(",
        "if False and len(self._sessions) >= min(",
        (
            "tests.daemon.forward.datagrams.test_datagrams.BoundTests.test_source_that_is_idle_for_longest_makes_room",
        ),
    ),
    Mutant(
        "each connection of a forward is told of when the link is lost",
        "daemon/forward/connections.py",
        "if each is not None and each.peer not in self._suspended:",
        "if each is not None:",
        (
            "tests.daemon.forward.test_carrying.FlowTests.test_suspension_and_resumption_are_told_once_for_all_connections",
        ),
    ),
)
