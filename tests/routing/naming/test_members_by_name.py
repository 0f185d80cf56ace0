"""Members of a private network by the nicknames and tags in their certificates."""

from __future__ import annotations

from typing import Any

from routing_crust.errors import InvalidName

from ..private.private_case import PrivateCase


class MembersByNameTests(PrivateCase):
    def nickname_of(self, node: Any) -> str:
        return self.membership_of(node).certificate.certificate.nickname

    def test_member_is_sent_to_by_its_nickname(self) -> None:
        one, two = self.nodes[1:]
        got: list[bytes] = []
        two.service.set_message_handler(lambda message: got.append(message.body))
        self.net.result_of(one.service.send(self.nickname_of(two), b"hi"))
        self.assertEqual(got, [b"hi"])

    def test_status_and_explanation_tell_the_nickname(self) -> None:
        one, two = self.nodes[1:]
        links: Any = one.service.status()["links"]
        told = {each["peer"]: each["nickname"] for each in links}
        self.assertEqual(told[str(two.name)], self.nickname_of(two))
        self.assertEqual(one.service.explain(two.name).nickname, self.nickname_of(two))

    def test_own_nickname_is_known(self) -> None:
        one = self.nodes[1]
        self.assertEqual(one.service.name_of(self.nickname_of(one)), one.name)

    def test_nickname_of_who_is_banned_stands_for_nobody(self) -> None:
        one, two = self.nodes[1:]
        nickname = self.nickname_of(two)
        self.ban(two)
        self.net.run_for(5)
        self.assertRaises(InvalidName, one.service.name_of, nickname)
        self.assertFalse(one.service.directory.allowance([nickname])(two.name))

    def give_tag(self, node: Any) -> None:
        issuer, now = self.founder.issuer(), self.net.clock.seconds()
        last = self.membership_of(node).certificate.certificate
        tagged = issuer.issue(node.name, last.nickname, last.roles, now, tags=("admins",))
        self.private(self.admin).give_certificate(tagged)
        self.net.run_for(5)

    def test_tag_of_the_certificate_allows(self) -> None:
        one, two = self.nodes[1:]
        allowance = one.service.directory.allowance(["tag:admins"])
        self.assertFalse(allowance(two.name))
        self.give_tag(two)
        self.assertTrue(allowance(two.name))
        self.assertFalse(allowance(self.admin.name))

    def test_tag_of_who_is_banned_allows_nothing(self) -> None:
        one, two = self.nodes[1:]
        allowance = one.service.directory.allowance(["tag:admins"])
        self.give_tag(two)
        self.ban(two)
        self.net.run_for(5)
        self.assertFalse(allowance(two.name))
