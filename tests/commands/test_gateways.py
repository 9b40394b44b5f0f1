"""`stage-gateway status` and `mode` on running gateways: what they print, and how they exit."""

import getpass
import io
import json
import os
import pty
import socket
import subprocess
from contextlib import redirect_stderr, redirect_stdout, suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from support.process import COMMAND, Gateway, Serve, configuration
from support.prometheus import free_port
from support.upstream import RecordingUpstream, answer

from gateway.cli import main

STRATEGIES = "/api/portfolio/strategies"
SIMULATE = "/api/monte-carlo/simulate"
TOKEN = "the token of the tests"


class Ended(NamedTuple):
    """A command that came to its end."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(TOKEN)
    return file


@pytest.fixture(scope="module")
def pair(serve: Serve, recorder: RecordingUpstream, token: Path) -> tuple[Gateway, Gateway]:
    modes = {STRATEGIES: "enforce", SIMULATE: "enforce"}
    config = configuration(recorder.port, endpointMode=modes)
    environment = {"STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(token)}
    return serve(config, environment), serve(config, environment)


@pytest.fixture
def gateways(pair: tuple[Gateway, Gateway], token: Path, tmp_path: Path) -> tuple[Gateway, Gateway]:
    """Let go of everything that a test has left."""
    admins = [option for gateway in pair for option in ("--admin", address(gateway))]
    for endpoint in (STRATEGIES, SIMULATE):
        assert run(token, tmp_path, "mode", "--clear", endpoint, *admins).code == 0
    return pair


def address(gateway: Gateway) -> str:
    return f"http://127.0.0.1:{gateway.admin}"


def run(token: Path | None, folder: Path, *arguments: str, **environment: str) -> Ended:
    """Run a command in this process, with this token file."""
    out, err = io.StringIO(), io.StringIO()
    own = {"COLUMNS": "250", "STAGE_GATEWAY_STATE": str(folder / "state"), **environment}
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in [name for name in os.environ if name.startswith("STAGE_GATEWAY_")]:
            patch.delenv(name)
        if token is not None:
            own["STAGE_GATEWAY_ADMIN_TOKEN_FILE"] = str(token)
        for name, value in own.items():
            patch.setenv(name, value)
        code = main(list(arguments))
    return Ended(code, out.getvalue(), err.getvalue())


def on_terminal(columns: int, token: Path, *arguments: str) -> list[str]:
    """Run a command on a terminal of so many columns; returns the lines that it shows there."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(token), "COLUMNS": str(columns), "TERM": "dumb"}
    subprocess.run([COMMAND, *arguments], stdout=theirs, env=environment, check=True)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # how a terminal says that nobody is at its other end any more
        while chunk := os.read(ours, 65536):
            shown += chunk
    os.close(ours)
    return shown.decode().replace("\r\n", "\n").splitlines()


class Commands:
    """Runs commands for one or more gateways."""

    def __init__(self, token: Path, folder: Path, *addresses: str) -> None:
        self._token = token
        self._folder = folder
        self._admins = [option for one in addresses for option in ("--admin", one)]

    def __call__(self, *arguments: str) -> Ended:
        return run(self._token, self._folder, *arguments, *self._admins)


@pytest.fixture
def both(gateways: tuple[Gateway, Gateway], token: Path, tmp_path: Path) -> Commands:
    return Commands(token, tmp_path, *map(address, gateways))


@pytest.fixture
def one(gateways: tuple[Gateway, Gateway], token: Path, tmp_path: Path) -> Commands:
    return Commands(token, tmp_path, address(gateways[0]))


def lasting(override: dict[str, str]) -> float:
    """Return for how many seconds something is held; the two times are ISO 8601 in UTC."""
    assert override["since"].endswith("Z")
    return (datetime.fromisoformat(override["until"]) - datetime.fromisoformat(override["since"])).total_seconds()


def mode(gateway: Gateway, endpoint: str = STRATEGIES) -> str:
    found: str = gateway.status()["endpoints"][endpoint]["mode"]
    return found


class TestStatus:
    def test_table(self, both: Commands, gateways: tuple[Gateway, Gateway]) -> None:
        """Every gateway has a table with mode, percentage, override and totals of each endpoint."""
        both("mode", STRATEGIES, "warn", "--reason", "r")
        ended = both("status")
        assert (ended.code, ended.err) == (0, "")
        for gateway in gateways:
            assert f"{address(gateway)}  version" in ended.out
        rows = [line.split() for line in ended.out.splitlines() if STRATEGIES in line.split()]
        assert len(rows) == 2
        assert all({"warn", "0", "person"} <= set(row) for row in rows)

    def test_eighty_columns(self, one: Commands, token: Path, gateways: tuple[Gateway, Gateway]) -> None:
        """On a terminal of 80 columns every endpoint's name stands whole in one line, its figures below."""
        one("mode", STRATEGIES, "warn", "--reason", "r")
        for command in ("status", "mode"):
            lines = on_terminal(80, token, command, "--admin", address(gateways[0]))
            assert not any("┃" in line or "│" in line for line in lines)
            names = [line for line in lines if line.startswith("/api/")]
            expected = gateways[0].status()["endpoints"] if command == "status" else [STRATEGIES]
            assert names == list(expected)
            below = " ".join("\n".join(lines).partition(f"{STRATEGIES}\n")[2].partition("\n/api/")[0].split())
            told = ("mode warn", "percent 0", "override person", "would reject 0") if command == "status" else ()
            assert all(part in below for part in (*told, "mode warn"))
            assert command == "status" or "ends when it is cleared" in below

    def test_json(self, both: Commands, gateways: tuple[Gateway, Gateway]) -> None:
        """With `--json` the documents stand by address."""
        documents = json.loads(both("status", "--json").out)
        assert list(documents) == [address(gateway) for gateway in gateways]
        assert documents[address(gateways[0])]["endpoints"][STRATEGIES]["mode"] == "enforce"

    def test_one_of_two_cannot_be_reached(self, gateways: tuple[Gateway, Gateway], token: Path, tmp_path: Path) -> None:
        """What answers is shown, every address that does not is named, and the exit is 3."""
        dead = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
        ended = Commands(token, tmp_path, dead[0], address(gateways[0]), dead[1])("status", "--json")
        assert ended.code == 3
        assert list(json.loads(ended.out)) == [address(gateways[0])]
        assert [line.partition("/status")[0] for line in ended.err.splitlines()] == dead

    def test_error_of_the_store(self, gateways: tuple[Gateway, Gateway], token: Path, tmp_path: Path) -> None:
        """What is wrong with the store of overrides stands below the table."""
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "overrides.json").write_text("{")
        config = json.loads(gateways[0].file.read_text())
        with Gateway(tmp_path, config, {"STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(token)}) as gateway:
            ended = Commands(token, tmp_path, address(gateway))("status")
        assert ended.code == 0
        assert "overrides.json: is damaged" in ended.out
        assert "damaged_state" in ended.out


class TestMode:
    def test_hold_and_clear(self, both: Commands, gateways: tuple[Gateway, Gateway]) -> None:
        """An endpoint is held and let go of on every gateway that is named, and each is told."""
        ended = both("mode", STRATEGIES, "warn", "--reason", "partner")
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.splitlines() == [f"{address(g)}  {STRATEGIES} is in warn" for g in gateways]
        assert [mode(gateway) for gateway in gateways] == ["warn", "warn"]
        ended = both("mode", "--clear", STRATEGIES)
        assert (ended.code, [mode(gateway) for gateway in gateways]) == (0, ["enforce", "enforce"])
        assert ended.out.count("is in enforce") == 2

    def test_what_is_held(self, both: Commands, one: Commands, gateways: tuple[Gateway, Gateway]) -> None:
        """Without arguments it shows what is held where, by whom, why, since when and until when."""
        assert both("mode").out.strip() == "nothing is held"
        one("mode", STRATEGIES, "off", "--reason", "partner sends old names", "--for", "2h")
        ended = both("mode")
        [row] = [line for line in ended.out.splitlines() if STRATEGIES in line]
        assert ended.code == 0
        assert all(part in row for part in (address(gateways[0]), "off", "person", "partner sends old names", "@"))
        assert row.count(" UTC") == 2
        held = json.loads(both("mode", "--json").out)
        assert held[address(gateways[1])] == {}
        override = held[address(gateways[0])][STRATEGIES]
        assert lasting(override) == 7200

    def test_json(self, one: Commands, gateways: tuple[Gateway, Gateway]) -> None:
        """With `--json` each gateway's answer stands by its address."""
        [(where, document)] = json.loads(one("mode", STRATEGIES, "warn", "--reason", "r", "--json").out).items()
        assert where == address(gateways[0])
        assert (document["mode"], document["stored"], document["override"]["reason"]) == ("warn", True, "r")

    @pytest.mark.parametrize(
        ("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("2 d", 172800), (" 1s ", 1)]
    )
    def test_duration(self, one: Commands, text: str, seconds: float) -> None:
        """`--for` is a number of seconds, minutes, hours or days."""
        [document] = json.loads(one("mode", STRATEGIES, "warn", "--reason", "r", "--for", text, "--json").out).values()
        assert lasting(document["override"]) == seconds

    @pytest.mark.parametrize(
        ("arguments", "word"),
        [
            ([STRATEGIES], "MODE"),
            ([STRATEGIES, "enforce", "--reason", "r"], "configuration file"),
            ([STRATEGIES, "warn"], "--reason"),
            ([STRATEGIES, "warn", "--reason", " "], "reason"),
            ([STRATEGIES, "warn", "--reason", "r", "--for", "0s"], "--for"),
            ([STRATEGIES, "warn", "--reason", "r", "--for", "soon"], "--for"),
            ([STRATEGIES, "warn", "--reason", "r", "--for", "9999d"], "seconds"),
            ([STRATEGIES, "warn", "--reason", "r", "--clear", STRATEGIES], "--clear"),
            ([STRATEGIES, "warn", "--reason", "\udcff"], "reason"),
            (["/api/nonsense", "warn", "--reason", "r"], "there is no endpoint"),
            (["--clear", "/api/nonsense"], "there is no endpoint"),
        ],
    )
    def test_wrong_usage(
        self, one: Commands, gateways: tuple[Gateway, Gateway], arguments: list[str], word: str
    ) -> None:
        """What cannot be asked for exits 2, says what is wrong in one line, and changes nothing."""
        ended = one("mode", *arguments)
        assert (ended.code, ended.err.count("\n"), ended.out) == (2, 1, "")
        assert word in ended.err
        assert mode(gateways[0]) == "enforce"

    @pytest.mark.parametrize("content", [None, "wrong"])
    def test_wrong_token(self, gateways: tuple[Gateway, Gateway], tmp_path: Path, content: str | None) -> None:
        """Without the right token the exit is 2, the gateway says why, and nothing changes."""
        file = None
        if content is not None:
            file = tmp_path / "token"
            file.write_text(content)
        ended = run(file, tmp_path, "mode", STRATEGIES, "warn", "--reason", "r", "--admin", address(gateways[0]))
        assert (ended.code, mode(gateways[0])) == (2, "enforce")
        assert "admin token" in ended.err

    def test_one_of_two_cannot_be_reached(self, gateways: tuple[Gateway, Gateway], token: Path, tmp_path: Path) -> None:
        """The change is made where it can be, every gateway that could not be reached is named, and the exit is 3."""
        dead = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
        command = Commands(token, tmp_path, dead[0], address(gateways[0]), dead[1])
        ended = command("mode", STRATEGIES, "warn", "--reason", "r")
        assert (ended.code, mode(gateways[0]), mode(gateways[1])) == (3, "warn", "enforce")
        assert [line.partition("/-/mode")[0] for line in ended.err.splitlines()] == dead
        assert ended.out == f"{address(gateways[0])}  {STRATEGIES} is in warn\n"

    def test_unreachable_outweighs_refused(
        self, gateways: tuple[Gateway, Gateway], token: Path, tmp_path: Path
    ) -> None:
        """When one gateway refuses and another cannot be reached, the exit is 3."""
        command = Commands(token, tmp_path, f"http://127.0.0.1:{free_port()}", address(gateways[0]))
        assert command("mode", "/api/nonsense", "warn", "--reason", "r").code == 3

    def test_not_stored(self, upstream: RecordingUpstream, token: Path, tmp_path: Path) -> None:
        """A change that is in force but could not be stored exits 1 and says so."""
        document = json.dumps({"endpoint": STRATEGIES, "mode": "warn", "override": {}, "stored": False}).encode()
        raw = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(document)
        with upstream.scripted(answer(raw + document, close=True)):
            command = Commands(token, tmp_path, f"http://127.0.0.1:{upstream.port}")
            ended = command("mode", STRATEGIES, "warn", "--reason", "r")
        assert ended.code == 1
        assert "is in warn" in ended.out
        assert "not stored yet" in ended.err

    def test_gateway_of_this_host(self, gateways: tuple[Gateway, Gateway], token: Path, tmp_path: Path) -> None:
        """Without `--admin` the gateway of the environment's admin port is asked."""
        port = str(gateways[1].admin)
        ended = run(token, tmp_path, "mode", STRATEGIES, "warn", "--reason", "r", STAGE_GATEWAY_ADMIN_PORT=port)
        assert (ended.code, mode(gateways[0]), mode(gateways[1])) == (0, "enforce", "warn")

    def test_same_gateway_twice(self, gateways: tuple[Gateway, Gateway], token: Path, tmp_path: Path) -> None:
        """An address that is named twice is asked once."""
        ended = Commands(token, tmp_path, *[address(gateways[0])] * 2)("mode", STRATEGIES, "warn", "--reason", "r")
        assert ended.out.count("is in warn") == 1

    def test_who(self, one: Commands) -> None:
        """The gateway is told which user of which host it was."""
        [document] = json.loads(one("mode", STRATEGIES, "warn", "--reason", "r", "--json").out).values()
        assert document["override"]["by"] == f"{getpass.getuser()}@{socket.gethostname()}"


def test_gateway_on_ipv6_is_found_by_its_settings(
    serve: Serve, recorder: RecordingUpstream, token: Path, tmp_path: Path
) -> None:
    """Without --admin the gateway of the same environment is asked, also where that is an IPv6 address."""
    environment = {"STAGE_GATEWAY_ADMIN_HOST": "::1", "STAGE_GATEWAY_ADMIN_TOKEN_FILE": str(token)}
    gateway = serve(configuration(recorder.port), environment)
    ended = run(
        token, tmp_path, "status", "--json", STAGE_GATEWAY_ADMIN_HOST="::1", STAGE_GATEWAY_ADMIN_PORT=str(gateway.admin)
    )
    assert ended.code == 0, ended.err
    assert f"http://[::1]:{gateway.admin}" in ended.out
