"""Settings: what is valid, and what the errors say."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import errors
from routing_crust.config import (
    ORDERED,
    Role,
    Settings,
    TwoWay,
    check_rule,
    setting_fields,
    valid_range,
)
from routing_crust.endpoints import Contact, Endpoint, PrivateDialling
from routing_crust.errors import ConfigurationError, number_text
from routing_crust.identity import Identity
from routing_crust.routing.messaging.fragmentation import LEAST_PART, PART_BYTES
from routing_crust.wire.codec import encode
from routing_crust.wire.framing import MAX_FRAME_BYTES
from routing_crust.wire.messages import (
    LARGEST_NUMBER,
    MOST_PARTS,
    AckPart,
    AckStatus,
    Envelope,
    EnvelopeKind,
    Flavour,
    MessagePart,
)

NAME = Identity.from_seed(bytes(32)).name
NUMBERS = [each for each in setting_fields() if "low" in each.metadata]
# A change of one of these alone can be against another one; each pair is tested by itself.
BOUND_TO_OTHERS = {
    "max_streams",
    "stream_memory",
    *(setting for pair in ORDERED for setting in pair),
}
anything = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
    | st.tuples(st.integers() | st.text(max_size=5)) | st.lists(st.integers(), max_size=2)
    | st.just(10**400) | st.sampled_from(Role)
)  # fmt: skip


class SettingsTests(SynchronousTestCase):
    def refused(self, setting: str, value: Any, *complaints: str) -> None:
        error = self.assertRaises(ConfigurationError, lambda: Settings(**{setting: value}))
        self.assertEqual(error.setting, setting)
        for complaint in (f"{setting}: ", *complaints):
            self.assertIn(complaint, str(error))

    def test_defaults_are_valid(self) -> None:
        """No setting has to be given."""
        settings = Settings()
        self.assertEqual((settings.role, settings.network, settings.group_size), (Role.NODE, "default", 8))

    def test_is_a_value(self) -> None:
        """Settings do not change; a changed copy is checked again."""
        settings = Settings()
        with self.assertRaises(FrozenInstanceError):
            settings.max_links = 3  # type: ignore[misc]
        self.assertEqual(replace(settings, max_links=3).max_links, 3)
        with self.assertRaises(ConfigurationError):
            replace(settings, max_links=0)

    def test_each_has_help_and_a_range(self) -> None:
        """Options and documentation are made from this."""
        for each in setting_fields():
            self.assertTrue(each.metadata["help"], each.name)
            self.assertIn(each.metadata["advanced"], (True, False))
        for each in NUMBERS:
            self.assertLess(each.metadata["low"], each.metadata["high"], each.name)
            self.assertNotIn("e+", valid_range(each))
            self.assertEqual(type(each.default) is float, type(each.default) is not int, each.name)

    def test_valid_range(self) -> None:
        """The range in words, with the unit."""
        by_name = {each.name: valid_range(each) for each in setting_fields()}
        self.assertEqual(by_name["hello_timeout"], "0.5 to 120 s")
        self.assertEqual(by_name["stream_window"], "16384 to 67108864 B")
        self.assertEqual(by_name["group_size"], "1 to 64")
        self.assertEqual(by_name["network"], "")

    def test_bounds(self) -> None:
        """Each number takes its bounds, and nothing beyond them."""
        for each in NUMBERS:
            low, high = each.metadata["low"], each.metadata["high"]
            step = 1 if each.type == "int" else 0.001
            for value in (low - step, high + step):
                self.refused(each.name, value, valid_range(each), number_text(value))
            if each.name not in BOUND_TO_OTHERS:
                for value in (low, high):
                    self.assertEqual(getattr(Settings(**{each.name: value}), each.name), value)

    def test_not_numbers(self) -> None:
        """A truth value is no number, a fraction is no whole one, and no text is either."""
        for each in NUMBERS:
            for value in (True, "5", None, b"5", (5,)):
                self.refused(each.name, value, "is not a", "number", valid_range(each))
            for value in (float("nan"), float("inf"), -float("inf")):
                self.refused(each.name, value, valid_range(each))
            self.refused(each.name, 10**400, "a huge number is out of range")
        self.refused("max_links", 5.0, "is not a whole number")

    @given(st.sampled_from([each.name for each in setting_fields()]), anything)
    def test_anything(self, setting: str, value: object) -> None:
        """Whatever a setting is given, it is taken, or refused by an error that names a setting."""
        try:
            settings = Settings(**{setting: value})  # type: ignore[arg-type]
        except ConfigurationError as error:
            self.assertIn(error.setting, str(error))
        else:
            self.assertEqual(getattr(settings, setting), value)

    def test_types(self) -> None:
        """Each of the others takes its own type alone."""
        for setting, value, complaint in (
            ("role", "node", "is not a Role"),
            ("role", TwoWay.OFF, "is not a Role"),
            ("two_way", "off", "is not a TwoWay"),
            ("private_dialling", True, "is not a PrivateDialling"),
            ("lan_discovery", 1, "is not a bool"),
            ("lan_discovery", "yes", "is not a bool"),
            ("network", b"default", "is not a str"),
            ("network", 5, "is not a str"),
            ("state_dir", "/var/lib/node", "is not a Path"),
            ("listen", [Endpoint("0.0.0.0", 1)], "is not a tuple of Endpoint"),
            ("listen", ("0.0.0.0:1",), "is not a tuple of Endpoint"),
            ("contacts", (Endpoint("192.0.2.1", 1),), "is not a tuple of Contact"),
            ("allow", "192.0.2.1", "is not a tuple of str"),
            ("deny", (5,), "is not a tuple of str"),
        ):
            self.refused(setting, value, complaint)
        Settings(
            role=Role.CLIENT,
            listen=(),
            contacts=(Contact(Endpoint("192.0.2.1", 1)),),
            state_dir=Path("x"),
            private_dialling=PrivateDialling.NEVER,
        )

    def test_network(self) -> None:
        """The network's id is short and can be read."""
        for network in ("x", "x" * 64, "réseau", "a b"):
            self.assertEqual(Settings(network=network).network, network)
        for network in ("", "x" * 65, "é" * 33, "a\nb", "\x00", "\udcff", "\u202e"):
            self.refused("network", network, "printable")

    def test_first_node(self) -> None:
        """The first node dials nobody."""
        Settings(role=Role.FIRST)
        error = self.assertRaises(
            ConfigurationError, Settings, role=Role.FIRST, contacts=(Contact(Endpoint("192.0.2.1", 1)),)
        )
        self.assertIn("dials nobody", str(error))

    def test_external(self) -> None:
        """What nobody can dial is no external endpoint, and a client has none."""
        Settings(external=(Endpoint("192.0.2.1", 5483), Endpoint("2001:db8::1", 1)))
        for host, port in (("192.0.2.1", 0), ("0.0.0.0", 5483), ("::", 5483), ("224.0.0.1", 5483)):
            error = self.assertRaises(ConfigurationError, Settings, external=(Endpoint(host, port),))
            self.assertIn("external", str(error))
            self.assertIn("cannot be dialled by anybody", str(error))
        own = (Endpoint("192.0.2.1", 5483),)
        error = self.assertRaises(ConfigurationError, Settings, role=Role.CLIENT, external=own)
        self.assertIn("a client is not dialled", str(error))

    def test_listen(self) -> None:
        """Every node listens somewhere; a client need not."""
        for role in (Role.NODE, Role.FIRST):
            error = self.assertRaises(ConfigurationError, Settings, role=role, listen=())
            self.assertIn("a node must listen somewhere", str(error))
        Settings(role=Role.CLIENT, listen=())

    def test_pairs(self) -> None:
        """Settings that make no sense together are refused, with both numbers; equal ones are not."""
        for smaller, larger, value in (("max_requests_per_peer", "max_requests", 2000),):
            Settings(**{smaller: value, larger: value})
            error = self.assertRaises(
                ConfigurationError,
                lambda: Settings(**{smaller: value + 1, larger: value}),  # noqa: B023
            )
            self.assertEqual(error.setting, smaller)
            self.assertIn(f"{value + 1} is more than {larger} ({value})", str(error))

    def test_part_fits_into_a_frame(self) -> None:
        """A part of the largest size, with all that is put around it, is still a frame that is accepted."""
        body = bytes(PART_BYTES)
        parts = (
            MessagePart(LARGEST_NUMBER, MOST_PARTS - 1, MOST_PARTS, Flavour.GROUP, bytes(32), body),
            AckPart(LARGEST_NUMBER, MOST_PARTS - 1, MOST_PARTS, AckStatus.REFUSED, body),
        )
        for part in parts:
            envelope = Envelope(
                LARGEST_NUMBER, 255, bytes(32), True, bytes(32), bytes(32), EnvelopeKind.MESSAGE, bytes(32),
                encode(part), bytes(64),
            )  # fmt: skip
            self.assertLessEqual(len(encode(envelope)), MAX_FRAME_BYTES)

    def test_memory_for_every_stream(self) -> None:
        """However many streams there are, each may have something waiting."""
        self.assertEqual(Settings(max_streams=2048).max_streams, 2048)
        error = self.assertRaises(ConfigurationError, Settings, max_streams=2049)
        self.assertEqual(error.setting, "stream_memory")
        self.assertIn("max_streams (2049)", str(error))

    def test_the_largest_message_fits_into_parts(self) -> None:
        """However the two are set, a message never needs more parts than the wire can count."""
        by_name = {each.name: each.metadata for each in NUMBERS}
        self.assertLessEqual(by_name["max_message"]["high"] / LEAST_PART, MOST_PARTS)
        self.assertLessEqual(LEAST_PART, PART_BYTES)

    def test_each_setting_is_named_by_another_test(self) -> None:
        """There are at most 45. A new one needs a reason that an operator has, and a test of its own."""
        tests = Path(__file__).parent
        text = "".join(
            path.read_text() for path in sorted(tests.rglob("*.py")) if path != Path(__file__).resolve()
        )
        names = [each.name for each in setting_fields()]
        self.assertEqual([name for name in names if not re.search(rf"\b{name}\b", text)], [])
        self.assertLessEqual(len(names), 45)


class RuleTests(SynchronousTestCase):
    """Entries of the allow and deny lists."""

    def test_good(self) -> None:
        """Names, addresses and networks."""
        rules = (
            str(NAME),
            str(NAME).upper(),
            "192.0.2.1",
            "192.0.2.0/24",
            "0.0.0.0/0",
            "2001:db8::/32",
            "::/0",
        )
        settings = Settings(allow=rules, deny=rules)
        self.assertEqual((settings.allow, settings.deny), (rules, rules))

    def test_bad(self) -> None:
        """What could never match is refused, and the text of the entry is in the error."""
        for entry in (
            "",
            "*",
            "192.0.2.1/24",
            "192.0.2",
            "example.com",
            str(NAME)[:-1],
            "192.0.2.0/33",
            " 192.0.2.1",
        ):
            for setting in ("allow", "deny"):
                error = self.assertRaises(ConfigurationError, check_rule, setting, entry)
                self.assertEqual(error.setting, setting)
                self.assertIn(repr(entry), str(error))
                self.assertRaises(ConfigurationError, lambda: Settings(**{setting: (entry,)}))  # noqa: B023

    def test_mapped(self) -> None:
        """IPv4 in IPv6 would never match, since no endpoint is written so; an error is safer than silence."""
        for entry in ("::ffff:192.0.2.1", "::ffff:192.0.2.0/120", "::ffff:0:0/96"):
            error = self.assertRaises(ConfigurationError, check_rule, "deny", entry)
            self.assertIn("write the IPv4 network", str(error))


class ErrorTests(SynchronousTestCase):
    """The errors' texts, which are for operators."""

    def test_number_text(self) -> None:
        """Numbers are shown as they are written."""
        for value, text in (
            (0, "0"), (1048576, "1048576"), (10_000_000, "10000000"), (1048576.0, "1048576"), (0.25, "0.25"),
            (0.1 + 0.2, "0.3"), (2**62 + 1, str(2**62 + 1)), (-5, "-5"), (10**400, "a huge number"),
            (float("inf"), "inf"), (float("nan"), "nan"), (1e300, "a huge number"),
        ):  # fmt: skip
            self.assertEqual(number_text(value), text)

    def test_limit(self) -> None:
        """A limit's error names the limit and the setting that moves it."""
        error = errors.LimitReached("the message is too large", "max_message", 1048576)
        self.assertEqual(error.setting, "max_message")
        self.assertEqual(
            str(error),
            "the message is too large (the limit is 1048576; the setting max_message moves it)",
        )

    def test_close_reasons(self) -> None:
        """Each reason has words of its own, and a number that fits the wire; numbers are never reused."""
        texts = [reason.text for reason in errors.CloseReason]
        self.assertEqual(len(set(texts)), len(texts))
        self.assertTrue(all(0 <= reason <= 65535 for reason in errors.CloseReason))
        self.assertEqual((errors.CloseReason.UNKNOWN, errors.CloseReason.SELF), (0, 19))

    def test_link_closed(self) -> None:
        """The reason in words, and the detail if there is one."""
        plain = errors.LinkClosed(errors.CloseReason.STOPPING)
        self.assertEqual((str(plain), plain.by_peer), ("the service is stopping", False))
        detailed = errors.LinkClosed(errors.CloseReason.TLS_REFUSED, "wrong name", by_peer=True)
        self.assertEqual(str(detailed), "the TLS handshake failed: wrong name")
        self.assertTrue(detailed.by_peer)

    def test_wire_error(self) -> None:
        """What a peer does wrong is an error of the protocol unless it is something special."""
        self.assertIs(errors.WireError("x").reason, errors.CloseReason.PROTOCOL_ERROR)
        self.assertIs(
            errors.WireError("x", errors.CloseReason.NOT_WANTED).reason, errors.CloseReason.NOT_WANTED
        )

    def test_connect_failed(self) -> None:
        """Every attempt is in the text; none at all is said as well."""
        error = errors.ConnectFailed((("192.0.2.1:5", "refused"), ("192.0.2.2:5", "timed out")))
        self.assertEqual(str(error), "no link could be made (192.0.2.1:5: refused; 192.0.2.2:5: timed out)")
        self.assertIn("there was no endpoint to dial", str(errors.ConnectFailed(())))

    def test_one_base(self) -> None:
        """All errors can be caught as one."""
        kinds = [
            each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)
        ]
        self.assertGreater(len(kinds), 10)
        for kind in kinds:
            self.assertTrue(issubclass(kind, errors.RoutingCrustError), kind)
