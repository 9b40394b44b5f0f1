"""`stage-gateway vocabulary` on running gateways: what it prints, and how it exits."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from urllib.parse import quote

import pytest
from support.clock import eventually
from support.process import Gateway, Serve, configuration
from support.prometheus import free_port
from support.upstream import RecordingUpstream
from support.wire import exchange, request

from gateway.cli import main
from gateway.rules.load import parse
from gateway.stages.vocabulary import default_aliases

COMPANIES = "/api/funds/:fundId/companies"


@pytest.fixture
def gateways(serve: Serve, recorder: RecordingUpstream) -> list[Gateway]:
    return [serve(configuration(recorder.port)) for _ in range(2)]


def see(gateway: Gateway, fund: int, *values: str) -> None:
    for value in values:
        exchange(gateway.port, request("GET", f"/api/funds/{fund}/companies?stage={quote(value)}"))


def run(gateways: list[Gateway], *words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    admins = [word for one in gateways for word in ("--admin", f"http://127.0.0.1:{one.admin}")]
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["vocabulary", *admins, "--config", str(gateways[0].file), *words])
    return code, out.getvalue(), err.getvalue()


def test_nothing_unknown(gateways: list[Gateway]) -> None:
    """Where nothing unknown came in, the command says so and exits 0."""
    assert run(gateways) == (0, "no unknown values\n", "")


def test_aliases_to_paste(gateways: list[Gateway]) -> None:
    """What all gateways saw is one list, and what is certain is a vocabulary that a configuration file takes whole."""
    see(gateways[0], 7, "Series.A", "seriesc", "Series A")
    see(gateways[1], 8, "Series.A", "sreies-a", "seed")
    code, out, err = run(gateways, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    found = {one["value"]: one for one in told["values"]}
    assert {value: one["decision"] for value, one in found.items()} == {
        "Series.A": "certain",
        "seriesc": "person",
        "Series A": "known",
        "sreies-a": "person",
    }
    assert (found["Series.A"]["count"], found["Series.A"]["funds"]) == (2, ["7", "8"])
    assert found["Series.A"]["endpoints"] == [COMPANIES]
    assert found["sreies-a"]["suggestion"] == "series-a"
    assert (told["inspected"], told["added"]) == (6, 1)
    aliases = told["vocabulary"]["aliases"]
    assert aliases == {**default_aliases(told["vocabulary"]["canonical"]), "series.a": "series-a"}
    pasted = parse(json.dumps(configuration(1, vocabulary=told["vocabulary"]))).policy.vocabulary
    assert pasted.fingerprint == told["fingerprint"]["then"] != told["fingerprint"]["now"]
    assert pasted.resolve("SERIES.A") == "series-a"
    code, out, _ = run(gateways)
    assert code == 0
    pasted_text = out[out.index("{") : out.rindex("}") + 1]
    assert json.loads(pasted_text) == {"vocabulary": told["vocabulary"]}


def test_values_are_shown_safely(gateways: list[Gateway]) -> None:
    """What a client sent cannot act on the terminal of whoever looks at it."""
    see(gateways[0], 7, "\x1b[31mred", "\u202eright to left", "\x9b0m")
    for words in ([], ["--json"]):
        _, out, _ = run(gateways, *words)
        assert not {"\x1b", "\u202e", "\x9b"} & set(out)
        assert all(escape in out for escape in ("\\u001b[31mred", "\\u202eright", "\\u009b0m"))


def test_gateway_that_is_not_there(gateways: list[Gateway], tmp_path: Path) -> None:
    """One that cannot be reached is named and makes the exit code 3; the others are told of all the same."""
    see(gateways[0], 7, "Series.A")
    out, err = io.StringIO(), io.StringIO()
    away = f"http://127.0.0.1:{free_port()}"
    words = ["--admin", away, "--admin", f"http://127.0.0.1:{gateways[0].admin}", "--config", str(gateways[0].file)]
    with redirect_stdout(out), redirect_stderr(err):
        assert main(["vocabulary", *words]) == 3
    assert away in err.getvalue()
    assert "Series.A" in out.getvalue()


def test_what_aliases_would_change(recorder: RecordingUpstream, tmp_path: Path) -> None:
    """With a record, the command says what the aliases alone would change, and what they would with acceptAliases."""
    file = tmp_path / "record"
    options = ["--record", str(file), "--record-per-second", "1000"]
    with Gateway(tmp_path, configuration(recorder.port, dryRun=True), options=options) as gateway:
        for value in ("Series.A", "Series A", "seriesc", "seed"):
            exchange(gateway.port, request("POST", f"/api/funds/7/companies?stage={quote(value)}"))
        eventually(lambda: len(file.read_bytes().splitlines()) == 4)
        code, out, _ = run([gateway], "--input", str(file), "--json")
        assert code == 0
        assert json.loads(out)["byReplay"] == {
            "as they are": {"would_reject": 3, "pass": 1},
            "with the aliases": {"would_reject": 3, "pass": 1},
            "with the aliases and acceptAliases": {"would_reject": 1, "pass": 3},
        }
        code, out, _ = run([gateway], "--input", str(file))
        assert (code, "with the aliases and acceptAliases" in out) == (0, True)
