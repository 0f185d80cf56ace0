"""
C{pipe} as a process, against a daemon that says what each test wants, and what C{ssh-config} prints.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import resource
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import IO, BinaryIO

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.commands import values
from routing_crust.daemon.commands.piping import carrying, hints
from routing_crust.daemon.commands.piping.carrying import PipeCarrier
from routing_crust.daemon.commands.piping.progress import CarriedLine
from routing_crust.daemon.control.chunks import ChunkKind, ChunkReader, chunk_head
from routing_crust.daemon.control.client import ClientError
from routing_crust.daemon.control.messages import (
    FailedReply,
    Reply,
    decode_command,
    encode,
)
from routing_crust.daemon.control.resets import reset_payload
from routing_crust.daemon.control.session_messages import OpenCommand, OpenedReply
from routing_crust.daemon.state_directory import socket_path
from routing_crust.streams import StreamReason, StreamReset

from ...fakes import ALICE, BOB, temporary_directory
from ...test_cli import CliTestCase
from ...test_quick_start import REPORT

PATIENCE_SECONDS = 300
OPENED = OpenedReply(name=str(BOB), host=str(ALICE), protocol="ssh")
Play = Callable[["PlayedDaemon"], object]


class PlayedDaemon(Thread):
    """
    A daemon for one program.

    @ivar asked: the command.
    @ivar chunks: what came after that.
    @ivar problem: what has gone wrong in the play.
    """

    def __init__(self, path: Path, reply: Reply, play: Play) -> None:
        super().__init__(daemon=True)
        self.asked: object = None
        self.chunks: list[tuple[ChunkKind, bytes]] = []
        self.problem: Exception | None = None
        self._reply = reply
        self._play = play
        self._reader = ChunkReader()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self.start()

    def run(self) -> None:
        self._socket, _ = self._listener.accept()
        self._socket.settimeout(PATIENCE_SECONDS)
        self._lines: BinaryIO = self._socket.makefile("rb")
        with self._listener, self._socket, self._lines:
            self.asked = decode_command(self._lines.readline())
            self._socket.sendall(encode(self._reply) + b"\n")
            try:
                self._play(self)
            except Exception as error:
                self.problem = error

    def say(self, kind: ChunkKind, payload: bytes = b"") -> None:
        self._socket.sendall(chunk_head(kind, payload) + payload)

    def hear(self, kind: ChunkKind | None = None) -> None:
        """Read until such a chunk has come, or the connection ends."""
        while not any(each[0] is kind for each in self.chunks):
            data = self._lines.read1(65536)  # type: ignore[attr-defined]
            if not data:
                return
            self._reader.add(data)
            while (chunk := self._reader.next()) is not None:
                self.chunks.append(chunk)

    @property
    def data(self) -> bytes:
        return b"".join(payload for kind, payload in self.chunks if kind is ChunkKind.DATA)


class PipeTests(SynchronousTestCase):
    def start(
        self, play: Play, *options: str, reply: Reply = OPENED, stdin: int | IO[bytes] = subprocess.PIPE
    ) -> subprocess.Popen[bytes]:
        folder = temporary_directory(self)
        self.daemon = PlayedDaemon(socket_path(folder), reply, play)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
        words = ("pipe", "laptop.crust/ssh", "--state-dir", str(folder), *options)
        process = subprocess.Popen(
            [sys.executable, "-c", REPORT, *words],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def finish(self, process: subprocess.Popen[bytes], sent: bytes = b"") -> tuple[bytes, str, int]:
        out, err = process.communicate(sent, timeout=PATIENCE_SECONDS)
        self.daemon.join(PATIENCE_SECONDS)
        self.assertIsNone(self.daemon.problem)
        *said, self.loaded = err.decode().splitlines()
        return out, "\n".join(said), process.returncode

    def test_bytes_go_both_ways_and_twisted_is_not_loaded(self) -> None:
        body = os.urandom(3_000_000)

        def play(daemon: PlayedDaemon) -> None:
            daemon.hear(ChunkKind.END)
            for start in range(0, len(body), 65536):
                daemon.say(ChunkKind.DATA, body[start : start + 65536])
            daemon.say(ChunkKind.END)

        process = self.start(play, "--keep=1h")
        self.assertEqual(self.finish(process, body), (body, "", 0))
        self.assertEqual(self.daemon.data, body)
        self.assertEqual(self.daemon.asked, OpenCommand(name="laptop", protocol="ssh", keep=3600.0))
        self.assertEqual(self.loaded, "loaded: []")

    def test_end_of_the_output_is_seen_while_the_input_is_open(self) -> None:
        def play(daemon: PlayedDaemon) -> None:
            daemon.say(ChunkKind.DATA, b"all")
            daemon.say(ChunkKind.END)
            daemon.hear(ChunkKind.END)

        process = self.start(play)
        assert process.stdout is not None
        self.assertEqual(process.stdout.read(), b"all")
        self.assertIsNone(process.poll())
        self.assertEqual(self.finish(process, b"more")[1:], ("", 0))
        self.assertEqual(self.daemon.data, b"more")

    def test_peer_that_closes_ends_it_while_the_input_is_open(self) -> None:
        process = self.start(lambda daemon: daemon.say(ChunkKind.CLOSE))
        self.assertEqual(process.wait(PATIENCE_SECONDS), 0)

    def test_stream_that_is_given_up_is_a_failure_with_its_reason(self) -> None:
        reset = reset_payload(StreamReset(StreamReason.FAILED, "the disk is full"))
        process = self.start(lambda daemon: daemon.say(ChunkKind.RESET, reset))
        expected = "routing-crust: the stream has ended: it failed: the disk is full"
        self.assertEqual(self.finish(process), (b"", expected, 1))

    def test_daemon_that_goes_is_a_failure(self) -> None:
        process = self.start(lambda daemon: daemon.say(ChunkKind.END))
        self.assertEqual(process.wait(PATIENCE_SECONDS), 1)
        self.assertEqual(self.finish(process)[1:], ("routing-crust: the daemon has stopped", 1))

    def test_what_is_no_stream_is_a_failure(self) -> None:
        process = self.start(lambda daemon: daemon._socket.sendall(bytes([9]) * 10))
        self.assertIn("is it of another version?", self.finish(process)[1])
        self.assertEqual(process.returncode, 1)

    def test_input_that_cannot_be_read_is_not_taken_for_its_end(self) -> None:
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        process = self.start(lambda daemon: daemon.hear(), stdin=writing)
        expected = "routing-crust: the standard input cannot be read: Bad file descriptor"
        self.assertEqual(self.finish(process), (b"", expected, 1))
        self.assertEqual(self.daemon.chunks, [])

    def test_reader_that_has_gone_ends_the_stream_without_its_end(self) -> None:
        def play(daemon: PlayedDaemon) -> None:
            daemon.hear(ChunkKind.DATA)
            daemon.say(ChunkKind.DATA, b"nobody reads this")
            daemon.hear()

        process = self.start(play)
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.close()
        process.stdin.write(b"go on")
        process.stdin.flush()
        self.assertEqual(process.wait(PATIENCE_SECONDS), 1)
        self.daemon.join(PATIENCE_SECONDS)
        self.assertEqual([kind for kind, _ in self.daemon.chunks], [ChunkKind.DATA])

    def test_sums_are_shown_at_the_end(self) -> None:
        def play(daemon: PlayedDaemon) -> None:
            daemon.hear(ChunkKind.END)
            daemon.say(ChunkKind.DATA, b"abc")
            daemon.say(ChunkKind.CLOSE)

        out, said, status = self.finish(self.start(play, "--progress"), bytes(2048))
        self.assertEqual((out, status), (b"abc", 0))
        self.assertRegex(said, r"^sent 2\.0 KiB, received 3 B in \d+\.\d s$")

    def test_refusal_is_one_line(self) -> None:
        refused = FailedReply(kind="StreamRefused", text=StreamReason.NOT_ALLOWED.text)
        out, said, status = self.finish(self.start(lambda daemon: None, reply=refused))
        self.assertEqual((out, status), (b"", 1))
        self.assertTrue(said.startswith("routing-crust: laptop does not let this node use ssh"), said)


class CarrierTests(SynchronousTestCase):
    """One thread at a time, with nothing that could wait."""

    def setUp(self) -> None:
        self.mine, self.theirs = socket.socketpair()
        self.reading, self.writing = os.pipe()
        for each in (self.mine, self.theirs):
            self.addCleanup(each.close)
            each.setblocking(False)
        for descriptor in (self.reading, self.writing):
            self.addCleanup(os.close, descriptor)
        os.set_blocking(self.reading, False)

    def carrier(self) -> PipeCarrier:
        return PipeCarrier(self.mine, self.mine.makefile("rb"), self.reading, self.writing)

    def test_end_of_the_input_is_told(self) -> None:
        os.write(self.writing, b"all")
        os.dup2(self.reading, self.writing)
        self.carrier()._send()
        said = chunk_head(ChunkKind.DATA, b"all") + b"all" + chunk_head(ChunkKind.END, b"")
        self.assertEqual(self.theirs.recv(100), said)

    def test_end_of_the_stream_is_the_end_of_the_output(self) -> None:
        carrier = self.carrier()
        carrier._chunk(ChunkKind.DATA, b"all")
        self.assertEqual(os.read(self.reading, 100), b"all")
        self.assertFalse(carrier._chunk(ChunkKind.END, b""))
        self.assertEqual(os.read(self.reading, 100), b"")


class TextTests(SynchronousTestCase):
    def explained(self, kind: str, text: str) -> str:
        error = ClientError(text)
        error.kind = kind
        return hints.explained(error, "laptop", "ssh")

    def test_each_failure_says_what_to_do(self) -> None:
        for kind, text, advice in (
            ("InvalidName", "no such name", "'routing-crust members'"),
            (
                "StreamRefused",
                StreamReason.NOT_OFFERED.text,
                "expose add ssh=tcp:localhost:PORT --allow NAME' on laptop",
            ),
            ("StreamRefused", StreamReason.NOT_ALLOWED.text, "'routing-crust name' here prints the name"),
            ("PeerUnreachable", "nobody there", "'routing-crust explain laptop'"),
            ("StreamRefused", StreamReason.TOO_MANY.text, "no stream to ssh of laptop"),
        ):
            said = self.explained(kind, text)
            self.assertIn(text, said)
            self.assertIn(advice, said)
        self.assertEqual(self.explained("", "the daemon has stopped"), "the daemon has stopped")

    def test_advice_after_a_question_is_a_sentence_of_its_own(self) -> None:
        self.assertIn(
            "'desk'? 'routing-crust members'", self.explained("InvalidName", "did you mean 'desk'?")
        )
        self.assertIn("no such name; 'routing-crust", self.explained("InvalidName", "no such name"))

    def test_texts_of_refusals_are_those_of_streams(self) -> None:
        self.assertEqual(hints.NOT_OFFERED, StreamReason.NOT_OFFERED.text)
        self.assertEqual(hints.NOT_ALLOWED, StreamReason.NOT_ALLOWED.text)

    def test_name_may_end_as_that_of_a_host_does(self) -> None:
        for who in ("laptop", "laptop.crust"):
            self.assertEqual(values.pipe_text(f"{who}/ssh"), ("laptop", "ssh"))
        self.assertEqual(values.pipe_text(f"{BOB}.crust/git.9"), (str(BOB), "git.9"))
        self.assertEqual(values.pipe_text(f"{str(BOB)[:9]}/x"), (str(BOB)[:9], "x"))

    def test_what_is_no_peer_and_protocol_is_refused(self) -> None:
        for text in ("laptop", "/ssh", "laptop/", "laptop/a b", "b b/ssh"):
            self.assertRaises(argparse.ArgumentTypeError, values.pipe_text, text)

    def test_line_of_progress_has_rates_since_the_one_before(self) -> None:
        carrier = PipeCarrier(socket.socket(), None, 0, 1)  # type: ignore[arg-type]
        self.addCleanup(carrier._wire.close)
        line = CarriedLine(carrier, 10.0)
        carrier.sent, carrier.received = 2048, 10
        self.assertEqual(line.line(12.0), "sent 2.0 KiB (1.0 KiB/s), received 10 B (5 B/s)")
        self.assertEqual(line.line(13.0), "sent 2.0 KiB (0 B/s), received 10 B (0 B/s)")


class NonBlockingTests(SynchronousTestCase):
    """Ends that others have made non-blocking, above the 1,024 descriptors that select() knows."""

    def setUp(self) -> None:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
        ends = []
        for low in os.pipe():
            ends.append(fcntl.fcntl(low, fcntl.F_DUPFD, 1024))
            os.close(low)
            os.set_blocking(ends[-1], False)
            self.addCleanup(os.close, ends[-1])
        self.source, self.sink = ends
        self.refusals = 0

    def once_refused(self, call: Callable[..., object], then: Callable[[], object]) -> Callable[..., object]:
        def called(*arguments: object) -> object:
            try:
                return call(*arguments)
            except BlockingIOError:
                self.refusals += 1
                then()
                raise

        return called

    def test_empty_input_is_waited_for(self) -> None:
        write = os.write
        self.patch(os, "read", self.once_refused(os.read, lambda: write(self.sink, b"later")))
        self.assertEqual((carrying._read(self.source), self.refusals), (b"later", 1))

    def test_full_output_is_waited_for(self) -> None:
        read, size = os.read, fcntl.fcntl(self.sink, fcntl.F_GETPIPE_SZ)
        os.write(self.sink, bytes(size))
        self.patch(os, "write", self.once_refused(os.write, lambda: read(self.source, size)))
        carrying._write(self.sink, b"more")
        self.assertEqual((read(self.source, size), self.refusals), (b"more", 1))


class SshConfigTests(CliTestCase):
    def printed(self, *options: str) -> tuple[str, list[str]]:
        self.assertEqual(self.run_script("ssh-config", *options), 0)
        host, proxy = self.out.getvalue().splitlines()
        keyword, _, command = proxy.strip().partition(" ")
        self.assertEqual(keyword, "ProxyCommand")
        return host, shlex.split(command)

    def test_block_is_for_hosts_that_end_in_crust(self) -> None:
        host, words = self.printed()
        self.assertEqual(host, "Host *.crust")
        self.assertEqual(words[1:], ["pipe", "%n/ssh"])

    def test_options_go_into_the_command_as_ssh_reads_them(self) -> None:
        where = str(self.folder / "100 %")
        _, words = self.printed("--state-dir", where, "--keep=1h", "--protocol=sshd")
        expected = ["pipe", f"--state-dir={where}".replace("%", "%%"), "--keep=3600s", "%n/sshd"]
        self.assertEqual(words[1:], expected)
