"""Five nodes in one process: one of them sends something to all those nearest to a name."""

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from routing_crust import Endpoint, Message, Name, Role, RoutingService, Settings
from routing_crust.routing.events import PeerJoined


def make_node(first: RoutingService | None) -> RoutingService:
    node = RoutingService(
        Settings(
            role=Role.FIRST if first is None else Role.NODE,
            listen=(Endpoint("127.0.0.1", 0),),
            contacts=() if first is None or first.contact is None else (first.contact,),
            lan_discovery=False,
        )
    )
    node.startService()
    return node


async def main(reactor: object) -> None:
    first = make_node(None)
    nodes = [first, *(make_node(first) for _ in range(4))]
    joined: list[PeerJoined] = []
    heard: list[Message] = []
    stop_observing = first.observe(PeerJoined, joined.append)
    for node in nodes:
        node.set_message_handler(heard.append)
    await gatherResults([node.when_group_connected() for node in nodes])

    topic = Name.of_key(bytes(32))  # any name will do: it need not be a node's
    members = await nodes[1].send_to_group(topic, b"news")
    print(f"{len(members)} of {len(nodes)} have acknowledged, nearest first")
    print(f"{sum(message.group == topic for message in heard)} handlers were called")
    print(f"the first node has met {len(set(joined))} others")

    stop_observing()
    await gatherResults([node.stopService() for node in nodes])


react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
