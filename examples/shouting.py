"""A server and a client of asyncio, which reach each other by name: Twisted runs on the asyncio reactor."""

import asyncio

from twisted.internet import asyncioreactor

loop = asyncio.new_event_loop()
asyncioreactor.install(loop)

from twisted.internet import reactor  # noqa: E402

from routing_crust import Endpoint, Role, RoutingService, Settings  # noqa: E402
from routing_crust.aio import as_deferred, as_future, open_connection, start_server  # noqa: E402
from routing_crust.streams import RoutingClientEndpoint, RoutingServerEndpoint  # noqa: E402


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def answer(message: object) -> bytes:
    await asyncio.sleep(0.01)
    return b"here is asyncio"


async def main() -> None:
    here = (Endpoint("127.0.0.1", 0),)
    first = RoutingService(Settings(role=Role.FIRST, listen=here, lan_discovery=False))
    first.startService()
    first.set_request_handler(lambda message: as_deferred(answer(message), loop))
    await start_server(RoutingServerEndpoint(first, "shout"), shout, loop=loop)

    assert first.contact is not None  # it listens
    second = RoutingService(Settings(contacts=(first.contact,), listen=here, lan_discovery=False))
    second.startService()
    await asyncio.wait_for(as_future(second.when_connected(), loop), timeout=30)
    print((await as_future(second.request(first.node_name, b"who is there?"), loop)).decode())

    endpoint = RoutingClientEndpoint(second, first.node_name, "shout")
    reader, writer = await open_connection(endpoint, loop=loop)
    writer.write(b"hello by name\n")
    print((await reader.readline()).decode(), end="")
    writer.close()
    await writer.wait_closed()

    for node in (second, first):
        await as_future(node.stopService(), loop)


if __name__ == "__main__":
    task = loop.create_task(main())
    task.add_done_callback(lambda _: reactor.stop())
    reactor.run()
    task.result()
