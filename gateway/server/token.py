"""The token that changing calls on the admin port need."""

import logging
import os
import secrets
from pathlib import Path

from gateway.errors import ConfigurationError, cause_of
from gateway.settings import PREFIX, Settings

_log = logging.getLogger("gateway.admin")
FILE_NAME = "admin-token"


def token_path(settings: Settings) -> Path:
    """Return the file that holds, or will hold, the token."""
    return settings.admin_token_file or settings.folder / FILE_NAME


def read_token(settings: Settings) -> str | None:
    """Return the token, None when there is no file yet. Raises ConfigurationError for one that cannot be used."""
    path = token_path(settings)
    try:
        token = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        if settings.admin_token_file is None:
            return None
        raise ConfigurationError(f"{PREFIX}ADMIN_TOKEN_FILE", [f"{path}: no such file"]) from None
    except UnicodeDecodeError:
        raise ConfigurationError(str(path), ["the admin token is no plain ASCII text"]) from None
    except OSError as error:
        raise ConfigurationError(str(path), [f"the admin token cannot be read: {cause_of(error)}"]) from error
    if not token:
        raise ConfigurationError(str(path), ["the admin token is empty; write one, or remove the file"])
    return token


def ensure_token(settings: Settings) -> str | None:
    """Return the token, made once where no file was named.

    None when the state directory cannot be written: then nothing can be changed over the admin port.
    """
    token = read_token(settings)
    if token is not None:
        return token
    path = token_path(settings)
    token = secrets.token_urlsafe(32)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read_token(settings)  # another process of ours was faster
    except OSError as error:
        _log.warning(
            "no admin token: %s cannot be written (%s); calls that change something are refused. "
            "Set %sADMIN_TOKEN_FILE or a writable %sSTATE.",
            path, cause_of(error), PREFIX, PREFIX,
        )  # fmt: skip
        return None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
    return token
