"""
An application with a node in it. Start it with::

    twistd -ny node.tac

It keeps its key and the contacts that it meets in C{node-state}, in the folder that it is started in.
"""

from pathlib import Path

from twisted.application.service import Application, MultiService, Service
from twisted.logger import Logger

from routing_crust import Endpoint, Message, Role, RoutingService, Settings, load_or_create_identity


class Counter(Service):
    """What the application does: it counts the requests that come, and answers with their number."""

    log = Logger()

    def __init__(self, node: RoutingService) -> None:
        self.node = node
        self.requests = 0

    def startService(self) -> None:
        super().startService()
        self.node.set_request_handler(self.answer)
        # after the node, so its ports are open now
        self.log.info("counting requests; contact: {contact}", contact=self.node.contact)

    def answer(self, message: Message) -> bytes:
        self.requests += 1
        return b"%d" % self.requests


folder = Path("node-state")
folder.mkdir(mode=0o700, exist_ok=True)
settings = Settings(
    role=Role.FIRST,
    listen=(Endpoint("127.0.0.1", 0),),  # a real one listens on a port that stays the same
    state_dir=folder,
    lan_discovery=False,
)
services = MultiService()
node = RoutingService(settings, identity=load_or_create_identity(folder / "key.pem"))
node.setServiceParent(services)
Counter(node).setServiceParent(services)

application = Application("counter")
services.setServiceParent(application)
