"""`stage-gateway replay`: what a candidate configuration would have done to recorded requests."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from gateway.commands.environment import settings_with
from gateway.commands.output import JsonOption, print_json, printable, say, show
from gateway.promotion.comparison import Comparison
from gateway.promotion.recorded import RecordedRequests
from gateway.promotion.replay import Candidate
from gateway.rules.load import load

_MOST_ROWS = 20


def replay(
    record: Annotated[
        list[Path], typer.Option("--input", metavar="FILE", help="File of serve --record; may be repeated.")
    ],
    config: Annotated[Path, typer.Option("--config", metavar="CANDIDATE", help="Configuration file to try.")],
    examples: Annotated[
        int, typer.Option(min=0, metavar="NUMBER", help="How many examples of more and of fewer refusals are shown.")
    ] = 5,
    as_json: JsonOption = False,
) -> int:
    """Tell what a candidate configuration would have done to recorded requests.

    Exit 1 when it refuses a request that was not refused, or when there is none of which that can be told; else 0.
    "now" is what became of a request when it was recorded, overrides included.

    Example: stage-gateway replay --input requests.ndjson --config config/phases/b-monte-carlo.json
    """
    settings = settings_with(config=config)
    comparison = Comparison(Candidate(load(settings.config, dry_run=settings.dry_run)), examples)
    requests = RecordedRequests(record)
    for one in requests:
        comparison.take(one)
    if as_json:
        print_json({**comparison.as_document(), "broken": requests.broken})
    else:
        _show(comparison, requests.broken)
    told = comparison.requests > sum(comparison.untold.values())
    if not told:
        say("there is no recorded request of which anything can be told", err=True)
    return 0 if told and comparison.all.more == 0 else 1


def _show(comparison: Comparison, broken: int) -> None:
    told, refused = sum(comparison.now.values()), comparison.all
    show(
        f"{comparison.requests} recorded requests, {told} told",
        f"refused now {refused.now}, under the candidate {refused.then}: {refused.more} more, {refused.fewer} fewer",
    )
    results = Table("result", "now", "candidate")
    for name in sorted({*comparison.now, *comparison.then}):
        results.add_row(name.replace("_", " "), str(comparison.now[name]), str(comparison.then[name]))
    if told:
        show(results)
    for name, groups in comparison.groups.items():
        rows = groups.sorted()
        if not rows:
            continue
        table = Table(name, "refused now", "candidate", "more", "fewer")
        for group, tally in rows[:_MOST_ROWS]:
            text = printable(group) if name == "value" or not group.isprintable() else group
            table.add_row(text, *map(str, (tally.now, tally.then, tally.more, tally.fewer)))
        show(table, *([f"… and {len(rows) - _MOST_ROWS} more"] if len(rows) > _MOST_ROWS else []))
    for example in comparison.examples:
        values = ", ".join(printable(value) if isinstance(value, str) else str(value) for value in example["values"])
        fund = f", fund {printable(example['fund'])}" if example["fund"] is not None else ""
        found = f"{example['reason']}{': ' + values if values else ''}"
        show(
            f"{example['change']}: {example['time']} {example['method']} {example['endpoint']}{fund}: "
            f"{example['now']} now, {example['then']} then ({found})"
        )
    for why, count in comparison.untold.most_common():
        show(f"not told: {count}, since {why}")
    if comparison.inexact:
        show(
            f"{comparison.inexact} by another enforcementKey than was recorded: the shares are right, not each request"
        )
    if broken:
        show(f"{broken} lines were broken off, and left out")
