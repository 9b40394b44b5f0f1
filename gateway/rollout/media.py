"""Whether a body can be looked into, by what its headers say of it.

What can be JSON is looked for loosely and allowed strictly: a server behind the gateway may decode other
charsets and codings, so whatever is not plainly UTF-8 JSON in a known coding is an objection.
Media types: RFC 9110, section 8.3; `+json`: RFC 6839, section 3.1; codings: RFC 9110, section 8.4.
"""

import re
from functools import lru_cache

from gateway.stages.encoding import Coding
from gateway.stages.reasons import Reason

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a pattern, not a password
_MEDIA_TYPE = re.compile(rf"\s*({_TOKEN})/({_TOKEN})\s*((?:;.*)?)", re.DOTALL | re.ASCII)
_PARAMETER = re.compile(rf'\s*;\s*(?:({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*"))?\s*', re.ASCII)


@lru_cache(64)  # nearly all requests say the same
def objection_to_media(content_type: str | None) -> Reason | None:
    """Return CONTENT_TYPE or CHARSET when the type is not JSON in UTF-8, None when it is."""
    match = _MEDIA_TYPE.fullmatch(content_type or "")
    if match is None or not _is_json(match[1].lower(), match[2].lower()):
        return Reason.CONTENT_TYPE
    rest = match[3]
    position = 0
    charsets = []
    while position < len(rest):
        parameter = _PARAMETER.match(rest, position)
        if parameter is None:
            return Reason.CONTENT_TYPE
        position = parameter.end()
        name = (parameter[1] or "").lower()
        if name.startswith("charset"):  # charset* (RFC 8187) included
            charsets.append((name, parameter[2].strip('"').lower()))
    return None if charsets in ([], [("charset", "utf-8")]) else Reason.CHARSET


def _is_json(kind: str, subtype: str) -> bool:
    return kind == "application" and (subtype == "json" or (subtype.endswith("+json") and subtype != "+json"))


@lru_cache(64)
def coding_of(content_encoding: str | None) -> Coding | None:
    """Return the one coding of a body, None when it is another or more than one."""
    try:
        return Coding((content_encoding or "").strip(" \t").lower() or "identity")
    except ValueError:
        return None
