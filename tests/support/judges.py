"""The three judges of a body, asked alike: the exact one, the windowed one, the incremental one."""

from collections.abc import Iterable, Iterator
from random import Random

from gateway.stages.compiled import CompiledPlan, Sizes
from gateway.stages.document import judge_document
from gateway.stages.incremental import IncrementalJudge
from gateway.stages.locators import Plan
from gateway.stages.reasons import Reason
from gateway.stages.rulebook import RuleBook
from gateway.stages.steps import run_to_completion
from gateway.stages.verdict import Findings, whole_request
from gateway.stages.vocabulary import Vocabulary
from gateway.stages.windows import BodyJudge

VOCABULARY = Vocabulary()
EVERYDAY = Sizes()
SMALL = Sizes(window=64, largest=256, collected=512, whole=1024)


def meaning(reason: Reason | None, findings: Findings) -> str:
    """Return all that a verdict says; as text, in which 1, 1.0 and true differ and NaN is itself."""
    return repr(whole_request(reason) if reason is not None else findings.verdict())


def exact(body: bytes, plan: Plan, *, required: bool = False) -> str:
    findings = Findings()
    return meaning(run_to_completion(judge_document(body, plan, VOCABULARY, findings, required=required)), findings)


def body_judge(plan: Plan, *, sizes: Sizes = EVERYDAY, required: bool = False) -> tuple[BodyJudge, Findings]:
    findings = Findings()
    assert plan.root is not None
    return BodyJudge(CompiledPlan(plan, VOCABULARY, sizes), plan.root, findings, required=required), findings


def feed(judge: BodyJudge, chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        for _ in judge.feed(chunk):
            pass


def windowed(chunks: Iterable[bytes], plan: Plan, *, sizes: Sizes = EVERYDAY, required: bool = False) -> str:
    judge, findings = body_judge(plan, sizes=sizes, required=required)
    feed(judge, chunks)
    return meaning(run_to_completion(judge.finish()), findings)


def incremental(chunks: Iterable[bytes], plan: Plan, *, required: bool = False) -> str:
    findings = Findings()
    assert plan.root is not None
    judge = IncrementalJudge(plan.root, RuleBook(plan, VOCABULARY, findings, required=required))
    for chunk in chunks:
        run_to_completion(judge.feed(chunk))
    return meaning(run_to_completion(judge.finish()), findings)


def in_chunks(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


def at_random(body: bytes, random: Random) -> Iterator[bytes]:
    while body:
        size = random.choice((1, 3, 17, 50, 400, 5000))
        yield body[:size]
        body = body[size:]


def assert_all_agree(body: bytes, plan: Plan, *, required: bool = False, sizes: Iterable[Sizes] = (SMALL,)) -> str:
    """Ask every judge, at several chunk borders, and return what all of them mean."""
    wanted = exact(body, plan, required=required)
    for size in (7, 100, 16 * 1024, max(1, len(body))):
        assert incremental(in_chunks(body, size), plan, required=required) == wanted, (size, body[:200])
        for each in (*sizes, EVERYDAY):
            assert windowed(in_chunks(body, size), plan, sizes=each, required=required) == wanted, (
                size,
                each,
                body[:200],
            )
    return wanted
