"""Bugs in commands, the proxy and the status page."""

from __future__ import annotations

from typing import Final

from ..mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(
        "endpoint strings know of no private network",
        "daemon/endpoints/strings.py",
        "return found[0] if found else default",
        "return default",
        (
            "tests.daemon.endpoints.test_strings.ReadingTests.test_only_private_network_of_this_user_is_found_without_a_word",
        ),
    ),
    Mutant(
        "the end of a pipe's input is not passed on",
        "daemon/commands/piping/carrying.py",
        'self._tell(ChunkKind.END, b"")',
        "pass",
        ("tests.daemon.commands.piping.test_pipe.CarrierTests.test_end_of_the_input_is_told",),
    ),
    Mutant(
        "the end of what the peer sends does not end a pipe's output",
        "daemon/commands/piping/carrying.py",
        "_end_output(self._out)",
        "pass",
        (
            "tests.daemon.commands.piping.test_pipe.CarrierTests.test_end_of_the_stream_is_the_end_of_the_output",
        ),
    ),
    Mutant(
        "a pipe whose stream is lost ends as if all had come",
        "daemon/commands/piping/carrying.py",
        "if not (self._read_over and self._write_over):",
        "if False:",
        (
            "tests.daemon.commands.piping.test_pipe.PipeTests.test_input_that_cannot_be_read_is_not_taken_for_its_end",
        ),
    ),
    Mutant(
        "a pipe without a daemon makes a key in a folder that is mistyped",
        "daemon/commands/piping/own_client.py",
        "if not key_path(state_dir).exists():",
        "if False:",
        (
            "tests.daemon.commands.piping.test_own_client.OwnClientTests.test_without_a_key_nothing_is_started",
        ),
    ),
    Mutant(
        "a pipe whose stream is given up ends as if all had come",
        "daemon/commands/piping/carrying.py",
        'raise StreamLost(f"the stream has ended: {reset_problem(payload)}")',
        "return bool(reset_problem(payload))",
        (
            "tests.daemon.commands.piping.test_pipe.PipeTests.test_stream_that_is_given_up_is_a_failure_with_its_reason",
        ),
    ),
    Mutant(
        "the end of a program's stream waits for its producer",
        "daemon/control/stream_transport.py",
        (
            "        if self._has_producer:\n"
            "            self._has_producer = False\n"
            "            self._wire.unregisterProducer()\n"
            "        self._wire.loseConnection()"
        ),
        "        self._wire.loseConnection()",
        (
            "tests.daemon.control.test_stream_transport.FlowTests.test_close_of_the_other_end_waits_for_no_producer",
        ),
    ),
    Mutant(
        "a program's bytes are lost before what is no chunk",
        "daemon/control/chunks.py",
        "if found and (is_bad or kind != ChunkKind.DATA):",
        "if found and not is_bad and kind != ChunkKind.DATA:",
        ("tests.daemon.control.test_stream_transport.EndTests.test_malformed_chunk_ends_the_connection",),
    ),
    Mutant(
        "a program is expected at a port that there is not",
        "daemon/forward/local_endpoints.py",
        "if int(number) > _HIGHEST_PORT:",
        "if False:",
        ("tests.daemon.forward.test_local_endpoints.RefusalTests.test_number_above_all_ports_is_refused",),
    ),
    Mutant(
        "a chunk that has come in part is taken for a whole one",
        "daemon/control/chunks.py",
        "self._at, self._data_left = at, left",
        "self._at, self._data_left = at, 0",
        (
            "tests.daemon.control.test_stream_transport.FlowTests.test_bytes_of_a_chunk_are_delivered_as_they_come",
        ),
    ),
    Mutant(
        "a read within a chunk is taken for all of the chunk",
        "daemon/control/chunks.py",
        'b"", left - len(buffer)',
        'b"", 0',
        ("tests.daemon.control.test_stream_transport.FlowTests.test_read_within_a_chunk_is_not_copied",),
    ),
    Mutant(
        "a kernel that refuses room ends the stream",
        "daemon/control/chunks.py",
        "with suppress(OSError):\n        wire",
        "with suppress(ValueError):\n        wire",
        ("tests.daemon.control.test_stream_transport.FlowTests.test_socket_is_given_room",),
    ),
    Mutant(
        "a pull producer on the control socket is asked once and never again",
        "transports.py",
        "(transport.streamingProducer or transport.producer is None)",
        "True",
        ("tests.daemon.control.test_stream_transport.FlowTests.test_socket_takes_bytes_at_once",),
    ),
    Mutant(
        "a founder's daemon is waited for until somebody else is there",
        "daemon/commands/founding.py",
        "starter.start(state_dir, alone=True)",
        "starter.start(state_dir)",
        ("tests.daemon.commands.test_founding.InitTests.test_start_runs_the_daemon_and_waits_for_no_member",),
    ),
    Mutant(
        "a peer's nickname may hold commands for the shell that completes it",
        "daemon/manual/completion.py",
        "if is_nickname(each) or each.isalnum())",
        "if each)",
        ("tests.daemon.manual.test_completion",),
    ),
    Mutant(
        "a text is taken for a request of roff",
        "daemon/manual/pages.py",
        'return re.sub(r"(?m)^(?=\\.)", r"\\\\&", escaped)',
        "return escaped",
        ("tests.daemon.manual.test_pages",),
    ),
    Mutant(
        "the status page answers to any host",
        "daemon/page/resource.py",
        'if not is_harmless_host(request.getHeader("Host")):',
        "if False:",
        ("tests.daemon.page.test_resource.AccessTests.test_strange_host_is_refused",),
    ),
    Mutant(
        "the status page takes any token",
        "daemon/page/access.py",
        'return hmac.compare_digest(given.encode("utf-8"), token.encode("utf-8"))',
        "return True",
        ("tests.daemon.page.test_access.TokenTests",),
    ),
    Mutant(
        "each page of status has a snapshot of its own",
        "daemon/page/feed.py",
        "            watcher.write(data)",
        "            watcher.write(event(self._take()))",
        ("tests.daemon.page.test_resource.FeedTests.test_ten_pages_share_each_snapshot",),
    ),
    Mutant(
        "snapshots are made for nobody",
        "daemon/page/feed.py",
        "        if not self._watchers:\n",
        "        if False:\n",
        ("tests.daemon.page.test_resource.FeedTests.test_nothing_is_done_when_nobody_looks",),
    ),
    Mutant(
        "a page of status that does not keep up has snapshots kept for it",
        "daemon/page/feed.py",
        "        if not self._paused:\n",
        "        if True:\n",
        ("tests.daemon.page.test_resource.FeedTests.test_page_that_does_not_keep_up_misses_snapshots",),
    ),
    Mutant(
        "a nickname turns the direction of writing on the status page",
        "daemon/page/snapshot.py",
        "        return one_line(value)\n",
        "        return value\n",
        (
            "tests.daemon.page.test_resource.SnapshotTests.test_text_of_peers_is_escaped_and_its_direction_cannot_turn",
        ),
    ),
    Mutant(
        "the status page keeps the bodies of requests",
        "daemon/page/serving.py",
        "if length != 0:",
        "if False:",
        (
            "tests.daemon.page.test_resource.AccessTests.test_request_with_a_body_is_cut_off_before_the_body_is_kept",
        ),
    ),
    Mutant(
        "a node without a network counts as ready",
        "daemon/page/resource.py",
        "(state is State.CONNECTED or waits)",
        "True",
        ("tests.daemon.page.test_resource.HealthTests.test_a_node_without_a_network_is_alive_and_not_ready",),
    ),
    Mutant(
        "the proxy takes hosts of others for peers",
        "daemon/proxy/hosts.py",
        "not text.endswith(SUFFIX)",
        "False",
        ("tests.daemon.proxy.test_hosts.HostTests.test_hosts_of_others_are_refused",),
    ),
    Mutant(
        "the proxy looks for a nickname like each part of an unknown host",
        "daemon/proxy/hosts.py",
        "[:MAX_COMPARED]",
        "",
        ("tests.daemon.proxy.test_hosts.HostTests.test_host_of_many_parts_is_not_compared_for_each_of_them",),
    ),
    Mutant(
        "the proxy takes addresses for names",
        "daemon/proxy/hosts.py",
        "    if _is_address(text):",
        "    if False:",
        ("tests.daemon.proxy.test_hosts.HostTests.test_addresses_are_refused_however_they_are_written",),
    ),
    Mutant(
        "the proxy speaks SOCKS with who insists on a password",
        "daemon/proxy/socks.py",
        "        if NO_AUTHENTICATION not in methods:",
        "        if False:",
        ("tests.daemon.proxy.test_handshakes.SocksTests.test_who_insists_on_a_password_is_refused",),
    ),
    Mutant(
        "an HTTP head may be of any length",
        "daemon/proxy/requests.py",
        "if end > MAX_HEAD_BYTES or (end < 0 and len(self._held) > MAX_HEAD_BYTES):",
        "if False:",
        ("tests.daemon.proxy.test_handshakes.HttpTests.test_head_without_an_end_is_refused",),
    ),
    Mutant(
        "what was said to the proxy goes to the program",
        "daemon/proxy/requests.py",
        ' and not name.lower().startswith("proxy-")',
        "",
        ("tests.daemon.proxy.test_handshakes.HttpTests.test_request_is_for_the_program_alone",),
    ),
    Mutant(
        "a request may end in two ways",
        "daemon/proxy/requests.py",
        'if len(lengths) > 1 or (lengths and codings) or codings not in ([], ["chunked"]):',
        "if False:",
        (
            "tests.daemon.proxy.test_handshakes.HttpTests.test_requests_whose_end_can_be_read_in_two_ways_are_refused",
        ),
    ),
    Mutant(
        "a second request goes to the host of the first",
        "daemon/proxy/connection.py",
        "            self._near.dataReceived(data[:mine])",
        "            self._near.dataReceived(data)",
        ("tests.daemon.proxy.test_server.CarryTests.test_one_request_passes_and_nothing_behind_it",),
    ),
    Mutant(
        "a program that says nothing to the proxy keeps its connection",
        "daemon/proxy/connection.py",
        "        self._timer = self._service.clock.callLater(HANDSHAKE_SECONDS, self.abort)",
        "        pass",
        ("tests.daemon.proxy.test_server.BoundTests.test_who_says_nothing_is_cut_off",),
    ),
    Mutant(
        "the proxy takes any number of connections",
        "daemon/proxy/server.py",
        "if self._count >= MAX_CONNECTIONS and",
        "if False and",
        ("tests.daemon.proxy.test_server.BoundTests.test_connections_are_bounded",),
    ),
    Mutant(
        "a stranger at the port of the status page may take all descriptors",
        "daemon/page/serving.py",
        "            if silent is not None:\n",
        "            if False:\n",
        ("tests.daemon.page.test_serving.BoundTests.test_oldest_that_asks_for_nothing_makes_room",),
    ),
    Mutant(
        "a status page that is watched makes room for a connection that says nothing",
        "daemon/page/serving.py",
        "if each not in self._site.answering), None)",
        "if True), None)",
        ("tests.daemon.page.test_serving.BoundTests.test_page_that_is_watched_makes_no_room",),
    ),
    Mutant(
        "each host that a program names at the proxy has lines of its own in the log",
        "daemon/proxy/server.py",
        '            "proxy: not connected to {where}: {problem}",\n            by=by,\n',
        '            "proxy: not connected to {where}: {problem}",\n            by=where,\n',
        (
            "tests.daemon.proxy.test_server.RefusalTests.test_log_has_a_few_lines_at_once_however_many_hosts_a_program_names",
        ),
    ),
    Mutant(
        "the log does not tell of bytes to the proxy that are no request",
        "daemon/proxy/connection.py",
        "            if step.problem:",
        "            if False:",
        (
            "tests.daemon.proxy.test_server.RefusalTests.test_request_that_is_none_is_refused_with_its_reason_in_the_log",
        ),
    ),
    Mutant(
        "the log says where else a program goes",
        "daemon/proxy/connection.py",
        "if problem is HostProblem.FOREIGN:",
        "if False:",
        (
            "tests.daemon.proxy.test_server.RefusalTests.test_other_hosts_and_addresses_are_refused_and_their_names_are_not_logged",
        ),
    ),
    Mutant(
        "half requests keep all others out of the proxy",
        "daemon/proxy/server.py",
        "silent = next((each for each in self._asking if not each.is_opening), None)",
        "silent = None",
        (
            "tests.daemon.proxy.test_server.BoundTests.test_who_has_not_said_for_longest_what_it_wants_makes_room",
        ),
    ),
    Mutant(
        "a copy of the authority key is made of any key",
        "daemon/commands/authority.py",
        "write_authority(here, read_authority(file, network))",
        "write_authority(here, read_authority(file))",
        ("tests.daemon.members.test_authority_command",),
    ),
)
