"""Reads what `serve --record` has written, request by request.

A line that was broken off, by a kill or a full disk, is left out and counted. Anything else that is no record is an
error that names the line: a wrong file must not look like one without requests.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway.errors import GatewayError, cause_of
from gateway.telemetry.records import VERSION, Record

_LONGEST = 1024 * 1024
_BEGINS = b'{"version":'


class RecordedRequests:
    """The requests in some files. `broken` counts the lines that were broken off, once all was read."""

    def __init__(self, files: list[Path]) -> None:
        self._files = files
        self.broken = 0

    def __iter__(self) -> Iterator[Record]:
        """Yield one after another. Raises GatewayError for what is no record."""
        for path in self._files:
            try:
                with path.open("rb") as file:
                    number = 0
                    while line := file.readline(_LONGEST):
                        number += 1
                        yield from self._read(line, f"{path}: line {number}")
            except OSError as error:
                raise GatewayError(
                    f"{path}: cannot be read: {cause_of(error)}; name a file of serve --record"
                ) from error

    def _read(self, line: bytes, place: str) -> Iterator[Record]:
        if not line.strip():
            return
        try:
            version = msgspec.json.decode(line, type=_Versioned).version
        except msgspec.ValidationError as error:
            raise GatewayError(f"{place} is no recorded request; name a file of serve --record") from error
        except msgspec.DecodeError:
            if line.startswith(_BEGINS) or _BEGINS.startswith(line.strip()):
                self.broken += 1
                return
            raise GatewayError(f"{place} is no recorded request; name a file of serve --record") from None
        if version != VERSION:
            raise GatewayError(
                f"{place} is of version {version}, expected {VERSION}: replay with the release that has recorded it"
            )
        try:
            yield msgspec.json.decode(line, type=Record)
        except msgspec.DecodeError as error:
            raise GatewayError(f"{place} has not the members of a recorded request") from error


class _Versioned(msgspec.Struct):
    version: int
