"""Standard streams that are not UTF-8: what they cannot hold is written another way, and no command fails for it."""

import codecs
import io
import sys
from types import MappingProxyType

_HANDLER = "stage_gateway_legible"
_PLAIN = MappingProxyType({"…": "...", "–": "-", "×": "x", "→": "->"})


def make_legible() -> None:
    """Let standard output and error write what their encoding lacks in ASCII: as escapes, but for a few signs."""
    codecs.register_error(_HANDLER, _legible)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def holds_everything() -> bool:
    """Return whether standard output can hold any character; else JSON wants its own escapes."""
    encoding = getattr(sys.stdout, "encoding", None)
    return encoding is None or codecs.lookup(encoding).name.startswith("utf")


def _legible(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(sign) or _escaped(sign) for sign in lacking), error.end


def _escaped(sign: str) -> str:
    return f"\\u{ord(sign):04x}" if ord(sign) < 0x10000 else f"\\U{ord(sign):08x}"
