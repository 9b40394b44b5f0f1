"""The admin token: named, found or made."""

import stat
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.server.token import ensure_token, read_token, token_path
from gateway.settings import Settings


def settings(state: Path, file: Path | None = None) -> Settings:
    return Settings(state=str(state), admin_token_file=file)


def test_token_is_made_once(tmp_path: Path) -> None:
    """The first start makes a token, with its directory, for the owner alone; later ones find it."""
    own = settings(tmp_path / "new" / "state")
    assert read_token(own) is None
    token = ensure_token(own)
    assert token
    assert ensure_token(own) == read_token(own) == token
    assert stat.S_IMODE(token_path(own).stat().st_mode) == 0o600
    assert stat.S_IMODE(token_path(own).parent.stat().st_mode) == 0o700


def test_two_gateways_have_two_tokens(tmp_path: Path) -> None:
    """A token is made by chance."""
    assert ensure_token(settings(tmp_path / "a")) != ensure_token(settings(tmp_path / "b"))


def test_named_file_is_read(tmp_path: Path) -> None:
    """A named token file is taken as it is, white space around it aside, and the state directory stays empty."""
    file = tmp_path / "token"
    file.write_text("  s3cret\n")
    assert ensure_token(settings(tmp_path / "state", file)) == "s3cret"
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_named_file_that_cannot_be_used(content: bytes | None, tmp_path: Path) -> None:
    """A named file that is absent, empty or no text is an error that names it, and none is made."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="token"):
        ensure_token(settings(tmp_path, file))
    assert file.exists() is (content is not None)


def test_state_that_cannot_be_written(caplog: pytest.LogCaptureFixture) -> None:
    """Without a writable state directory there is no token, and the log says what to do."""
    assert ensure_token(settings(Path("/proc/stage-gateway"))) is None
    assert "STAGE_GATEWAY_STATE" in caplog.text
