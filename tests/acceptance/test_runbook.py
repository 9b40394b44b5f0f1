"""The runbook, from its top to its bottom, as somebody follows it who has never seen it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clock import eventually
from support.length import LONG
from support.prometheus import binary
from support.rollout_traffic import COMPANIES, SIMULATE, STRATEGIES, STRATEGY, Kind, Outcome
from support.runbook import Part, parts
from support.stand import Stand, share, standing

# What is in force when a section has been followed to its end: the share that is refused, of writes and simulations.
AFTER = {
    "Before you begin": (0, 0),
    "Phase 2.1: baseline": (0, 0),
    "Phase 2.4: indexes": (0, 0),
    "Phase 2.5: migration, with writes enforced": (100, 0),
    "Phase 2.7: dry run": (100, 0),
    "Phase A: portfolio": (100, 0),
    "Phase B: Monte Carlo": (100, 100),
    "Demote one endpoint": (100, 100),
    "The whole way back": (100, 100),
    "Switch the reads": (100, 100),
    "Undo the migration": (100, 100),
    "The snapshot, the last resort": (100, 100),
    "The end": (100, 100),
}


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    for program in ("bash", "curl", "jq"):
        binary(program)
    with standing(tmp_path, long=LONG, dryRun=False) as stand:
        # What the page asks of a person: to correct what nobody can map.
        statement = "UPDATE portfoliocompanies SET stage = 'series-b' WHERE stage = 'Growth';\n"
        (stand.folder / "corrections.sql").write_text(statement)
        yield stand


def test_runbook_runs_as_printed(stand: Stand) -> None:
    """Every block does what the page says, in order, and no request is answered as the phase forbids."""
    setting, *all_parts = parts()
    sections = dict.fromkeys(part.section for part in all_parts)
    assert list(sections) == list(AFTER)
    for section in sections:
        for part in all_parts:
            if part.section == section:
                follow(stand, setting, part)
        writes, simulations = AFTER[section]
        found = {STRATEGIES: writes, STRATEGY: writes, SIMULATE: simulations, COMPANIES: 0}
        assert share(stand) == found, section
    counts = stand.traffic.check()
    assert counts[Kind.WRONG, Outcome.REFUSED] > 0
    assert stand.execute("SELECT to_regclass('stage_migration_batches')") == [(None,)]


def follow(stand: Stand, setting: Part, part: Part) -> None:
    """Paste a part into a shell in which the first block of the page was pasted before."""
    said = []

    def is_answered() -> bool:
        done = stand.run("bash", "-c", f"set -e -o pipefail\n{setting.script}\n{part.script}")
        said.append(f"{part.section}\n{part.script}\nends with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.returncode == part.code and part.word in done.stdout + done.stderr

    if part.only_asks:
        stand.traffic.fill(stand.enough)
        eventually(is_answered, timeout=60)
        return
    with stand.changing(back=part.leads_back):
        assert is_answered(), said[-1]
