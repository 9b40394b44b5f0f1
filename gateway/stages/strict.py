"""What the incremental parser lets through although it is no JSON to orjson, settled the strict way.

yajl, behind ijson, takes form feeds for white space, escapes for half a character for whole ones, and any depth.
The bytes are therefore looked at before it gets them, a piece at a time. It also keeps a token whole until it
ends: very long strings and numbers are shortened here, so that memory stays flat whatever is sent. Of a string
what is past the first 64 KiB or so is left out, of a number digits that change nothing about its value.
"""

import codecs
import re

from gateway.stages.syntax import SURROGATE

LONG = 64 * 1024  # bytes of one string that the parser is given at most, roughly
# Digits in a row that a number may have. Python reads an integer of 4,300 at most; a float is past its range after
# 309, and its value is settled by the first 1,100 behind the point.
_MAX_DIGITS = 4000

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|[^u])")
_OPEN_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_IN_STRING = re.compile(rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_DIGITS = b"0123456789"
_STRING_OR_MANY_DIGITS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|(?<![0-9])([0-9]{%d})[0-9]+' % _MAX_DIGITS, re.DOTALL)
_HIGH, _LOW = range(0xD800, 0xDC00), range(0xDC00, 0xE000)


class StrictFilter:
    """Passes the bytes of one document on, in order. Raises ValueError at what is no JSON."""

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._carry = b""
        self._in_string = False
        self._token = 0  # bytes of the open string that were passed on
        self._digits = 0  # in a row at the end of what was looked at, outside strings
        self._high = False

    def pass_on(self, piece: bytes) -> bytes:
        """Return what the parser gets for the next piece of the document."""
        self._utf8.decode(piece)
        piece = self._carry + piece
        # Characters and escapes are looked at, and left out, whole.
        end = _open_escape(piece) - len(self._utf8.getstate()[0])
        self._carry = piece[end:]
        piece = piece[:end]
        if _CONTROL.search(piece):
            raise ValueError("a control character")
        bare = piece
        if b"\\" in piece or self._high:
            if self._high or SURROGATE.search(piece):
                self._check_surrogates(piece)
            bare = _ESCAPE.sub(b"", piece)
        return self._shortened(piece, bare.count(b'"'), piece.rfind(b'"'))

    def finish(self) -> bytes:
        """Return what is left for the parser at the end of the document."""
        self._utf8.decode(b"", final=True)
        if self._high:
            raise ValueError("half of a surrogate pair")
        if self._in_string:
            raise ValueError("a string without an end")  # behind the document yajl takes one for nothing
        return self._carry

    def _shortened(self, piece: bytes, quotes: int, last_quote: int) -> bytes:
        """Return the piece without what the parser need not see of a long string or number."""
        began_in_string = self._in_string
        self._in_string = began_in_string ^ bool(quotes % 2)
        if quotes:
            self._token = len(piece) - last_quote
        elif began_in_string:
            if self._token > LONG:
                if _IN_STRING.fullmatch(piece) is None:
                    raise ValueError("a character that cannot stand in a string")
                return b""
            self._token += len(piece)
        return self._without_spare_digits(piece, began_in_string=began_in_string)

    def _without_spare_digits(self, piece: bytes, *, began_in_string: bool) -> bytes:
        before, after = self._digits, len(piece) - len(piece.rstrip(_DIGITS))
        if self._in_string:
            self._digits = 0
        else:
            self._digits = after + (before if after == len(piece) else 0)
        if before:
            going_on = len(piece) - len(piece.lstrip(_DIGITS))
            piece = piece[: max(0, min(going_on, _MAX_DIGITS - before))] + piece[going_on:]
        if not _may_hold_many_digits(piece):
            return piece
        # The quote that opened the string is in an earlier piece.
        opened = b'"' if began_in_string else b""
        return _STRING_OR_MANY_DIGITS.sub(lambda match: match[1] or match[0], opened + piece)[len(opened) :]

    def _check_surrogates(self, piece: bytes) -> None:
        """Refuse an escaped half of a surrogate pair without its other half (RFC 8259, section 7)."""
        end = 0
        for match in _ESCAPE.finditer(piece):
            if self._high and match.start() != end:
                break
            end = match.end()
            unit = int(match[1], 16) if match[1] else 0
            if self._high != (unit in _LOW):
                raise ValueError("half of a surrogate pair")
            self._high = unit in _HIGH
        if self._high and end != len(piece):
            raise ValueError("half of a surrogate pair")


def _may_hold_many_digits(piece: bytes) -> bool:
    """Whether one of the blocks of which each long row of digits fills one or more holds digits alone."""
    block = _MAX_DIGITS // 2
    return len(piece) > _MAX_DIGITS and any(piece[i : i + block].isdigit() for i in range(0, len(piece), block))


def _open_escape(piece: bytes) -> int:
    """Return where an escape begins that the piece does not hold whole, its length when there is none."""
    match = _OPEN_ESCAPE.search(piece, max(0, len(piece) - 6))
    if match is None:
        return len(piece)
    start = match.start()
    before = len(piece[:start]) - len(piece[:start].rstrip(b"\\"))
    return len(piece) if before % 2 else start
