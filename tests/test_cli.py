"""The command line: arguments, messages, exit codes. Every command runs as a process, as people run it."""

import io
import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
from support.clock import PATIENCE
from support.process import COMMAND, Gateway, configuration
from typer.main import get_command

from gateway.cli import command_line, main

STRATEGIES = "/api/portfolio/strategies"
COMMANDS = ["serve", "demo", "check", "schema", "explain", "status", "mode", "vocabulary", "replay"]
BAD = {"upstreams": {}, "defaultMode": "loud"}


@dataclass(frozen=True)
class Ended:
    """What a command came to."""

    code: int
    out: str
    err: str


def environment(given: Mapping[str, str] | None) -> dict[str, str]:
    """Return the environment without the gateway's own variables, and with these."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("STAGE_GATEWAY_") and k != "DRY_RUN"}
    return {**inherited, "COLUMNS": "80", **(given or {})}


def run(*arguments: str | Path, env: Mapping[str, str] | None = None, stdin: bytes = b"") -> Ended:
    """Run a command that serves nothing, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in set(os.environ) - set(environment(env)):
            patch.delenv(name)
        for name, value in environment(env).items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main([str(argument) for argument in arguments])
    return Ended(code, out.getvalue(), err.getvalue())


def run_process(
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    stdout: int | IO[bytes] = subprocess.PIPE,
    cwd: Path | None = None,
) -> Ended:
    """Run the installed command to its end."""
    made = subprocess.run(
        [COMMAND, *arguments],
        env=environment(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=PATIENCE,
        check=False,
    )
    return Ended(made.returncode, (made.stdout or b"").decode(), made.stderr.decode())


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def write(document: Mapping[str, Any] | None = None, **members: Any) -> Path:
        path = tmp_path / "gateway.json"
        path.write_text(json.dumps(document if document is not None else configuration(1, 2, **members)))
        return path

    return write


@pytest.fixture
def allocation(tmp_path: Path) -> Path:
    path = tmp_path / "body.json"
    path.write_text('{"stageAllocation": {"Series A": 1}}')
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(command: str) -> None:
    """`--help` shows an example that stands on one line and is a command of ours."""
    made = run_process(command, "--help")
    assert made.code == 0
    [example] = [line.strip() for line in made.out.splitlines() if line.strip().startswith("Example: ")]
    words = shlex.split(example.removeprefix("Example: "))
    assert words[:2] == ["stage-gateway", command]


def test_options_name_what_they_take() -> None:
    """Every option that takes a value says in the help what it is, and not which type of Python."""

    def options(command: Any) -> Iterator[Any]:
        yield from (option for option in command.params if option.param_type_name == "option" and not option.is_flag)
        for below in getattr(command, "commands", {}).values():
            yield from options(below)

    found = list(options(get_command(command_line())))
    assert len(found) > 20
    assert [option.opts for option in found if option.metavar is None] == []


@pytest.mark.parametrize("command", ["check", "schema", "explain"])
def test_example_of_help_works(command: str) -> None:
    """The example of a command that asks no running gateway can be copied, and does what it says."""
    [example] = [line for line in run_process(command, "--help").out.splitlines() if "Example: " in line]
    words = shlex.split(example.partition(" > ")[0])
    made = run_process(*words[2:], cwd=Path(__file__).parents[1])
    assert made.code == 0
    assert made.out


def test_help_lists_the_commands_and_exit_codes() -> None:
    """The general help names every command and what the exit codes mean."""
    made = run_process("--help")
    assert made.code == 0
    assert all(f"\n  {command} " in made.out for command in COMMANDS)
    assert "70 a fault of the gateway" in " ".join(made.out.split())


def test_no_command_shows_the_help_as_wrong_usage() -> None:
    """Without a command the help is shown, on standard error, with exit code 2."""
    made = run_process()
    assert (made.code, made.out) == (2, "")
    assert made.err.startswith("Usage: stage-gateway")


def test_version_is_printed() -> None:
    """`--version` prints the version."""
    made = run("--version")
    assert (made.code, made.out.split()[0]) == (0, "stage-gateway")


USAGE = [
    (["nonsense"], "error: No such command 'nonsense'; see stage-gateway --help"),
    (["check", "--nonsense"], "error: No such option: --nonsense; see stage-gateway check --help"),
    (["serve", "extra"], "error: Got unexpected extra argument(s) (extra); see stage-gateway serve --help"),
    (["explain", "--method", "GET"], "error: Missing option '--path'; see stage-gateway explain --help"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE, ids=[row[1] for row in USAGE])
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str], message: str) -> None:
    """Wrong usage is told in one line on standard error."""
    made = run(*arguments)
    assert (made.code, made.out, made.err) == (2, "", message + "\n")


def test_port_that_is_none_is_wrong_usage() -> None:
    """A port for metrics past 65535 is told in one line, with the command whose help says more."""
    made = run("migrate", "run", "--metrics-port", "70000")
    assert (made.code, made.out, made.err.count("\n")) == (2, "", 1)
    assert "65535" in made.err
    assert made.err.endswith("; see stage-gateway migrate run --help\n")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--header", "no colon", "'no colon' is no header, expected 'Name: value'"),
        ("--header", ": value", "': value' is no header, expected 'Name: value'"),
        ("--body", "/nowhere", "/nowhere: No such file or directory"),
        ("--body", "/", "/: Is a directory"),
    ],
)
def test_wrong_values_of_explain_are_named(file: Callable[..., Path], option: str, value: str, message: str) -> None:
    """A header that is none, and a body that cannot be read, are wrong usage."""
    made = run("explain", "--method", "GET", "--path", "/", "--config", file(), option, value)
    assert (made.code, made.err) == (
        2,
        f"error: Invalid value for {option}: {message}; see stage-gateway explain --help\n",
    )


@pytest.mark.parametrize(
    "command", [["serve"], ["check"], ["check", "--json"], ["explain", "--method", "GET", "--path", "/"]]
)
def test_bad_configuration_is_told_whole_with_exit_code_2(file: Callable[..., Path], command: list[str]) -> None:
    """Every command that reads the file tells every fault of it, a line each, and nothing else."""
    path = file(BAD)
    made = run_process(*command, "--config", path)
    assert (made.code, made.out) == (2, "")
    assert made.err.splitlines() == [
        f"{path}: $.defaultMode: got \"loud\", expected 'off', 'warn' or 'enforce'",
        f"{path}: $.upstreams: got {{}}, expected at least one",
    ]


def test_file_is_found_by_option_then_environment_then_default(file: Callable[..., Path], tmp_path: Path) -> None:
    """`--config` comes before STAGE_GATEWAY_CONFIG, that before config/gateway.json."""
    elsewhere = {"STAGE_GATEWAY_CONFIG": "/nowhere"}
    path = file()
    assert run("check", "--config", path, env=elsewhere).code == 0
    assert run("check", env={"STAGE_GATEWAY_CONFIG": str(path)}).code == 0
    missing = "no such file; name another with --config or STAGE_GATEWAY_CONFIG\n"
    assert run("check", env=elsewhere).err == f"/nowhere: {missing}"
    assert run_process("check", cwd=tmp_path).err == f"config/gateway.json: {missing}"


@pytest.mark.parametrize("command", COMMANDS[:3] + COMMANDS[5:-1])
def test_wrong_environment_is_told_by_the_variables_names(command: str) -> None:
    """Wrong variables end a command with exit code 2, each named, whatever else is given."""
    made = run_process(command, env={"STAGE_GATEWAY_PORT": "abc", "DRY_RUN": "maybe"})
    assert made.code == 2
    assert [line.split(": got ")[0] for line in made.err.splitlines()] == [
        "environment: STAGE_GATEWAY_PORT",
        "environment: DRY_RUN",
    ]


def test_check_tells_fingerprints_and_warns(file: Callable[..., Path]) -> None:
    """A good file is told so with its fingerprints; what cannot take effect is a warning on standard error."""
    path = file(dryRun=True, enforceWriteOnly=True, endpointMode={"/api/monte-carlo/simulate": "enforce"})
    made = run("check", "--config", path, env={"DRY_RUN": "false"})
    assert made.code == 0
    assert made.out.startswith(f"{path}: good (configuration ")
    first, second = made.err.splitlines()
    assert first.startswith('warning: $.endpointMode["/api/monte-carlo/simulate"]: enforce has no effect')
    assert second == "warning: $.dryRun: true has no effect, DRY_RUN=false wins"


def test_variable_that_nobody_reads_is_warned_of(file: Callable[..., Path]) -> None:
    """`check` warns of a variable with the prefix that is no setting, and is good all the same."""
    given = {"STAGE_GATEWAY_DRYRUN": "true", "STAGE_GATEWAY_SERVICE_HOST": "10.0.0.1"}
    line = "environment: STAGE_GATEWAY_DRYRUN is read by nothing, did you mean 'STAGE_GATEWAY_DRY_RUN'?"
    made = run("check", "--config", file(), env=given)
    assert (made.code, made.err) == (0, f"warning: {line}\n")
    assert json.loads(run("check", "--config", file(), "--json", env=given).out)["warnings"] == [line]


def test_check_print_shows_a_file_that_loads(file: Callable[..., Path], tmp_path: Path) -> None:
    """What `--print` shows has all defaults, that weights are not looked at too, and is a file that means the same."""
    path = file(endpointMode={STRATEGIES: "enforce"})
    shown = run("check", "--config", path, "--print")
    again = tmp_path / "again.json"
    again.write_text(shown.out)
    before, after = (json.loads(run("check", "--config", name, "--json").out) for name in (path, again))
    assert before["config"] == after["config"]
    assert json.loads(shown.out)["limits"]["drainSeconds"] == 30
    assert [endpoint["weightTolerance"] for endpoint in json.loads(shown.out)["endpoints"].values()] == [None] * 4


def test_json_of_check_parses(file: Callable[..., Path]) -> None:
    """`check --json` prints source, fingerprints and warnings, with `--print` the document."""
    path = file(dryRun=True)
    made = json.loads(run("check", "--config", path, "--json", "--print", env={"DRY_RUN": "false"}).out)
    assert made["source"] == str(path)
    assert len(made["config"]) == len(made["vocabulary"]) == 16
    assert len(made["warnings"]) == 1
    assert made["document"]["dryRun"] is True


EXPLAIN = ["explain", "--method", "POST", "--path", STRATEGIES, "--header", "Content-Type: application/json"]


@pytest.mark.parametrize(("mode", "code", "outcome"), [("enforce", 1, "reject"), ("warn", 0, "warn")])
def test_explain_answers_by_its_exit_code(
    file: Callable[..., Path], allocation: Path, mode: str, code: int, outcome: str
) -> None:
    """A request that would be refused is exit code 1, any other 0; `--json` says the same and why."""
    path = file(defaultMode=mode)
    told = run(*EXPLAIN, "--body", allocation, "--config", path)
    assert told.code == code
    assert f"\nresult:     {outcome}" in told.out or f"\nresult:      {outcome}" in told.out
    made = run(*EXPLAIN, "--body", "-", "--config", path, "--json", stdin=allocation.read_bytes())
    document = json.loads(made.out)
    assert (made.code, document["outcome"], document["reason"], document["count"]) == (code, outcome, "alias", 1)
    assert (document["problem"] is not None) is (code == 1)
    assert [step["topic"] for step in document["steps"]][:3] == ["route", "endpoint", "mode"]


def test_explain_refuses_a_head_that_no_server_takes(file: Callable[..., Path]) -> None:
    """A head that is refused in every mode is exit code 1 as well, with its problem document."""
    made = run("explain", "--method", "TRACE", "--path", "/", "--config", file(), "--json")
    document = json.loads(made.out)
    assert (made.code, document["outcome"], document["status"]) == (1, "refused", 405)
    assert document["problem"]["type"] == "urn:stage-gateway:method_not_allowed"


def test_dry_run_of_the_environment_reaches_explain(file: Callable[..., Path], allocation: Path) -> None:
    """DRY_RUN wins over the file: a warning is one that would be refused, or no longer one."""
    for in_file, given, outcome in ((False, "true", "would_reject"), (True, "false", "warn")):
        path = file(dryRun=in_file)
        made = run(*EXPLAIN, "--body", allocation, "--config", path, "--json", env={"DRY_RUN": given})
        assert json.loads(made.out)["outcome"] == outcome


@pytest.mark.parametrize("variable", ["STAGE_GATEWAY_PORT", "STAGE_GATEWAY_ADMIN_PORT"])
@pytest.mark.parametrize("command", ["serve", "demo"])
def test_port_in_use_is_one_message(file: Callable[..., Path], tmp_path: Path, command: str, variable: str) -> None:
    """A port that is taken is named, with the variable that changes it, and exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        env = {
            "STAGE_GATEWAY_CONFIG": str(file()),
            "STAGE_GATEWAY_STATE": str(tmp_path),
            "STAGE_GATEWAY_HOST": "127.0.0.1",
            "STAGE_GATEWAY_PORT": "0",
            "STAGE_GATEWAY_ADMIN_PORT": "0",
            variable: str(port),
        }
        made = run_process(command, env=env)
    assert made.code == 2
    assert made.err == f"127.0.0.1:{port} is in use; stop the other process or set {variable}\n"


def test_status_of_a_running_gateway(serve: Callable[..., Gateway], file: Callable[..., Path]) -> None:
    """`status` shows every endpoint with mode and counts; `--json` prints a document by address."""
    gateway = serve(configuration(1, defaultMode="enforce"))
    address = f"http://127.0.0.1:{gateway.admin}"
    env = {"STAGE_GATEWAY_ADMIN_PORT": str(gateway.admin), "COLUMNS": "40"}  # narrow, and yet nothing is cut off
    made = run("status", env=env)
    assert made.code == 0
    assert made.out.startswith(address)
    assert all(pattern in made.out for pattern in gateway.status()["endpoints"])
    both = run("status", "--admin", address, "--admin", "http://127.0.0.1:1", "--json")
    assert both.code == 3
    assert list(json.loads(both.out)) == [address]
    assert both.err.startswith("http://127.0.0.1:1/status: cannot be asked: ")
    gateway.write("{")
    gateway.reload()
    assert "last reload failed" in run("status", env=env).out


NOBODY = [
    ["http://127.0.0.1:1"],
    ["http://127.0.0.1:1", "http://127.0.0.1:2"],
    ["http://nowhere.invalid"],
    ["nonsense"],
    ["127.0.0.1:8081"],
    ["localhost:8081"],
]


@pytest.mark.parametrize("addresses", NOBODY, ids=" ".join)
def test_status_of_nobody_is_exit_code_3(addresses: list[str]) -> None:
    """What cannot be asked is named, each in a line, and is exit code 3."""
    options = [word for address in addresses for word in ("--admin", address)]
    made = run("status", *options)
    assert (made.code, made.out) == (3, "")
    assert [line.split("/status: ")[0] for line in made.err.splitlines()] == addresses
    assert json.loads(run("status", *options, "--json").out) == {}
    assert all("http://" in line for line in made.err.splitlines())
    assert run("mode", *options).out == ""  # nobody said that nothing is held


@pytest.mark.parametrize("command", [["schema"], EXPLAIN, ["check"]], ids=["schema", "explain", "check"])
def test_answer_that_cannot_be_written_is_no_no(file: Callable[..., Path], command: list[str]) -> None:
    """When the disk is full the exit code is 70, and not the 1 of a refusal."""
    env = {"STAGE_GATEWAY_CONFIG": str(file())}
    with Path("/dev/full").open("wb") as full:
        made = run_process(*command, env=env, stdout=full)
    assert made.code == 70
    assert "No space left on device" in made.err


@pytest.mark.parametrize("command", [["schema"], EXPLAIN, ["check"]], ids=["schema", "explain", "check"])
def test_reader_that_went_away_is_no_no(file: Callable[..., Path], command: list[str]) -> None:
    """When nobody reads the answer the command was interrupted: 130, without a word."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        made = run_process(*command, env={"STAGE_GATEWAY_CONFIG": str(file())}, stdout=writing)
    finally:
        os.close(writing)
    assert (made.code, made.err) == (130, "")
