"""Why a request is invalid: each reason with its status, scope, headline and detail.

A reason that lacks one of them fails at import.

The statuses: 422 for what a stage, or the JSON that holds it, is wrong about (RFC 9110, section 15.5.21); 415 for a
body that cannot be looked into (15.5.16), 413 for one that is too large (15.5.14), 400 for a request that servers
would read in two ways, 500 for a fault of the validator.
"""

from enum import Enum, StrEnum


class Scope(Enum):
    """What a reason is about."""

    VALUE = "single stages; others may be found beside it"
    REQUEST = "the whole request; it ends the inspection"


_STAGE = "Invalid investment stage"
_BODY = "Unprocessable Entity"
_MEDIA = "Unsupported Media Type"
_NOT_CANONICAL = "{found} stage values are not canonical"


class Reason(StrEnum):
    """Why a request is invalid. The values are the words of the 422 body, the headers and the metrics.

    `status`, `headline` (there its title) and `detail` are those of the problem document when it is refused; `detail`
    may have a place for what was `{found}`.
    """

    status: int
    scope: Scope
    headline: str
    detail: str

    DISALLOWED_VALUE = "disallowed_value", 422, Scope.VALUE, _STAGE, _NOT_CANONICAL
    ALIAS = "alias", 422, Scope.VALUE, _STAGE, _NOT_CANONICAL
    WRONG_TYPE = "wrong_type", 422, Scope.VALUE, _STAGE, _NOT_CANONICAL
    MISSING = "missing", 422, Scope.VALUE, _STAGE, _NOT_CANONICAL
    WEIGHT_SUM = "weight_sum", 422, Scope.VALUE, _STAGE, "the weights of the stages do not sum to 1"
    UNPARSEABLE = "unparseable", 422, Scope.REQUEST, _BODY, "the body is not valid JSON in UTF-8"
    AMBIGUOUS_JSON = (
        "ambiguous_json",
        422,
        Scope.REQUEST,
        _BODY,
        "a member name on the way to a stage stands twice, or beside `__proto__`",
    )
    CONTENT_TYPE = (
        "content_type",
        415,
        Scope.REQUEST,
        _MEDIA,
        "a body must be application/json or application/*+json",
    )
    CHARSET = "charset", 415, Scope.REQUEST, _MEDIA, "the charset of a JSON body must be utf-8"
    ENCODING = (
        "encoding",
        415,
        Scope.REQUEST,
        _MEDIA,
        "the content coding must be identity, one gzip or one deflate",
    )
    ENCODING_BAD = "encoding_bad", 422, Scope.REQUEST, _BODY, "the body does not decode with its content coding"
    TOO_LARGE = (
        "too_large",
        413,
        Scope.REQUEST,
        "Request Entity Too Large",
        "the body is larger than this endpoint accepts, as sent or decoded",
    )
    AMBIGUOUS_PATH = (
        "ambiguous_path",
        400,
        Scope.REQUEST,
        "Bad Request",
        "the path is an endpoint only after normalising; send it in its plain form",
    )
    METHOD_OVERRIDE = (
        "method_override",
        400,
        Scope.REQUEST,
        "Bad Request",
        "a method-override header is not accepted here; use the method itself",
    )
    INTERNAL_ERROR = (
        "internal_error",
        500,
        Scope.REQUEST,
        "Internal Server Error",
        "the validator failed; the request was not forwarded",
    )

    def __new__(cls, word: str, status: int, scope: Scope, headline: str, detail: str) -> "Reason":
        """Make a member that is its word."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.status, member.scope, member.headline, member.detail = status, scope, headline, detail
        return member

    @property
    def is_whole(self) -> bool:
        """Whether it is about the whole request."""
        return self.scope is Scope.REQUEST
