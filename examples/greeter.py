"""Two nodes in one process: the second joins the first and sends it a request by name."""

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from routing_crust import Endpoint, Role, RoutingService, Settings


async def main(reactor: object) -> None:
    here = (Endpoint("127.0.0.1", 0),)
    first = RoutingService(Settings(role=Role.FIRST, listen=here, lan_discovery=False))
    first.set_request_handler(lambda message: b"hello " + message.body)
    first.startService()
    assert first.contact is not None  # it listens
    second = RoutingService(Settings(contacts=(first.contact,), listen=here, lan_discovery=False))
    second.startService()
    await second.when_connected()
    answer = await second.request(first.node_name, b"world")
    print(answer.decode())
    await second.stopService()
    await first.stopService()


react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
