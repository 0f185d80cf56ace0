"""Bugs in the running daemon: members, reloads, signals, logs."""

from __future__ import annotations

from typing import Final

from ..mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(
        "a machine joins through a proxy that its node knows nothing of",
        "daemon/commands/joining.py",
        "            proxy=options.proxy,\n",
        "",
        ("tests.daemon.commands.test_joining.GoodTests",),
    ),
    Mutant(
        "a member without its key gets a new one",
        "daemon/members/credentials.py",
        "not os.path.lexists(path) and not _is_member(state_dir)",
        "not os.path.lexists(path)",
        (
            "tests.daemon.members.test_credentials.CredentialsTests.test_no_new_key_is_made_beside_a_certificate",
        ),
    ),
    Mutant(
        "a short invitation names another member",
        "daemon/members/invitation_writer.py",
        "self._endpoints(only_own=True)",
        "self._endpoints()",
        (
            "tests.daemon.members.test_invitation_desk.ShortTests.test_it_names_the_own_address_that_most_can_dial",
        ),
    ),
    Mutant(
        "an invitation right after the start does not wait for the router's port",
        "daemon/members/invitation_desk.py",
        "            ready = self._surroundings.when_routers_asked()\n",
        "            self._surroundings.when_routers_asked()\n",
        (
            "tests.daemon.members.test_invitation_desk.InvitingTests.test_invitation_right_after_the_start_has_what_the_router_maps",
        ),
    ),
    Mutant(
        "a member that was invited to one protocol may have all",
        "daemon/members/invitation_desk.py",
        "name in each.used_by and protocol in each.allow",
        "name in each.used_by",
        (
            "tests.daemon.members.test_invitation_desk.RedeemingTests.test_member_may_use_what_it_was_invited_to",
        ),
    ),
    Mutant(
        "an invitation may be used more often than it says",
        "daemon/members/invitation_desk.py",
        "if is_void or entry.is_used_up_for(name):",
        "if is_void:",
        ("tests.daemon.members.test_invitation_desk.RedeemingTests.test_invitation_is_used_up",),
    ),
    Mutant(
        "a daemon that does not start gives the reason of an earlier start",
        "daemon/members/starting.py",
        "file.seek(before)",
        "file.seek(0)",
        (
            "tests.daemon.members.test_starting.FailedStartTests.test_reason_of_an_earlier_start_is_not_taken_for_this_one",
        ),
    ),
    Mutant(
        "a daemon does not start while another program has the number of its pid file",
        "daemon/members/starting.py",
        "pid_file.unlink(missing_ok=True)",
        "pass",
        (
            "tests.daemon.members.test_starting.FailedStartTests.test_pid_file_of_a_daemon_that_was_killed_is_in_nobodys_way",
        ),
    ),
    Mutant(
        "a daemon that was loaded for a command that fails stays for ever",
        "daemon/members/starting.py",
        "            self._process.kill()\n",
        "",
        (
            "tests.daemon.members.test_starting.PreparedTests.test_it_ends_with_a_command_that_has_no_use_for_it",
        ),
    ),
    Mutant(
        "a daemon in a container is stopped by its number, which is another program's here",
        "daemon/commands/changing/running.py",
        "or here not in (None, process)",
        "",
        (
            "tests.daemon.commands.test_running.StartAndStopTests.test_daemon_in_a_container_is_not_taken_for_the_process_that_has_its_number_here",
        ),
    ),
    Mutant(
        "a daemon that does not answer is started a second time",
        "daemon/commands/changing/running.py",
        "except NoDaemon:",
        "except ClientError:",
        (
            "tests.daemon.commands.test_running.StartAndStopTests.test_daemon_that_cannot_be_asked_is_not_started_again",
        ),
    ),
    Mutant(
        "a banned member comes back by its invitation",
        "daemon/members/invitation_desk.py",
        "if is_void or entry.is_used_up_for(name):",
        "if entry.is_used_up_for(name):",
        (
            "tests.daemon.members.test_invitation_desk.RedeemingTests.test_who_was_banned_does_not_come_back_by_the_same_invitation",
        ),
    ),
    Mutant(
        "the use of an invitation is forgotten by a restart",
        "daemon/members/invitation_desk.py",
        "self._kept.keep(self._kept.ledger.spending(entry.id, name))",
        "self._kept.ledger = self._kept.ledger.spending(entry.id, name)",
        (
            "tests.daemon.members.test_invitation_desk.RedeemingTests.test_use_is_on_the_disk_before_the_certificate_is_given",
        ),
    ),
    Mutant(
        "who does not know the secret of an invitation is let in",
        "daemon/members/invitation_desk.py",
        "if not attempt.is_asked_by(redeem):",
        "if False:",
        ("tests.daemon.members.test_invitation_desk.RedeemingTests.test_wrong_secret_learns_nothing",),
    ),
    Mutant(
        "a new member may take the nickname of another",
        "daemon/members/invitation_desk.py",
        "return RedeemRefusal.NICKNAME_TAKEN if self._is_taken(nickname, name) else RedeemRefusal.NONE",
        "return RedeemRefusal.NONE",
        (
            "tests.daemon.members.test_invitation_desk.RedeemingTests.test_nickname_of_another_member_is_taken",
        ),
    ),
    Mutant(
        "a founding in a volume that a power cut ended leaves files",
        "daemon/members/moving_in.py",
        "(state_dir / name).unlink(missing_ok=True)",
        "pass",
        (
            "tests.daemon.members.test_networks_here.VolumeTests.test_nothing_is_left_of_one_that_a_power_cut_ended",
        ),
    ),
    Mutant(
        "a key that has come since a power cut is taken for one of the unfinished state",
        "daemon/members/moving_in.py",
        "for name in moved:",
        "for name in names:",
        (
            "tests.daemon.members.test_networks_here.VolumeTests.test_what_a_program_has_put_there_since_the_power_cut_is_not_removed",
        ),
    ),
    Mutant(
        "two programs fill a volume at once",
        "daemon/members/moving_in.py",
        "fcntl.flock(crate, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "pass",
        ("tests.daemon.members.test_networks_here.VolumeTests.test_two_do_not_fill_it_at_once",),
    ),
    Mutant(
        "a join that fails leaves a folder",
        "daemon/members/networks_here.py",
        "shutil.rmtree(making, ignore_errors=True)",
        "pass",
        ("tests.daemon.members.test_networks_here.MakingTests.test_nothing_is_left_of_one_that_fails",),
    ),
    Mutant(
        "a join that was killed leaves its key beside the state directory",
        "daemon/members/networks_here.py",
        "        discard_abandoned(state_dir)\n",
        "",
        (
            "tests.daemon.members.test_networks_here.MakingTests.test_folder_of_one_that_was_killed_is_removed_by_the_next",
        ),
    ),
    Mutant(
        "a join removes the folder that another one fills at this moment",
        "daemon/members/moving_in.py",
        "fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n                shutil",
        "shutil",
        (
            "tests.daemon.members.test_networks_here.MakingTests.test_folder_that_another_program_fills_at_this_moment_stays",
        ),
    ),
    Mutant(
        "an invitation that was taken back is good still",
        "daemon/members/invitation_desk.py",
        "        if entry.void and name not in entry.used_by:\n",
        "        if False:\n",
        (
            "tests.daemon.members.test_invitation_desk.RedeemingTests.test_invitation_that_is_taken_back_is_refused_as_such",
        ),
    ),
    Mutant(
        "what an admin has issued and banned ends with its role",
        "daemon/members/administration.py",
        "        if lost and last.may_issue:\n",
        "        if False:\n",
        (
            "tests.daemon.members.test_administration.RoleTests.test_what_an_admin_has_issued_and_banned_outlives_its_role",
        ),
    ),
    Mutant(
        "an admin signs its own end, and revokes what it has signed with that",
        "daemon/members/administration.py",
        "if lost and issuer.certificate is not None and",
        "if False and",
        (
            "tests.daemon.members.test_administration.RoleTests.test_admin_does_not_take_its_own_role_without_the_authority_key",
        ),
    ),
    Mutant(
        "nobody is told that the last admin is gone",
        "daemon/members/withdrawal.py",
        "return NO_ADMIN if last.is_admin and next(others, None) is None else",
        "return NO_ADMIN if False else",
        (
            "tests.daemon.members.test_administration.RoleTests.test_only_admin_that_loses_its_role_is_told_what_nobody_can_do_any_more",
        ),
    ),
    Mutant(
        "a role that is taken away stays good by the old certificate",
        "daemon/members/administration.py",
        "        if statements:\n",
        "        if False:\n",
        (
            "tests.daemon.members.test_administration.RoleTests.test_what_an_admin_has_issued_and_banned_outlives_its_role",
        ),
    ),
    Mutant(
        "a daemon that stops tells systemd that it is ready again, after a reload",
        "daemon/systemd/supervision.py",
        """        if not self._ending:
            self._notifier.tell(READY)""",
        """        if True:
            self._notifier.tell(READY)""",
        (
            "tests.daemon.systemd.test_supervision.SupervisionTests.test_stopping_daemon_does_not_say_that_it_is_ready_again",
        ),
    ),
    Mutant(
        "systemd waits for the end of a reload whose settings are of no use",
        "daemon/live/changer.py",
        """        finally:
            self.reloaded()""",
        """        else:
            self.reloaded()""",
        ("tests.daemon.live.test_changer.ReloadTests.test_beginning_and_end_are_told_whatever_comes_of_it",),
    ),
    Mutant(
        "systemd hears nothing of the reactor while the daemon stops",
        "daemon/systemd/supervision.py",
        'self._notifier.tell(STOPPING, status_line("stopping"))\n        self._end_status()',
        'self._notifier.tell(STOPPING, status_line("stopping"))\n        self.stop()',
        ("tests.daemon.systemd.test_supervision",),
    ),
    Mutant(
        "the watchdog hears from the reactor once in an interval only",
        "daemon/systemd/supervision.py",
        "self._watchdog.start(self._watchdog_seconds / 2)",
        "self._watchdog.start(self._watchdog_seconds)",
        ("tests.daemon.systemd.test_supervision",),
    ),
    Mutant(
        "the daemon is ready before its reactor runs",
        "daemon/systemd/supervision.py",
        "self._soon: IDelayedCall | None = self._clock.callLater(0, self._ready)",
        "self._soon: IDelayedCall | None = None\n        notifier.tell(READY)",
        ("tests.daemon.systemd.test_supervision",),
    ),
    Mutant(
        "a given socket may take IPv4 under addresses of IPv6",
        "daemon/systemd/sockets.py",
        "if given.family == socket.AF_INET6 and not given",
        "if False and not given",
        ("tests.daemon.systemd.test_sockets",),
    ),
    Mutant(
        "sockets for another process are taken",
        "daemon/systemd/sockets.py",
        'if environment.get("LISTEN_PID") != str(process):',
        'if "LISTEN_PID" not in environment:',
        ("tests.daemon.systemd.test_sockets",),
    ),
    Mutant(
        "a log that logrotate has moved is written on",
        "daemon/logs.py",
        "        file.reopen()\n",
        "        file.rotate()\n",
        ("tests.daemon.test_logs",),
    ),
    Mutant(
        "a watched status leaves the ends of longer lines on the screen",
        "daemon/watching/screen.py",
        'f"{line}{_END_OF_LINE}\\n"',
        'f"{line}\\n"',
        ("tests.daemon.watching.test_watch.ScreenTests.test_each_text_takes_the_place_of_the_one_before",),
    ),
    Mutant(
        "the line of progress stays before the text of the end",
        "daemon/watching/progress_line.py",
        "            erase = ERASE",
        '            erase = ""',
        ("tests.daemon.watching.test_progress_line",),
    ),
    Mutant(
        "rates of streams fall to nothing at a second look",
        "daemon/rates.py",
        "        if passed <= 0:\n            return old",
        "        if passed <= 0:\n            return 0.0, 0.0",
        ("tests.daemon.watching.test_watch.RateTests.test_rates_of_streams_are_smoothed",),
    ),
    Mutant(
        "any reload gives every prefix its burst of handshakes again",
        "crust/accept/handshakes.py",
        "if per_prefix == self._per_prefix:",
        "if False:",
        ("tests.crust.accept.test_handshakes.HandshakeTurnsTests",),
    ),
    Mutant(
        "a peer's streams go by a limit that came after their windows were divided",
        "streams/multiplexing/mux.py",
        "if self._counts[1 - self._mine] >= self._max_streams:",
        "if self._counts[1 - self._mine] >= self._settings.max_streams:",
        ("tests.daemon.live.test_changer.StreamLimitTests",),
    ),
    Mutant(
        "the doctor calls a clock that is behind good",
        "daemon/checking/checkup.py",
        "if abs(ahead) > MAX_CLOCK_OFFSET_SECONDS:",
        "if ahead > MAX_CLOCK_OFFSET_SECONDS:",
        ("tests.daemon.test_doctor.JudgingTests",),
    ),
    Mutant(
        "the doctor overlooks a certificate that nobody would accept",
        "daemon/checking/checkup.py",
        'if membership.get("problem"):',
        "if False:",
        ("tests.daemon.test_doctor.JudgingTests",),
    ),
    Mutant(
        "the doctor believes a clock that is before the certificate",
        "daemon/checking/at_rest.py",
        "    lead = max(times) - now",
        "    lead = now - max(times)",
        ("tests.daemon.checking.test_at_rest.CredentialsTests",),
    ),
    Mutant(
        "the doctor overlooks a ban while no daemon runs",
        "daemon/checking/at_rest.py",
        "identity.name, roster, now, identity)",
        "identity.name, Roster(roster.network), now, identity)",
        ("tests.daemon.checking.test_at_rest.CredentialsTests",),
    ),
    Mutant(
        "the doctor finds keys well that others may read",
        "daemon/checking/checkup.py",
        "if mode & 0o077:",
        "if False:",
        ("tests.daemon.test_doctor.FilesTests",),
    ),
    Mutant(
        "lines for the journal have times",
        "daemon/logs.py",
        "elif is_journal(file, os.environ):",
        "elif False:",
        ("tests.daemon.test_logs",),
    ),
    Mutant(
        "a closed terminal kills the daemon",
        "daemon/signals.py",
        "HANDLED: Final = (signal.SIGHUP, signal.SIGTERM)",
        "HANDLED: Final = (signal.SIGTERM,)",
        ("tests.daemon.test_signals.SignalTests.test_terminal_that_is_closed_stops_the_reactor_once",),
    ),
    Mutant(
        "SIGHUP of an operator ends the daemon",
        "daemon/signals.py",
        "if number == signal.SIGHUP and not (self._had_terminal and not self._has_terminal()):",
        "if False:",
        ("tests.daemon.test_signals.SignalTests.test_sighup_reloads_and_a_burst_of_it_is_one",),
    ),
    Mutant(
        "each signal of a burst is a reload of its own",
        "daemon/signals.py",
        "if not self._hung_up:",
        "if True:",
        ("tests.daemon.test_signals.SignalTests.test_sighup_reloads_and_a_burst_of_it_is_one",),
    ),
    Mutant(
        "settings are applied before the ports are open",
        "daemon/live/changer.py",
        "        prepared = await self._programs.prepare(settings)\n",
        "        self._routing.change_settings(settings)\n"
        "        prepared = await self._programs.prepare(settings)\n",
        ("tests.daemon.live.test_changer.FailureTests.test_port_that_is_taken_changes_nothing",),
    ),
    Mutant(
        "a bug in a reload leaves those who wait for it waiting",
        "daemon/live/changer.py",
        "except Exception:  # those who wait",
        "except RoutingCrustError:  # those who wait",
        (
            "tests.daemon.live.test_changer.OrderTests.test_bug_in_a_reload_is_told_to_all_who_wait_and_the_next_one_runs",
        ),
    ),
    Mutant(
        "reloads run at the same time",
        "daemon/live/changer.py",
        "            self._lock.run(lambda: Deferred.fromCoroutine(self._reload_now()))\n",
        "            Deferred.fromCoroutine(self._reload_now())\n",
        ("tests.daemon.live.test_changer.OrderTests",),
    ),
    Mutant(
        "a reload forgets what was added",
        "daemon/live/changer.py",
        "joined[name] = (*given, *(each for each in more if key_of(each) not in keys))",
        "joined[name] = given",
        (
            "tests.daemon.live.test_changer.OrderTests.test_what_was_added_stays_over_a_reload_until_it_is_removed",
        ),
    ),
    Mutant(
        "a second signal does not end the drain",
        "daemon/live/drain.py",
        "        self._reactor.callFromThread(self.end)\n",
        "        pass\n",
        ("tests.daemon.live.test_drain.DrainTests.test_second_signal_ends_it_at_once",),
    ),
    Mutant(
        "a saved file is not read again before it is written",
        "daemon/live/saving.py",
        "    if rest != {key: each for key, each in old.items() if key not in touched}:\n",
        "    if False:\n",
        ("tests.daemon.live.test_saving.CheckTests.test_edit_that_would_change_something_else_is_refused",),
    ),
    Mutant(
        "a tag that was taken away can still be shown",
        "daemon/members/administration.py",
        "            self._network.add_statements([revocation])\n",
        "",
        ("tests.daemon.members.test_administration.TagTests",),
    ),
    Mutant(
        "a wrong clock costs an invitation",
        "daemon/commands/joining.py",
        "    if found.problem in (Problem.NOT_YET, Problem.EXPIRED):\n",
        "    if False:\n",
        ("tests.daemon.commands.test_joining",),
    ),
    Mutant(
        "an admin bans another one although the authority could",
        "daemon/members/administration.py",
        "rank = certificate is None or certificate.may_issue",
        "rank = False",
        ("tests.daemon.members.test_administration.BanTests",),
    ),
    Mutant(
        "a beginning that several names have means one of them",
        "daemon/members/administration.py",
        "if len(found) > 1:",
        "if False:",
        ("tests.daemon.members.test_administration.BanTests.test_nickname_of_two_members_is_refused",),
    ),
    Mutant(
        "a torn roster is overwritten without a word",
        "daemon/members/credentials.py",
        "    if problem:\n        _mend",
        "    if False:\n        _mend",
        ("tests.daemon.members.test_credentials",),
    ),
    Mutant(
        "who was met is forgotten with the process",
        "daemon/members/member_book.py",
        "            save_members(self._state_dir, self._network, self._members)",
        "            pass",
        ("tests.daemon.members.test_credentials",),
    ),
    Mutant(
        "the log does not say what people call a node",
        "daemon/logs.py",
        "self._describe(value) if isinstance(value, Name) else value",
        "value",
        ("tests.daemon.test_logs.StyleTests.test_text_calls_nodes_as_people_do_and_fields_keep_their_names",),
    ),
    Mutant(
        "a node whose certificate is for a client starts as a node, and is refused everywhere",
        "daemon/members/credentials.py",
        "own is None or own.may_be_node or",
        "own is None or own is not None or",
        (
            "tests.daemon.members.test_credentials.CredentialsTests.test_certificate_of_a_client_makes_a_client_of_any_node",
        ),
    ),
)
