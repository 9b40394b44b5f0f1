"""The few errors a person meets, each with what to do about it.

An error carries the exit code of the command it ends (`stage-gateway --help` lists them).
"""

import os
import socket
import ssl
from collections.abc import Sequence


class GatewayError(Exception):
    """Something a person can put right. `str()` is one clear message that names the place and the cure."""

    exit_code = 2


class ConfigurationError(GatewayError):
    """The configuration cannot be used; `problems` holds one line per fault, all faults at once."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{source}: {problem}" for problem in self.problems))


class UnreachableError(GatewayError):
    """Something needed, a gateway or a server, did not answer."""

    exit_code = 3


class RefusedError(GatewayError):
    """The answer is no: something was asked that must not be done now. Nothing was changed by it."""

    exit_code = 1


def cause_of(error: OSError) -> str:
    """Return the system's words for an error of the system's, without the names and numbers that libraries add."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):  # whose numbers are not the system's
        return "it does not speak TLS as we do"
    if isinstance(error, socket.gaierror):
        return "its host's name is not known"
    return os.strerror(error.errno) if error.errno else "no connection could be made"
