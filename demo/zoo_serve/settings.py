"""What `zoo serve` was asked for, as its worker processes read it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zoo.errors import UsageError
from zoo_serve.limits import Limits

TOKEN = "ZOO_SERVE_TOKEN"  # noqa: S105  (the name of the variable)
_SETTINGS = "ZOO_SERVE_SETTINGS"
MIN_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `zoo serve`.

    Attributes:
        threads: of each model.
        decoders: threads that decode pictures.
        allowed_hosts: see `zoo_serve.hosts.Hosts`.
    """

    artifacts: tuple[str, ...]
    device: str = "cpu"
    host: str = "127.0.0.1"
    port: int = 8000
    allowed_hosts: tuple[str, ...] = ()
    root_path: str = ""
    workers: int = 1
    threads: int = 1
    decoders: int = 1
    token: str | None = None
    limits: Limits = field(default_factory=Limits)


def pass_on(settings: Settings) -> None:
    """Leaves the settings to the processes that this one starts; the token where no other user can read it."""
    os.environ[_SETTINGS] = json.dumps(asdict(settings))


def passed_on() -> Settings:
    """The settings from the process that started this one."""
    read: dict[str, Any] = json.loads(os.environ.pop(_SETTINGS))
    read |= {name: tuple(read[name]) for name in ("artifacts", "allowed_hosts")}
    return Settings(**read | {"limits": Limits(**read["limits"])})


def token_from(file: Path | None, ask: bool) -> str | None:
    """The token from a file, a prompt, or the environment, in this order; None for no token. Raises `UsageError`."""
    given = os.environ.get(TOKEN)
    if file is not None:
        try:
            given = file.read_text(encoding="utf-8")
        except (OSError, ValueError):
            cause = f"The token cannot be read from '{file}'."
            raise UsageError(cause, "Name a text file with the token on one line.", code="token-file") from None
    elif ask:
        from getpass import getpass

        given = getpass("Token: ")
    if given is None:
        return None
    token = given.strip()
    if len(token) < MIN_TOKEN or not (token.isascii() and token.isprintable() and " " not in token):
        raise UsageError(
            f"The token has fewer than {MIN_TOKEN} characters, or others than ASCII without spaces.",
            "Make one with: python -c 'import secrets; print(secrets.token_urlsafe())'",
            code="weak-token",
        )
    return token


def check_root_path(path: str) -> str:
    """The path of `--root-path` without a slash at its end. Raises `UsageError`."""
    plain = path.rstrip("/")
    if plain and not (
        plain.startswith("/") and plain.isascii() and plain.isprintable() and not set(plain) & set(" ?#%")
    ):
        raise UsageError(f"'{path}' is not a path.", "Give for example --root-path /models", code="root-path")
    return plain
