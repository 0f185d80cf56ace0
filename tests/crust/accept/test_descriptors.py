"""How many descriptors are left, as the kernel tells it."""

from __future__ import annotations

import os
import resource

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.accept.descriptors import PLENTY, descriptors_left, raise_descriptor_limit


class DescriptorTests(SynchronousTestCase):
    def setUp(self) -> None:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.hard = limits[1]
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)

    def limit_to(self, soft: int) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, self.hard))

    def test_fewer_are_left_when_more_are_open(self) -> None:
        self.limit_to(512)
        opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]  # lower numbers may have been free
        try:
            before = descriptors_left()
            opened += [os.open(os.devnull, os.O_RDONLY) for _ in range(10)]
            self.assertEqual(descriptors_left(), before - 10)
        finally:
            for each in opened:
                os.close(each)
        self.assertGreaterEqual(descriptors_left(), before)

    def test_none_are_left_when_none_can_be_opened(self) -> None:
        self.limit_to(512)
        opened = []
        try:
            while descriptors_left():
                opened.append(os.open(os.devnull, os.O_RDONLY))
            self.assertRaises(OSError, os.open, os.devnull, os.O_RDONLY)
        finally:
            for each in opened:
                os.close(each)

    def test_limit_is_raised_as_far_as_the_system_allows(self) -> None:
        self.limit_to(512)
        raise_descriptor_limit()
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE), (self.hard, self.hard))
        raise_descriptor_limit()

    def test_limit_that_cannot_be_raised_stays(self) -> None:
        self.limit_to(512)

        def refuse(*_: object) -> None:
            raise ValueError("not allowed to raise maximum limit")

        self.patch(resource, "setrlimit", refuse)
        raise_descriptor_limit()
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 512)

    def test_without_a_limit_there_are_plenty(self) -> None:
        self.patch(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        self.assertEqual(descriptors_left(), PLENTY)
