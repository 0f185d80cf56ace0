"""
Settings from texts and from files, for programs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Contact, Endpoint, Role, Settings
from routing_crust.errors import ConfigurationError
from routing_crust.forwarding_rules import Exposure, Nickname
from routing_crust.identity import Identity

ALICE = Identity.from_seed(b"a" * 32).name
HERE = Endpoint("127.0.0.1", 0)
THERE = Endpoint("192.0.2.1", 5483)


class FromTextTests(SynchronousTestCase):
    def test_texts_and_what_they_stand_for_give_the_same_settings(self) -> None:
        wanted = Settings(
            role=Role.CLIENT,
            listen=(HERE,),
            contacts=(Contact(THERE, ALICE),),
            deny=(str(ALICE),),
            nicknames=(Nickname("alice", ALICE),),
            expose=(Exposure("ssh", "tcp:localhost:22"),),
            state_dir=Path("/nowhere"),
            ack_timeout=5.0,
            lan_discovery=False,
        )
        texts = Settings.from_text(
            role="client",
            listen="127.0.0.1:0",
            contacts=["alice@192.0.2.1:5483"],
            deny="alice",
            nicknames={"alice": str(ALICE)},
            expose="ssh=tcp:localhost:22",
            state_dir="/nowhere",
            ack_timeout="5",
            lan_discovery="no",
        )
        values = Settings.from_text(
            role=Role.CLIENT,
            listen=HERE,
            contacts=(Contact(THERE, ALICE),),
            deny=[ALICE],
            nicknames=[Nickname("alice", ALICE)],
            expose=[Exposure("ssh", "tcp:localhost:22")],
            state_dir=Path("/nowhere"),
            ack_timeout=5.0,
            lan_discovery=False,
        )
        self.assertEqual((texts, values), (wanted, wanted))

    def test_texts_and_values_may_stand_in_one_list(self) -> None:
        settings = Settings.from_text(listen=["127.0.0.1:0", THERE])
        self.assertEqual(settings.listen, (HERE, THERE))

    def test_wrong_value_is_refused_with_the_name_of_its_setting(self) -> None:
        wrong: tuple[tuple[dict[str, Any], str], ...] = (
            ({"lisen": "127.0.0.1:0"}, "lisen: there is no such setting; did you mean listen?"),
            ({"listen": [5]}, "listen: [5] is not a list of texts"),
            ({"listen": None}, "listen: None is not a list of texts"),
            ({"role": "boss"}, "role: 'boss' is not one of node, client, first"),
            ({"contacts": [THERE]}, "contacts: [Endpoint("),
            ({"ack_timeout": "soon"}, "ack_timeout: 'soon' is not a number"),
        )
        for given, said in wrong:
            error = self.assertRaises(ConfigurationError, Settings.from_text, **given)
            self.assertIn(said, str(error))

    def test_file_gives_way_to_what_is_given(self) -> None:
        path = Path(self.mktemp())
        path.write_text('network = "lab"\nrole = "client"\n', encoding="utf-8")
        self.assertEqual(Settings.from_toml(path), Settings(network="lab", role=Role.CLIENT))
        self.assertEqual(Settings.from_toml(str(path), role="node"), Settings(network="lab"))

    def test_file_that_is_not_there_is_named(self) -> None:
        error = self.assertRaises(ConfigurationError, Settings.from_toml, "/nowhere/a.toml")
        self.assertIn("the file /nowhere/a.toml cannot be read", str(error))

    def test_repr_has_what_differs_from_the_defaults_and_can_be_evaluated(self) -> None:
        self.assertEqual(repr(Settings()), "Settings()")
        settings = Settings(network="lab", listen=(HERE,), ack_timeout=5)
        text = "Settings(network='lab', listen=(Endpoint(host='127.0.0.1', port=0),), ack_timeout=5)"
        self.assertEqual(repr(settings), text)
        self.assertEqual(eval(text), settings)
