"""
The errors of values, files and settings, and the base of all others. They load nothing of Twisted, so that
the console script starts at once. L{routing_crust.errors} has these and all others.
"""

from __future__ import annotations


def number_text(value: float) -> str:
    """A number as an operator would write it: C{1048576} and C{0.25}, never C{1.04858e+06}."""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.12g}"
    # a setting of 1e300 would be an error of 300 digits
    return str(int(value)) if abs(value) < 1e20 else "a huge number"


class RoutingCrustError(Exception):
    """The base of all errors of this package."""


class ConfigurationError(RoutingCrustError):
    """
    A setting has a value that cannot be used.

    @ivar setting: the setting's name, as it is written in the configuration file.
    """

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")
        self.setting = setting


class InvalidName(RoutingCrustError, ValueError):
    """A text or some bytes are not the name of a node."""


class InvalidCertificate(RoutingCrustError, ValueError):
    """A certificate of a member cannot say this, or a text is no role, tag or certificate."""


class InvalidInvitation(RoutingCrustError, ValueError):
    """A text is not an invitation, or one that cannot be used; the error says what is wrong with it."""


class NotAuthorized(RoutingCrustError):
    """A member may not issue, renew or ban this; the error says who may."""


class InvalidEndpoint(RoutingCrustError, ValueError):
    """A text is not an endpoint, or not a contact."""


class InvalidPairing(RoutingCrustError, ValueError):
    """A text is not a pair of the required form, such as C{ssh=tcp:localhost:22}."""


class KeyFileError(RoutingCrustError):
    """The key file cannot be used: its mode is too open, or it does not hold a key."""


class TrustFileError(RoutingCrustError):
    """A file of a private network cannot be used; the error names it and says what to do."""
