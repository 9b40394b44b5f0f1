"""What was proven of an array before, where one `null` stands for all of it."""

from dataclasses import dataclass, field

from gateway.stages.locators import Node
from gateway.stages.verdict import Findings


@dataclass(slots=True)
class ProvenPrefix:
    """The proven first elements of the array at `node`, asked for by location number `location`.

    `count` elements gave `findings`; their weights add up to `total`, None when one could not be read.
    """

    node: Node
    location: int
    count: int = 0
    findings: Findings = field(default_factory=Findings)
    total: float | None = 0.0
