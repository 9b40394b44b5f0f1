"""`stage-gateway vocabulary`: the unknown values that running gateways saw, as aliases to paste."""

from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer
from rich.table import Table

from gateway.commands.asking import AdminOption, asked
from gateway.commands.output import JsonOption, print_json, printable, say, show
from gateway.errors import ConfigurationError
from gateway.promotion.comparison import results_with
from gateway.promotion.recorded import RecordedRequests
from gateway.promotion.spellings import Decision, Ruling, Seen, merged, ruling, with_aliases
from gateway.rules.load import load
from gateway.settings import read_settings
from gateway.stages.vocabulary import DEFAULT_CANONICAL, Vocabulary, fingerprint

_WHOSE = MappingProxyType(
    {
        Decision.KNOWN: "nobody's: acceptAliases lets it pass, or the client mends it",
        Decision.CERTAIN: "certain: below to paste",
        Decision.PERSON: "a person's",
    }
)
_HIDDEN = (
    "hides the values that came in; name its token with STAGE_GATEWAY_ADMIN_TOKEN_FILE, or the STATE folder where it "
    "is kept, or ask on its own host"
)


def vocabulary(
    admin: AdminOption = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="File whose aliases the printed ones go on from; default STAGE_GATEWAY_CONFIG or config/gateway.json.",
        ),
    ] = None,
    record: Annotated[
        list[Path] | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="File of serve --record; says what the aliases would change for the requests in it. May be repeated.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Show the values that are not canonical and came in at running gateways, as aliases to paste.

    Only what is certain is put among the aliases: a canonical name but for case and separators. Anything else is a
    person's decision. Exit 0 also when there is none, 1 when a gateway hides its values, 3 when one cannot be reached.

    Example: stage-gateway vocabulary --admin http://127.0.0.1:8081 --config config/gateway.json
    """
    from gateway.server.client import fetch_status  # what speaks HTTP takes long to import

    documents, code = asked(admin, fetch_status)
    for address, document in documents.items():
        if "unknownValues" not in document:
            say(f"{address}: {_HIDDEN}", err=True)
            code = max(code, 1)
    told = {address: document for address, document in documents.items() if "unknownValues" in document}
    if not told:
        return code
    seen = merged(document["unknownValues"] for document in told.values())
    base, settings = _base(config, [document["vocabulary"] for document in told.values()])
    rulings = [(one, ruling(one.value, base)) for one in seen]
    pasted = settings | {"aliases": with_aliases(base, (one.value for one in seen))}
    inspected = sum(
        sum(endpoint["totals"].values()) for document in told.values() for endpoint in document["endpoints"].values()
    )
    changes = {} if record is None else results_with(RecordedRequests(record), load(_file(config)), pasted)
    if as_json:
        print_json({**_as_document(rulings, pasted, base, inspected), "byReplay": changes})
    else:
        _show(rulings, pasted, base, inspected)
        _show_changes(changes)
        for address, document in told.items():
            if document["vocabulary"]["fingerprint"] != base.fingerprint:
                say(f"{address}: has another vocabulary in force than the file that these aliases go on from", err=True)
    return code


def _base(config: Path | None, in_force: list[dict[str, Any]]) -> tuple[Vocabulary, dict[str, Any]]:
    """Return the vocabulary that is gone on from, and as a file has it.

    Without a file, that of the gateways, if it is the default one. Raises ConfigurationError.
    """
    file = _file(config)
    try:
        rules = load(file)
    except ConfigurationError:
        canonical = list(DEFAULT_CANONICAL)
        default = fingerprint(canonical, Vocabulary().aliases)
        if config is not None or file.exists() or any(one["fingerprint"] != default for one in in_force):
            raise
        return Vocabulary(), {"canonical": canonical, "aliases": {}, "acceptAliases": False}
    return rules.policy.vocabulary, dict(rules.document["vocabulary"])


def _file(config: Path | None) -> Path:
    return config or read_settings().config


def _added(pasted: dict[str, Any], base: Vocabulary) -> int:
    return len(pasted["aliases"]) - len(base.aliases)


def _counts(rulings: Iterable[tuple[Seen, Ruling]]) -> dict[str, int]:
    counts = dict.fromkeys(map(str, Decision), 0)
    for seen, ruled in rulings:
        counts[ruled.decision] += seen.count
    return counts


def _as_document(
    rulings: list[tuple[Seen, Ruling]], pasted: dict[str, Any], base: Vocabulary, inspected: int
) -> dict[str, Any]:
    return {
        "values": [
            {
                "value": seen.value,
                "reason": seen.reason,
                "count": seen.count,
                "endpoints": sorted(seen.endpoints),
                "funds": sorted(seen.funds),
                "firstSeen": seen.first,
                "lastSeen": seen.last,
                "suggestion": seen.suggestion,
                "decision": ruled.decision,
                "meaning": ruled.meaning,
                "why": ruled.why,
            }
            for seen, ruled in rulings
        ],
        "counts": _counts(rulings),
        "inspected": inspected,
        "added": _added(pasted, base),
        "vocabulary": pasted,
        "fingerprint": {"now": base.fingerprint, "then": fingerprint(pasted["canonical"], pasted["aliases"])},
    }


def _show(rulings: list[tuple[Seen, Ruling]], pasted: dict[str, Any], base: Vocabulary, inspected: int) -> None:
    if not rulings:
        show("no unknown values")
        return
    table = Table("value", "reason", "count", "endpoints", "funds", "first seen", "last seen", "suggestion", "decision")
    for seen, ruled in rulings:
        table.add_row(
            printable(seen.value),
            seen.reason,
            str(seen.count),
            ", ".join(sorted(seen.endpoints)),
            ", ".join(sorted(seen.funds)) or "–",
            seen.first,
            seen.last,
            seen.suggestion or "–",
            f"{_WHOSE[ruled.decision]} ({ruled.why})",
        )
    show(table, *_told(rulings, inspected))
    if _added(pasted, base):
        show("", "Put this in the place of `vocabulary` in the configuration file:")
        print_json({"vocabulary": pasted})
        then = fingerprint(pasted["canonical"], pasted["aliases"])
        show(f"The vocabulary's fingerprint becomes {then} (now {base.fingerprint}).")
        show("A migration under way does not go on under another one.")
    else:
        show("", "None of them is certain: there is nothing to paste.")


def _told(rulings: list[tuple[Seen, Ruling]], inspected: int) -> list[str]:
    """Return what adding the aliases would change, as far as counts tell."""
    counts = _counts(rulings)
    whole = sum(counts.values())
    known, certain, person = (_share(counts[decision], whole) for decision in Decision)
    return [
        "",
        f"{whole} values of {inspected} inspected requests: {known} are aliases already,",
        f"{certain} would become aliases, {person} are for a person to decide.",
        "An alias is still a violation, of reason `alias`, while `acceptAliases` is false; with true it passes.",
        "How many requests that is, --input FILE says, with a FILE of `stage-gateway serve --record FILE`.",
    ]


def _show_changes(changes: dict[str, dict[str, int]]) -> None:
    if not changes:
        return
    results = sorted({result for counts in changes.values() for result in counts})
    table = Table("of the recorded requests", *(result.replace("_", " ") for result in results))
    for name, counts in changes.items():
        table.add_row(name, *(str(counts.get(result, 0)) for result in results))
    show("", table)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"
