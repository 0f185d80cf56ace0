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
from routing_crust.wire.end_to_end import MAX_MESSAGE_PARTS, AckPart, AckStatus, Flavour, MessagePart
from routing_crust.wire.fields import MAX_WIRE_NUMBER
from routing_crust.wire.framing import MAX_FRAME_BYTES
from routing_crust.wire.messages import Envelope, EnvelopeKind

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

    def test_settings_do_not_change_and_a_changed_copy_is_checked(self) -> None:
        settings = Settings()
        with self.assertRaises(FrozenInstanceError):
            settings.max_links = 3  # type: ignore[misc]
        self.assertEqual(replace(settings, max_links=3).max_links, 3)
        with self.assertRaises(ConfigurationError):
            replace(settings, max_links=0)

    def test_each_setting_has_help_and_a_range(self) -> None:
        """Options and documentation are made from this."""
        for each in setting_fields():
            self.assertTrue(each.metadata["help"], each.name)
            self.assertIn(each.metadata["advanced"], (True, False))
        for each in NUMBERS:
            self.assertLess(each.metadata["low"], each.metadata["high"], each.name)
            self.assertNotIn("e+", valid_range(each))
            self.assertEqual(type(each.default) is float, type(each.default) is not int, each.name)

    def test_valid_range_is_shown_in_words_with_its_unit(self) -> None:
        by_name = {each.name: valid_range(each) for each in setting_fields()}
        self.assertEqual(by_name["hello_timeout"], "0.5 to 120 s")
        self.assertEqual(by_name["stream_window"], "16384 to 67108864 B")
        self.assertEqual(by_name["group_size"], "1 to 64")
        self.assertEqual(by_name["network"], "")

    def test_number_takes_its_bounds_and_nothing_beyond_them(self) -> None:
        for each in NUMBERS:
            low, high = each.metadata["low"], each.metadata["high"]
            step = 1 if each.type == "int" else 0.001
            for value in (low - step, high + step):
                self.refused(each.name, value, valid_range(each), number_text(value))
            if each.name not in BOUND_TO_OTHERS:
                for value in (low, high):
                    self.assertEqual(getattr(Settings(**{each.name: value}), each.name), value)

    def test_number_refuses_truth_values_text_and_fractions_of_whole_numbers(self) -> None:
        for each in NUMBERS:
            for value in (True, "5", None, b"5", (5,)):
                self.refused(each.name, value, "is not a", "number", valid_range(each))
            for value in (float("nan"), float("inf"), -float("inf")):
                self.refused(each.name, value, valid_range(each))
            self.refused(each.name, 10**400, "a huge number is out of range")
        self.refused("max_links", 5.0, "is not a whole number")

    @given(st.sampled_from([each.name for each in setting_fields()]), anything)
    def test_any_value_is_taken_or_refused_with_the_name_of_the_setting(
        self, setting: str, value: object
    ) -> None:
        try:
            settings = Settings(**{setting: value})  # type: ignore[arg-type]
        except ConfigurationError as error:
            self.assertIn(error.setting, str(error))
        else:
            self.assertEqual(getattr(settings, setting), value)

    def test_setting_takes_only_its_own_type(self) -> None:
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

    def test_text_in_place_of_a_value_is_told_what_to_write(self) -> None:
        for setting, value in (
            ("role", "first"),
            ("lan_discovery", "yes"),
            ("state_dir", "/var/lib/node"),
            ("listen", ["0.0.0.0:1"]),
        ):
            self.refused(setting, value, f": for texts there is Settings.from_text({setting}={value!r})")
            Settings.from_text(**{setting: value})
        error = self.assertRaises(ConfigurationError, lambda: Settings(network=5))  # type: ignore[arg-type]
        self.assertNotIn("from_text", str(error))

    def test_network_id_is_short_and_printable(self) -> None:
        for network in ("x", "x" * 64, "réseau", "a b"):
            self.assertEqual(Settings(network=network).network, network)
        for network in ("", "x" * 65, "é" * 33, "a\nb", "\x00", "\udcff", "\u202e"):
            self.refused("network", network, "printable")

    def test_first_node_has_no_contacts(self) -> None:
        Settings(role=Role.FIRST)
        error = self.assertRaises(
            ConfigurationError, Settings, role=Role.FIRST, contacts=(Contact(Endpoint("192.0.2.1", 1)),)
        )
        self.assertIn("dials nobody", str(error))

    def test_external_endpoint_must_be_dialable_and_is_refused_for_a_client(self) -> None:
        Settings(external=(Endpoint("192.0.2.1", 5483), Endpoint("2001:db8::1", 1)))
        for host, port in (("192.0.2.1", 0), ("0.0.0.0", 5483), ("::", 5483), ("224.0.0.1", 5483)):
            error = self.assertRaises(ConfigurationError, Settings, external=(Endpoint(host, port),))
            self.assertIn("external", str(error))
            self.assertIn("cannot be dialled by anybody", str(error))
        own = (Endpoint("192.0.2.1", 5483),)
        error = self.assertRaises(ConfigurationError, Settings, role=Role.CLIENT, external=own)
        self.assertIn("a client is not dialled", str(error))

    def test_every_node_listens_somewhere_and_a_client_need_not(self) -> None:
        for role in (Role.NODE, Role.FIRST):
            error = self.assertRaises(ConfigurationError, Settings, role=role, listen=())
            self.assertIn("a node must listen somewhere", str(error))
        Settings(role=Role.CLIENT, listen=())

    def test_contradicting_settings_are_refused_with_both_numbers(self) -> None:
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
            MessagePart(
                MAX_WIRE_NUMBER, MAX_MESSAGE_PARTS - 1, MAX_MESSAGE_PARTS, Flavour.GROUP, bytes(32), body
            ),
            AckPart(MAX_WIRE_NUMBER, MAX_MESSAGE_PARTS - 1, MAX_MESSAGE_PARTS, AckStatus.REFUSED, body),
        )
        for part in parts:
            envelope = Envelope(
                MAX_WIRE_NUMBER, 255, bytes(32), True, bytes(32), bytes(32), EnvelopeKind.SEALED, bytes(32),
                encode(part), bytes(64),
            )  # fmt: skip
            self.assertLessEqual(len(encode(envelope)), MAX_FRAME_BYTES)

    def test_stream_memory_must_suffice_for_every_stream(self) -> None:
        """However many streams there are, each may have something waiting."""
        self.assertEqual(Settings(max_streams=2048).max_streams, 2048)
        error = self.assertRaises(ConfigurationError, Settings, max_streams=2049)
        self.assertEqual(error.setting, "stream_memory")
        self.assertIn("max_streams (2049)", str(error))

    def test_the_largest_message_fits_into_parts(self) -> None:
        """However the two are set, a message never needs more parts than the wire can count."""
        by_name = {each.name: each.metadata for each in NUMBERS}
        self.assertLessEqual(by_name["max_message"]["high"] / LEAST_PART, MAX_MESSAGE_PARTS)
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

    def test_names_addresses_and_networks_are_accepted(self) -> None:
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

    def test_rule_that_could_never_match_is_refused_with_its_text(self) -> None:
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

    def test_rule_with_an_ipv4_mapped_address_is_refused(self) -> None:
        """IPv4 in IPv6 would never match, since no endpoint is written so; an error is safer than silence."""
        for entry in ("::ffff:192.0.2.1", "::ffff:192.0.2.0/120", "::ffff:0:0/96"):
            error = self.assertRaises(ConfigurationError, check_rule, "deny", entry)
            self.assertIn("write the IPv4 network", str(error))


class ErrorTests(SynchronousTestCase):
    """The errors' texts, which are for operators."""

    def test_numbers_are_shown_as_they_are_written(self) -> None:
        for value, text in (
            (0, "0"), (1048576, "1048576"), (10_000_000, "10000000"), (1048576.0, "1048576"), (0.25, "0.25"),
            (0.1 + 0.2, "0.3"), (2**62 + 1, str(2**62 + 1)), (-5, "-5"), (10**400, "a huge number"),
            (float("inf"), "inf"), (float("nan"), "nan"), (1e300, "a huge number"),
        ):  # fmt: skip
            self.assertEqual(number_text(value), text)

    def test_error_of_a_limit_names_the_limit_and_its_setting(self) -> None:
        error = errors.LimitReached("the message is too large", "max_message", 1048576)
        self.assertEqual(error.setting, "max_message")
        self.assertEqual(
            str(error),
            "the message is too large (the limit is 1048576; the setting max_message moves it)",
        )

    def test_each_close_reason_has_its_own_words_and_a_fixed_number(self) -> None:
        """Each reason has words of its own, and a number that fits the wire; numbers are never reused."""
        texts = [reason.text for reason in errors.CloseReason]
        self.assertEqual(len(set(texts)), len(texts))
        self.assertTrue(all(0 <= reason <= 65535 for reason in errors.CloseReason))
        self.assertEqual((errors.CloseReason.UNKNOWN, errors.CloseReason.SELF), (0, 19))

    def test_closed_link_shows_the_reason_and_any_detail(self) -> None:
        plain = errors.LinkClosed(errors.CloseReason.STOPPING)
        self.assertEqual((str(plain), plain.by_peer), ("the service is stopping", False))
        detailed = errors.LinkClosed(errors.CloseReason.TLS_REFUSED, "wrong name", by_peer=True)
        self.assertEqual(str(detailed), "the TLS handshake failed: wrong name")
        self.assertTrue(detailed.by_peer)

    def test_wire_error_is_a_protocol_error_unless_it_has_a_reason_of_its_own(self) -> None:
        self.assertIs(errors.WireError("x").reason, errors.CloseReason.PROTOCOL_ERROR)
        self.assertIs(
            errors.WireError("x", errors.CloseReason.NOT_WANTED).reason, errors.CloseReason.NOT_WANTED
        )

    def test_failed_connect_shows_every_attempt_or_that_there_was_none(self) -> None:
        error = errors.ConnectFailed((("192.0.2.1:5", "refused"), ("192.0.2.2:5", "timed out")))
        self.assertEqual(str(error), "no link could be made (192.0.2.1:5: refused; 192.0.2.2:5: timed out)")
        self.assertIn("there was no endpoint to dial", str(errors.ConnectFailed(())))

    def test_unreachable_peer_says_what_was_tried(self) -> None:
        error = errors.PeerUnreachable("nobody there", (("192.0.2.1:5", "refused"),), "none knows of it")
        self.assertEqual(str(error), "nobody there (192.0.2.1:5: refused; none knows of it)")
        self.assertEqual(str(errors.PeerUnreachable("nobody there")), "nobody there")
        self.assertEqual(str(errors.NotConnected()), "")

    def test_all_errors_share_one_base_class(self) -> None:
        found = [getattr(errors, each) for each in errors.__all__]
        kinds = [each for each in found if issubclass(each, Exception)]
        self.assertGreater(len(kinds), 10)
        for kind in kinds:
            self.assertTrue(issubclass(kind, errors.RoutingCrustError), kind)
