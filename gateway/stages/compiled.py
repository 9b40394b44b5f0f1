"""What is made once per configuration for the judging of an endpoint's bodies."""

import re
from dataclasses import dataclass

import orjson

from gateway.stages.fast import FastPath
from gateway.stages.locators import Plan
from gateway.stages.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes: of a window, of one that had to grow, of a body without windows that is kept for one parse.

    `whole` is that of a body which, when it is at hand whole, is looked at once.
    """

    window: int = 64 * 1024
    largest: int = 128 * 1024
    collected: int = 128 * 1024
    whole: int = 256 * 1024


class CompiledPlan:
    """One plan with all that is made of it once per configuration and used for each of its bodies."""

    def __init__(self, plan: Plan, vocabulary: Vocabulary, sizes: Sizes = Sizes()) -> None:
        self.plan = plan
        self.vocabulary = vocabulary
        self.sizes = sizes
        array = plan.array
        self.fast = FastPath(plan, vocabulary)
        name = orjson.dumps(array.path[-1]) if array is not None and array.path else None
        opening = rb"[ \t\r\n]*\[" if name is None else re.escape(name) + rb"[ \t\r\n]*:[ \t\r\n]*\["
        self.opening = re.compile(opening)
        self.at_the_top = array is not None and not array.path
