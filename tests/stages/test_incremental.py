"""The incremental judge: names that stand twice, what it and orjson must agree on, and what it knows when."""

import pytest

from gateway.stages.document import judge_document
from gateway.stages.incremental import MAX_NAMES, IncrementalJudge
from gateway.stages.locators import Location, Plan, Shape, parse_pointer
from gateway.stages.reasons import Reason
from gateway.stages.rulebook import RuleBook
from gateway.stages.steps import run_to_completion
from gateway.stages.verdict import Findings
from gateway.stages.vocabulary import Vocabulary

EACH = Plan.of([Location(Shape.EACH, ("D",), field="stage", weight="w")], fund=("fund", "id"))
KEYS = Plan.of([Location(Shape.KEYS, ("K",))])
VALUE = Plan.of([Location(Shape.VALUE, ("a", "b"))])
STAR = Plan.of([Location(Shape.VALUE, ("*", "s"))])
SLASH = Plan.of([Location(Shape.VALUE, ("a/b",))])
ACCENT = Plan.of([Location(Shape.VALUE, ("é",))])
QUOTE = Plan.of([Location(Shape.VALUE, ('"',))])
INDEX = Plan.of([Location(Shape.VALUE, ("a", "1", "s"))])
ROOT = Plan.of([Location(Shape.EACH, parse_pointer(""), field="stage")])

AMBIGUOUS = [
    (EACH, '{"D":[],"D":[]}'),
    (EACH, '{"D":[{"stage":"bad"}],"D":[{"stage":"seed"}]}'),
    (EACH, '{"D":[],"\\u0044":[]}'),
    (EACH, '{"x":[{}],"D":[{"stage":"seed"}],"D":3}'),
    (EACH, '{"D":[{"stage":"Series A","stage":"seed"},{"w":1}]}'),
    (EACH, '{"D":[{"stage":"seed"},{"stage":"bad","stage":"seed"}]}'),
    (EACH, '{"D":[{"stage":"seed","\\u0073tage":"seed"}]}'),
    (EACH, '{"D":[{"\\u0073tage":"bad","st\\u0061ge":"seed"}]}'),
    (EACH, '{"D":[{"stage":"seed","w":1,"w":1}]}'),
    (EACH, '{"D":[{"stage":"seed","w":1,"\\u0077":1}]}'),
    (EACH, '{"D":[{"stage":"seed"}],"fund":{"id":1,"id":2}}'),
    (EACH, '{"D":[{"stage":"seed"}],"fund":{"id":1},"fund":{"id":1}}'),
    (EACH, '{"D":[{"stage":"seed"}],"__proto__":{}}'),
    (EACH, '{"D":[{"stage":"seed"}],"\\u005f_proto__":{}}'),
    (EACH, '{"D":[{"stage":"seed","__proto__":{"stage":"bad"}}]}'),
    (EACH, '{"D":[{"__proto__":{"stage":"bad"}}]}'),
    (EACH, '{"D":[{"stage":"seed"}],"fund":{"id":1,"__proto__":null}}'),
    (KEYS, '{"K":{"seed":1,"seed":2}}'),
    (KEYS, '{"K":{"seed":1,"s\\u0065ed":2}}'),
    (KEYS, '{"K":{"seed":1,"__proto__":2}}'),
    (KEYS, '{"K":{"__proto__":2}}'),
    (KEYS, '{"K":{"bad":1},"K":{"seed":1}}'),
    (KEYS, '{"K":5,"K":{"seed":1}}'),
    (VALUE, '{"a":{"b":"seed","b":"seed"}}'),
    (VALUE, '{"a":{"b":"bad"},"a":{"b":"seed"}}'),
    (VALUE, '{"a":{"b":"bad"},"a":{}}'),
    (VALUE, '{"a":{},"a":1}'),
    (STAR, '{"x":{"s":"seed"},"x":{}}'),
    (STAR, '{"x":1,"x":1}'),
    (STAR, '{"x":{"s":"seed","s":"seed"}}'),
    (STAR, '{"__proto__":{"s":"seed"}}'),
    (STAR, '[{"s":"seed"},{"s":"seed","s":"seed"}]'),
    (SLASH, '{"a/b":"bad","a/b":"seed"}'),
    (SLASH, '{"a\\/b":"bad","a/b":"seed"}'),
    (SLASH, '{"a\\/b":"bad","a\\u002fb":"seed"}'),
    (SLASH, '{"a\\/b":"bad","a\\/b":"seed"}'),
    (ACCENT, '{"é":"bad","é":"seed"}'),
    (ACCENT, '{"é":"bad","\\u00e9":"seed"}'),
    (ACCENT, '{"\\u00E9":"bad","\\u00e9":"seed"}'),
    (QUOTE, '{"\\"":"bad","\\u0022":"seed"}'),
    (INDEX, '{"a":[0,{"s":"bad","s":"seed"}]}'),
    (ROOT, '[{"stage":"bad","stage":"seed"}]'),
]

PLAIN = [
    (EACH, '{"D":[{"stage":"seed"}],"x":1,"x":2}'),
    (EACH, '{"D":[{"stage":"seed","x":1,"x":2}]}'),
    (EACH, '{"D":[{"stage":"seed","x":{"stage":1,"stage":2,"w":1,"w":2,"D":1,"D":1}}]}'),
    (EACH, '{"D":[{"stage":"seed","x":{"__proto__":1}}]}'),
    (EACH, '{"x":{"D":1,"D":2},"D":[{"stage":"seed"},{"stage":"seed"}]}'),
    (EACH, '{"x":[{"__proto__":1}],"D":[{"stage":"seed","note":"__proto__"}]}'),
    (EACH, '{"D":[{"stage":"seed","note":"\\"stage\\":"},{"stage":"seed","note":"stage"}]}'),
    (EACH, '{"D":[{"stage":"seed","é":"\\u0073tage"}],"id":1,"id":2}'),
    (EACH, '{"D":[{"stage":"seed","Stage":"x","stage ":"x"}],"d":1}'),
    (KEYS, '{"K":{"seed":{"seed":1,"seed":2}},"seed":1,"seed":1}'),
    (VALUE, '{"a":{"b":"seed"},"b":1,"b":2}'),
    (VALUE, '{"a":{"b":"seed","a":1,"a":2}}'),
    (VALUE, '{"a":{"b":"seed","c":{"b":1,"b":1,"__proto__":1}}}'),
    (STAR, '{"x":{"s":"seed","t":1,"t":2},"y":{"s":"seed"}}'),
    (SLASH, '{"a\\/b":"seed"}'),
    (ACCENT, '{"\\u00e9":"seed","e":"\\u00e9"}'),
    (INDEX, '{"a":[{"s":1,"s":2},{"s":"seed"},{"s":1,"s":2}]}'),
]


def judged(text: str | bytes, plan: Plan) -> Reason | None:
    """Return what the incremental judge says of a whole document."""
    assert plan.root is not None
    judge = IncrementalJudge(plan.root, RuleBook(plan, Vocabulary(), Findings(), required=False))
    run_to_completion(judge.feed(text.encode() if isinstance(text, str) else text))
    return run_to_completion(judge.finish())


@pytest.mark.parametrize(("plan", "text"), AMBIGUOUS)
def test_a_guarded_name_that_stands_twice_is_ambiguous(plan: Plan, text: str) -> None:
    """A name on the way to a stage, weight or fund id that stands twice, or `__proto__` beside one, is found."""
    assert judged(text, plan) is Reason.AMBIGUOUS_JSON
    assert run_to_completion(judge_document(text.encode(), plan, Vocabulary(), Findings())) is Reason.AMBIGUOUS_JSON


@pytest.mark.parametrize(("plan", "text"), PLAIN)
def test_a_name_elsewhere_may_stand_twice(plan: Plan, text: str) -> None:
    """Duplicates and `__proto__` where no location goes through are nobody's business."""
    assert judged(text, plan) is None
    findings = Findings()
    assert run_to_completion(judge_document(text.encode(), plan, Vocabulary(), findings)) is None
    assert findings.verdict().valid


@pytest.mark.parametrize(
    "text",
    [
        '{"a":',
        '{"a":1e-99999999999999999999}',
        "\x0c[]",
        "[\x0b1]",
        '["\\ud800"]',
        '["\\udc00\\ud800"]',
        '["\\ud83dx"]',
        b'["\xed\xa0\x80"]',
        b'["\xff"]',
        b"\xef\xbb\xbf[]",
        "[" * 1025 + "]" * 1025,
        '{"a":' * 1025 + "1" + "}" * 1025,
    ],
)
def test_what_yajl_takes_and_orjson_does_not_is_unparseable(text: str | bytes) -> None:
    """Where yajl is more lenient than orjson the strict answer holds."""
    assert judged(text, VALUE) is Reason.UNPARSEABLE


@pytest.mark.parametrize(
    "text", ["[" * 1024 + "]" * 1024, "[1e400]", "[-1e400]", '["\\ud83d\\ude00"]', "[" + "1" * 5000 + "]"]
)
def test_what_orjson_takes_or_only_finds_too_large_is_read(text: str) -> None:
    """Depth 1024, whole surrogate pairs and numbers out of range are no findings where nobody asks about them."""
    assert judged(text, VALUE) is None
    assert run_to_completion(judge_document(text.encode(), VALUE, Vocabulary(), Findings())) is None


def opened(plan: Plan, *pieces: bytes, required: bool = False) -> tuple[IncrementalJudge, Findings]:
    assert plan.root is not None
    findings = Findings()
    judge = IncrementalJudge(plan.root, RuleBook(plan, Vocabulary(), findings, required=required))
    for piece in pieces:
        run_to_completion(judge.feed(piece))
    return judge, findings


@pytest.mark.parametrize(
    ("piece", "certain"),
    [
        (b'{"D":[{"stage":"seed"},', False),
        (b'{"D":[{"stage":"bad"', True),
        (b'{"D":[{"w":1}', True),
        (b'{"D":[{"w":1', False),
        (b'{"D":[],"D"', True),
        (b'{"__proto__":', True),
        (b'{"D":7', False),  # the number may go on
        (b'{"D":7,', True),
        (b'{"D":[]x', False),
        (b"\xff", False),
    ],
)
def test_what_can_be_reported_is_certain_as_soon_as_it_is_read(piece: bytes, certain: bool) -> None:
    """A finding or an ambiguous name stands whatever follows; that it is no JSON is only said at the end."""
    judge, _ = opened(EACH, piece)
    assert judge.certain is certain


def test_a_reason_is_known_before_the_end() -> None:
    """An ambiguous document is so at once, and unparseable in the end if what follows is no JSON."""
    for rest, last in ((b"]}", Reason.AMBIGUOUS_JSON), (b"x", Reason.UNPARSEABLE)):
        judge, _ = opened(EACH, b'{"D":[],"D":[', rest)
        assert judge.reason is Reason.AMBIGUOUS_JSON
        assert run_to_completion(judge.finish()) is last


def test_what_is_required_is_missing_when_its_object_ends() -> None:
    """The absence of a location is a finding from the end of the object on that should hold it."""
    plan = Plan.of([Location(Shape.KEYS, ("a", "k"), required=True)])
    before, _ = opened(plan, b'{"a":{"x":1', required=True)
    judge, findings = opened(plan, b'{"a":{"x":1}', required=True)
    assert (before.certain, judge.certain) == (False, True)
    assert findings.verdict().violations[0].pointer == "/a/k"


def test_long_names_differ_by_all_of_their_characters() -> None:
    """Names that begin alike are two names, however long; equal ones stand twice."""
    name = b"n" * 3000
    assert judged(b'{"K":{"%ba":1,"%bb":1}}' % (name, name), KEYS) is None
    assert judged(b'{"K":{"%ba":1,"%ba":1}}' % (name, name), KEYS) is Reason.AMBIGUOUS_JSON


def test_more_names_than_can_be_remembered_are_ambiguous() -> None:
    """Past some number of names nobody can tell in bounded memory that all are different."""
    names = b",".join(b'"%d":{}' % number for number in range(MAX_NAMES + 1))
    assert judged(b"{" + names.rpartition(b",")[0] + b"}", STAR) is None
    assert judged(b"{" + names + b"}", STAR) is Reason.AMBIGUOUS_JSON


@pytest.mark.parametrize("digits", [255, 300, 3999, 4000, 4001, 4400, 20_000])
@pytest.mark.parametrize("form", ["1%s", "-1%s", "0.%s", "1%s.5", "1%s.5e-9"])
@pytest.mark.parametrize("size", [1, 1000, 50_000])
def test_a_number_of_many_digits_is_the_number_orjson_reads(form: str, digits: int, size: int) -> None:
    """The value of a long number does not depend on where the pieces end, and is shown as the exact judge shows it."""
    text = f'{{"a":{{"b":{form % ("7" * digits)}}},"x":{form % ("7" * digits)}}}'.encode()
    judge, findings = opened(VALUE, *(text[start : start + size] for start in range(0, len(text), size)))
    exactly = Findings()
    assert (
        run_to_completion(judge.finish())
        is run_to_completion(judge_document(text, VALUE, Vocabulary(), exactly))
        is None
    )
    assert findings.verdict() == exactly.verdict()
