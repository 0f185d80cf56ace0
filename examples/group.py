"""Five nodes in one process: when all have met, one of them sends something to those nearest to a name."""

from functools import partial

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from routing_crust import Endpoint, Message, Name, PeerJoined, Role, RoutingService, Settings

COUNT = 5


def make_node(first: RoutingService | None) -> RoutingService:
    return RoutingService(
        Settings(
            role=Role.FIRST if first is None else Role.NODE,
            listen=(Endpoint("127.0.0.1", 0),),
            contacts=() if first is None or first.contact is None else (first.contact,),
            lan_discovery=False,
        )
    )


async def main(reactor: object) -> None:
    met: list[set[Name]] = [set() for _ in range(COUNT)]
    complete: Deferred[None] = Deferred()
    heard: list[Message] = []

    def joined(who: int, event: PeerJoined) -> None:
        met[who].add(event.name)
        if all(len(names) == COUNT - 1 for names in met) and not complete.called:
            complete.callback(None)

    nodes: list[RoutingService] = []
    for number in range(COUNT):
        node = make_node(nodes[0] if nodes else None)
        node.set_message_handler(heard.append)
        node.observe(PeerJoined, partial(joined, number))
        node.startService()
        nodes.append(node)
        if number:  # the first is alone until the second comes
            await node.when_group_connected()
    await complete

    topic = Name(bytes(32))  # any name will do: it need not be a node's
    members = await nodes[1].send_to_group(topic, b"news")
    print(f"{len(members)} nodes have acknowledged")
    print(f"{sum(message.group == topic for message in heard)} handlers were called")
    print("nearest first:", list(members) == sorted(members, key=topic.distance))
    await gatherResults([node.stopService() for node in nodes])


react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
