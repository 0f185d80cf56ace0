"""Between Twisted and asyncio: results, failures, cancellation; readers and writers over streams."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from routing_crust.aio import LIMIT, Bridge, as_deferred, as_future, factory_of, open_connection, start_server
from routing_crust.config import KIB, MIB
from routing_crust.errors import CannotListen
from routing_crust.streams import (
    NodeAddress,
    RoutingClientEndpoint,
    RoutingServerEndpoint,
    StreamLinkLost,
    StreamReason,
    StreamRefused,
    StreamReset,
    streams_of,
)
from tests.routing.net import Net
from tests.streams.protocols import Echo, Keeping, Noting


class LoopCase(SynchronousTestCase):
    """A loop that the test turns."""

    def setUp(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)
        self.troubles: list[Any] = []
        self.loop.set_exception_handler(lambda _, context: self.troubles.append(context))

    def turn(self) -> None:
        """Let the loop do what it has to, once."""
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def turns(self) -> None:
        for _ in range(5):
            self.turn()


class FutureTests(LoopCase):
    """C{as_future}."""

    def test_result_of_the_deferred_is_awaited(self) -> None:
        deferred: Deferred[str] = Deferred()
        future = as_future(deferred, self.loop)
        self.assertIs(future.get_loop(), self.loop)
        self.turns()
        self.assertFalse(future.done())
        deferred.callback("it")
        self.assertEqual(self.loop.run_until_complete(future), "it")

    def test_fired_deferred_gives_a_done_future(self) -> None:
        self.assertEqual(self.loop.run_until_complete(as_future(succeed(7), self.loop)), 7)

    def test_failure_of_the_deferred_is_raised(self) -> None:
        future: Any = as_future(fail(ValueError("no")), self.loop)
        with self.assertRaisesRegex(ValueError, "no"):
            self.loop.run_until_complete(future)

    def test_cancelled_future_cancels_the_deferred(self) -> None:
        """The Deferred is cancelled, and what it fires with is nobody's."""
        cancelled: list[Any] = []
        for ending in (
            lambda each: None,
            lambda each: each.callback(1),
            lambda each: each.errback(KeyError()),
        ):
            deferred: Deferred[int] = Deferred(
                lambda each, ending=ending: (cancelled.append(each), ending(each))
            )  # type: ignore[misc]
            future = as_future(deferred, self.loop)
            future.cancel()
            self.turns()
            self.assertIs(cancelled[-1], deferred)
            self.assertTrue(future.cancelled())
        self.assertEqual(len(cancelled), 3)

    def test_future_cancelled_as_the_deferred_fires_stays_cancelled(self) -> None:
        """The future is cancelled, and the Deferred fires before it hears of that."""
        for fire in (lambda each: each.callback(1), lambda each: each.errback(KeyError())):
            deferred: Deferred[int] = Deferred()
            future = as_future(deferred, self.loop)
            future.cancel()
            fire(deferred)
            self.turns()
            self.assertTrue(future.cancelled())

    def test_cancelled_deferred_cancels_the_future(self) -> None:
        """The coroutine that awaits is cancelled, as asyncio does it."""
        deferred: Deferred[int] = Deferred()
        future = as_future(deferred, self.loop)
        deferred.cancel()
        self.assertTrue(future.cancelled())


class DeferredTests(LoopCase):
    """C{as_deferred}."""

    async def later(self, result: object) -> object:
        await asyncio.sleep(0)
        if isinstance(result, BaseException):
            raise result
        return result

    def test_result_of_the_coroutine_fires_the_deferred(self) -> None:
        deferred = as_deferred(self.later("it"), self.loop)
        self.assertNoResult(deferred)
        self.turns()
        self.assertEqual(self.successResultOf(deferred), "it")

    def test_future_fires_the_deferred(self) -> None:
        future = self.loop.create_future()
        deferred = as_deferred(future, self.loop)
        future.set_result(5)
        self.turns()
        self.assertEqual(self.successResultOf(deferred), 5)

    def test_error_of_the_coroutine_fails_the_deferred(self) -> None:
        deferred = as_deferred(self.later(ValueError("no")), self.loop)
        self.turns()
        self.failureResultOf(deferred, ValueError)

    def test_cancelled_deferred_cancels_the_task(self) -> None:
        """The task is cancelled, and may still tidy up; then the Deferred fires."""
        tidy: list[str] = []

        async def task() -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(0)
                tidy.append("up")

        deferred = as_deferred(task(), self.loop)
        self.turns()
        deferred.cancel()
        self.assertNoResult(deferred)
        self.turns()
        self.assertEqual(tidy, ["up"])
        self.failureResultOf(deferred, CancelledError)

    def test_cancelled_task_cancels_the_deferred(self) -> None:
        future = self.loop.create_future()
        deferred = as_deferred(future, self.loop)
        future.cancel()
        self.turns()
        self.failureResultOf(deferred, CancelledError)


class StreamCase(LoopCase):
    """Two nodes of a network in memory, whose time moves while the loop turns."""

    def setUp(self) -> None:
        super().setUp()
        self.net = Net()
        self.addCleanup(self.net.stop)
        self.one, self.two = self.net.grow(2)
        self.server = RoutingServerEndpoint(self.one, "app")
        self.client = RoutingClientEndpoint(self.two, self.one.node_name, "app")

    def run_both(self, until: Callable[[], object]) -> None:
        for _ in range(100_000):
            if until():
                return
            self.turn()
            self.net.settle(0.01)
        self.fail("it does not come about")

    def result(self, awaitable: Awaitable[Any]) -> Any:
        future = asyncio.ensure_future(awaitable, loop=self.loop)
        self.run_both(future.done)
        return future.result()

    def serve(self, connected: Callable[..., Any]) -> Any:
        return self.result(start_server(self.server, connected, loop=self.loop))

    def open(self, limit: int = LIMIT) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        opened: Any = self.result(open_connection(self.client, loop=self.loop, limit=limit))
        return opened  # type: ignore[no-any-return]

    def open_to(self, protocol: type[Noting]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Any]:
        served = Keeping(protocol)
        streams_of(self.one).listen("app", served)
        return (*self.open(), served.made[0])

    def none_open(self) -> None:
        for node in (self.one, self.two):
            self.assertEqual(streams_of(node).status()["open"], {})


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send everything back in capitals."""
    while data := await reader.read(1000):
        writer.write(data.upper())
        await writer.drain()
    writer.close()
    await writer.wait_closed()


class ConnectionTests(StreamCase):
    def test_asyncio_server_and_client_talk_both_ways(self) -> None:
        """A server and a client of asyncio; each knows who the other is; both ends close."""
        served: list[asyncio.StreamWriter] = []

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.append(writer)
            await shout(reader, writer)

        port = self.serve(connected)
        data = b"by name " * 100_000

        async def talk() -> bytes:
            reader, writer = await open_connection(self.client, loop=self.loop)
            self.assertEqual(writer.get_extra_info("peername"), NodeAddress(self.one.node_name, "app"))
            self.assertEqual(writer.get_extra_info("sockname"), NodeAddress(self.two.node_name, "app"))
            self.assertTrue(writer.can_write_eof())
            got = asyncio.ensure_future(reader.read())
            for start in range(0, len(data), 50_000):
                writer.write(data[start : start + 50_000])
                await writer.drain()
            writer.write_eof()
            writer.write_eof()
            with self.assertRaises(RuntimeError):
                writer.write(b"more")
            answer = await got
            writer.close()
            writer.close()
            await writer.wait_closed()
            self.assertTrue(writer.is_closing())
            return answer

        self.assertEqual(self.result(talk()), data.upper())
        self.assertEqual(served[0].get_extra_info("peername"), NodeAddress(self.two.node_name, "app"))
        port.stopListening()
        self.none_open()
        self.assertEqual(self.troubles, [])

    def test_refused_connection_raises(self) -> None:
        with self.assertRaises(StreamRefused):
            self.open()
        with self.assertRaises(CannotListen):
            self.serve(shout)
            self.serve(shout)

    def test_writer_waits_while_nobody_reads(self) -> None:
        """The writer has to wait, and not for ever; nothing is lost."""
        reader, writer, theirs = self.open_to(Noting)
        theirs.transport.pauseProducing()
        written = 0

        async def write() -> None:
            nonlocal written
            while written < 4 * MIB:
                writer.write(bytes(64 * KIB))
                written += 64 * KIB
                await writer.drain()
            writer.write_eof()
            await reader.read()
            writer.close()

        writing = self.loop.create_task(write())
        for _ in range(200):
            self.turn()
            self.net.settle(0.01)
        self.assertLess(written, MIB)
        theirs.transport.resumeProducing()
        self.run_both(writing.done)
        self.assertEqual(len(theirs.received), 4 * MIB)

    def test_unread_data_stays_with_the_peer(self) -> None:
        """What is not read stays with the peer, up to a window and what the reader holds."""
        reader, writer, theirs = self.open_to(Noting)
        theirs.transport.write(bytes(4 * MIB))
        for _ in range(200):
            self.turn()
            self.net.settle(0.01)
        self.assertFalse(writer.transport.is_reading())  # type: ignore[attr-defined]
        self.assertGreater(theirs.transport._stream.buffer.size, 3 * MIB)
        theirs.transport.loseWriteConnection()
        self.assertEqual(len(self.result(reader.read())), 4 * MIB)
        writer.close()

    def test_writer_that_closes_while_it_waits_for_room_is_released(self) -> None:
        """Who waits for room, and closes meanwhile, does not wait for ever."""
        _, writer, theirs = self.open_to(Noting)
        theirs.transport.pauseProducing()
        writer.write(bytes(4 * MIB))
        draining = self.loop.create_task(writer.drain())
        self.turns()
        self.assertFalse(draining.done())
        writer.close()
        self.turns()
        self.assertTrue(draining.done())
        theirs.transport.resumeProducing()
        self.run_both(lambda: theirs.reason)
        self.assertEqual(len(theirs.received), 4 * MIB)

    def test_reset_by_the_peer_raises_in_the_reader(self) -> None:
        """The reader raises, as with sockets, and the error names the cause."""
        reader, writer, theirs = self.open_to(Noting)
        theirs.transport.abortConnection()
        with self.assertRaises(ConnectionResetError) as raised:
            self.result(reader.read())
        cause = raised.exception.__cause__
        assert isinstance(cause, StreamReset)
        self.assertIs(cause.reason, StreamReason.ABORTED)
        with self.assertRaises(ConnectionResetError):
            self.result(writer.drain())
        writer.close()
        self.none_open()

    def test_lost_link_raises_in_the_reader(self) -> None:
        reader, writer, _ = self.open_to(Noting)
        self.net.crash(self.one)
        with self.assertRaises(ConnectionResetError) as raised:
            self.result(reader.read())
        self.assertIsInstance(raised.exception.__cause__, StreamLinkLost)
        self.assertTrue(writer.is_closing())

    def test_abort_is_an_error_for_the_peer_only(self) -> None:
        """The end that aborts gets no error; the peer does."""
        reader, writer, theirs = self.open_to(Noting)
        writer.transport.abort()
        writer.transport.abort()
        self.assertEqual(self.result(reader.read()), b"")
        self.result(writer.wait_closed())
        self.run_both(lambda: theirs.reason)
        self.assertIsInstance(theirs.reason, StreamReset)
        self.none_open()

    def test_end_of_the_peer_is_end_of_file(self) -> None:
        reader, _writer, theirs = self.open_to(Echo)
        theirs.transport.write(b"last words")
        theirs.transport.loseConnection()
        self.assertEqual(self.result(reader.read()), b"last words")
        self.assertIsInstance(theirs.reason, ConnectionDone)

    def cancelled(self, turns: int) -> None:
        """Cancel opening after this many turns."""
        served = Keeping()
        port = streams_of(self.one).listen("app", served)
        opening = self.loop.create_task(open_connection(self.client, loop=self.loop))
        for _ in range(turns):
            self.turn()
        self.finish_cancelled(opening, served, port)

    def finish_cancelled(self, opening: asyncio.Task[Any], served: Keeping, port: Any) -> None:
        opening.cancel()
        self.turns()
        self.assertTrue(opening.cancelled())
        self.net.settle(1)
        self.assertTrue(all(each.reason for each in served.made))
        self.none_open()
        port.stopListening()

    def test_cancelled_open_is_given_up_at_both_ends(self) -> None:
        """Opening is given up, at both ends, at whatever moment."""
        self.cancelled(0)
        self.cancelled(1)

    def test_open_cancelled_after_it_succeeded_closes_the_connection(self) -> None:
        """The connection is up but not yet reported: nothing stays open."""
        for cancel_first in (False, True):
            served = Keeping()
            port = streams_of(self.one).listen("app", served)
            opening = self.loop.create_task(open_connection(self.client, loop=self.loop))
            self.turn()
            if cancel_first:
                opening.cancel()  # and the loop has not turned
            self.net.run(lambda served=served: served.made and served.made[0].calls)  # type: ignore[misc]
            self.net.settle(1)
            self.finish_cancelled(opening, served, port)


class Lines(asyncio.Protocol):
    """A protocol of asyncio that writes everything down, and does not stay half-open."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        self.calls.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append(exc)


class FactoryTests(StreamCase):
    def test_any_asyncio_protocol_can_be_spoken(self) -> None:
        """Any protocol of asyncio; one that says nothing of it closes when the peer has sent all."""
        made: list[Lines] = []

        def make() -> Lines:
            made.append(Lines())
            return made[-1]

        streams_of(self.one).listen("app", factory_of(make))
        mine: Any = self.net.result(self.client.connect(Keeping()))
        mine.transport.write(b"one")
        mine.transport.loseWriteConnection()
        self.net.run(lambda: mine.reason)
        self.assertEqual(made[0].calls, ["made", b"one", None])
        self.assertIsInstance(mine.reason, ConnectionDone)
        transport = made[0].transport
        for call in (transport.pause_reading, transport.resume_reading, transport.write_eof, transport.close):
            call()
        transport.write(b"nobody gets that")
        self.assertEqual((transport.is_reading(), transport.is_closing()), (False, True))

    def test_adapter_provides_its_interfaces(self) -> None:
        from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer

        bridge = Bridge(Lines())
        verifyObject(IHalfCloseableProtocol, bridge)
        verifyObject(IPushProducer, bridge)
        bridge.abort()  # there is nothing to give up
