"""Settings that say what belongs to what: read, refused, resolved, and as settings."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.errors import ConfigurationError, InvalidName, InvalidPairing
from routing_crust.forwarding_rules import (
    Exposure,
    Forward,
    Nickname,
    Permission,
    is_protocol,
    parse_keep,
)
from routing_crust.identity import Identity
from routing_crust.limits import MAX_KEEP_SECONDS
from routing_crust.parsing import parse_setting

ALICE, BOB = (Identity.from_seed(bytes([number]) * 32).name for number in range(2))
KNOWN = {"bob": BOB}
FIELDS = {each.name: each for each in fields(Settings)}


class PairingTests(SynchronousTestCase):
    def test_rule_reads_back_from_its_text(self) -> None:
        """Each is read from a text, and written as the text that gives it again."""
        self.assertEqual(Nickname.from_text(f" bob = {BOB} "), Nickname("bob", BOB))
        self.assertEqual(Exposure.from_text("ssh=tcp:port=22:host=h"), Exposure("ssh", "tcp:port=22:host=h"))
        for target, meant in (
            ("8080", "tcp:localhost:8080"),
            ("localhost:8080", "tcp:localhost:8080"),
            ("nas.lan:445", "tcp:nas.lan:445"),
            ("127.0.0.1:80", "tcp:127.0.0.1:80"),
            ("unix:/run/8080", "unix:/run/8080"),
            ("tcp:80", "tcp:80"),
        ):
            self.assertEqual(Exposure.from_text(f"web={target}"), Exposure("web", meant))
        self.assertEqual(Permission.from_text("ssh=bob", KNOWN), Permission("ssh", BOB))
        self.assertEqual(Permission.from_text("ssh=*", {}), Permission("ssh", None))
        listen = "tcp:22:interface=127.0.0.1"
        self.assertEqual(Forward.from_text(f"{listen}=bob/ssh", KNOWN), Forward(listen, BOB, "ssh"))
        for text in (f"bob={BOB}", "ssh=tcp:port=22:host=h"):
            kind: Any = Nickname if text.startswith("bob") else Exposure
            self.assertEqual(str(kind.from_text(text)), text)
        for text in (f"ssh={BOB}", "ssh=*"):
            self.assertEqual(str(Permission.from_text(text, {})), text)
        text = f"{listen}={BOB}/ssh"
        self.assertEqual(str(Forward.from_text(text, {})), text)

    def test_text_that_is_no_rule_is_refused(self) -> None:
        """What is not of the form is refused with the form."""
        for kind, texts in (
            (Nickname, ("bob", f"={BOB}", "bob=", f"b/b={BOB}", f"{'b' * 33}={BOB}")),
            (Exposure, ("ssh", "=tcp:1", "ssh=", "s h=tcp:1", f"{'s' * 65}=tcp:1")),
        ):
            for text in texts:
                self.assertRaises(InvalidPairing, kind.from_text, text)
        for text in ("ssh", "ssh=", "s/h=*"):
            self.assertRaises(InvalidPairing, Permission.from_text, text, KNOWN)
        for text in ("tcp:1", "tcp:1=bob", "=bob/ssh", "tcp:1=/ssh", "tcp:1=bob/", "tcp:1=bob/s h", "bob/s"):
            self.assertRaises(InvalidPairing, Forward.from_text, text, KNOWN)

    def test_nickname_that_no_setting_gives_is_left_for_certificates_to_say(self) -> None:
        self.assertEqual(Forward.from_text("tcp:1=carol/ssh", KNOWN), Forward("tcp:1", "carol", "ssh"))
        for who in ("carol", "tag:admins"):
            permission = Permission.from_text(f"ssh={who}", KNOWN)
            self.assertEqual((permission, str(permission)), (Permission("ssh", who), f"ssh={who}"))
        for who in (str(ALICE)[:-1], "tag:", "tag:a/b", f"tag:{'a' * 25}"):
            self.assertRaises(InvalidName, Permission.from_text, f"ssh={who}", KNOWN)
        self.assertRaises(InvalidName, Forward.from_text, "tcp:1=tag:admins/ssh", KNOWN)

    def test_rule_that_only_certificates_can_explain_needs_a_private_network(self) -> None:
        ssh = Exposure("ssh", "tcp:h:22")
        for setting, rules, advice in (
            ("forward", {"forward": (Forward("tcp:1", "carol", "ssh"),)}, "the setting nicknames gives"),
            ("allow_peer", {"allow_peer": (Permission("ssh", "carol"),)}, "the setting nicknames gives"),
            ("allow_peer", {"allow_peer": (Permission("ssh", "tag:admins"),)}, "there are no tags"),
        ):
            given: Any = rules
            error = self.assertRaises(
                ConfigurationError, lambda given=given: Settings(expose=(ssh,), **given)
            )
            self.assertEqual(error.setting, setting)
            self.assertIn(advice, str(error))
            Settings(network=f"key:{ALICE}", expose=(ssh,), **given)

    def test_protocol_has_at_most_64_letters_digits_and_inner_marks(self) -> None:
        self.assertTrue(is_protocol("a" * 64))
        self.assertFalse(is_protocol("a" * 65))
        self.assertFalse(is_protocol("-a"))
        self.assertFalse(is_protocol("ä"))


class KeepTests(SynchronousTestCase):
    def test_time_may_follow_a_forward_or_an_exposure(self) -> None:
        forward = Forward.from_text("tcp:1=bob/ssh keep 1h", KNOWN)
        self.assertEqual(forward, Forward("tcp:1", BOB, "ssh", 3600.0))
        exposure = Exposure.from_text("ssh=unix:/run/my app  keep 90")
        self.assertEqual(exposure, Exposure("ssh", "unix:/run/my app", 90.0))
        for each in (forward, exposure):
            again: Any = type(each)
            words = (str(each), KNOWN) if again is Forward else (str(each),)
            self.assertEqual(again.from_text(*words), each)

    def test_units_are_seconds_minutes_hours_and_days(self) -> None:
        for text, seconds in (("0", 0), ("90s", 90), ("1.5m", 90), ("1h", 3600), ("7d", MAX_KEEP_SECONDS)):
            self.assertEqual(parse_keep(text), seconds)

    def test_what_is_no_time_is_refused(self) -> None:
        for text in ("", "h", "-1", "1 h", "1w", "8d", "nan", "inf", "1e3", "٣", "9" * 400):
            self.assertIn(
                "write 0 to 604800 seconds", str(self.assertRaises(InvalidPairing, parse_keep, text))
            )
        self.assertRaises(InvalidPairing, Exposure.from_text, "ssh=tcp:h:22 keep long")


class SettingTests(SynchronousTestCase):
    def parse(self, setting: str, raw: object) -> Any:
        return parse_setting(FIELDS[setting], raw, KNOWN)

    def test_rules_may_be_a_list_or_a_table(self) -> None:
        """What has an equals sign can be a table in the file."""
        ssh, web = Exposure("ssh", "tcp:h:22"), Exposure("web", "tcp:h:80")
        self.assertEqual(self.parse("expose", ["ssh=tcp:h:22", "web=tcp:h:80"]), (ssh, web))
        self.assertEqual(self.parse("expose", {"ssh": "tcp:h:22", "web": "tcp:h:80"}), (ssh, web))
        self.assertEqual(
            self.parse("allow_peer", {"ssh": ["bob", str(ALICE)], "web": "*"}),
            (Permission("ssh", BOB), Permission("ssh", ALICE), Permission("web", None)),
        )
        self.assertEqual(self.parse("forward", {"tcp:1": "bob/ssh"}), (Forward("tcp:1", BOB, "ssh"),))
        self.assertEqual(self.parse("nicknames", {"al": str(ALICE)}), (Nickname("al", ALICE),))

    def test_errors_name_the_setting(self) -> None:
        for setting, raw in (
            ("nicknames", "bob"),
            ("nicknames", {"bob": 5}),
            ("expose", ["ssh"]),
            ("allow_peer", ["ssh=ca/rol"]),
            ("forward", ["tcp:1=ca*rol/ssh"]),
            ("contacts", {"a": "b"}),
        ):
            error = self.assertRaises(ConfigurationError, self.parse, setting, raw)
            self.assertEqual(error.setting, setting)

    def test_nicknames_stand_for_names_in_contacts_allow_and_deny(self) -> None:
        (contact,) = self.parse("contacts", ["bob@127.0.0.1:5483"])
        self.assertEqual(contact.name, BOB)
        self.assertEqual(self.parse("allow", ["bob", "192.0.2.0/24"]), (str(BOB), "192.0.2.0/24"))
        self.assertEqual(self.parse("deny", ["bob"]), (str(BOB),))
        self.assertRaises(ConfigurationError, self.parse, "contacts", ["bob"])

    def test_rule_given_twice_or_without_its_exposure_is_refused(self) -> None:
        """Nothing twice, and nobody is allowed what is not there."""
        ssh, web = Exposure("ssh", "tcp:h:22"), Permission("web", BOB)
        for setting, values in (
            ("expose", {"expose": (ssh, Exposure("ssh", "tcp:h:23"))}),
            ("nicknames", {"nicknames": (Nickname("b", BOB), Nickname("b", ALICE))}),
            ("forward", {"forward": (Forward("tcp:1", BOB, "a"), Forward("tcp:1", BOB, "b"))}),
            ("allow_peer", {"expose": (ssh,), "allow_peer": (web,)}),
        ):
            given: Any = values
            error = self.assertRaises(ConfigurationError, lambda given=given: Settings(**given))
            self.assertEqual(error.setting, setting)
        settings = Settings(expose=(ssh,), allow_peer=(Permission("ssh", BOB), Permission("ssh", ALICE)))
        self.assertEqual(settings.expose, (ssh,))
