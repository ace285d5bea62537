"""Who may send requests: host names, pages of other servers, and tokens."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, MutableMapping
from typing import Any

from zoo_serve.hosts import Hosts
from zoo_serve.refusals import RequestError

Scope = MutableMapping[str, Any]
_SHOWN = 100


def headers_of(scope: Scope) -> dict[str, list[str]]:
    """The values of each header."""
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return found


def check_sender(hosts: Hosts, headers: Mapping[str, list[str]]) -> None:
    """Raises `RequestError` if the request names another host, or comes from a page of another server."""
    named = headers.get("host", [])
    for name in [*named, *headers.get("x-forwarded-host", [])]:
        if not hosts.answers(name.partition(",")[0].strip()):
            raise _unknown_name(name)
    if len(named) != 1:
        raise RequestError(400, "The request does not name its host.", "Send the header Host once.", code="no-host")
    for origin in headers.get("origin", []):
        if not hosts.trusts(origin, named[0]):
            raise _unknown_name(origin)


def check_token(token: str | None, headers: Mapping[str, list[str]]) -> None:
    """Raises `RequestError` if a token is required and the request does not have it."""
    if token is None:
        return
    sent = headers.get("authorization", [])
    scheme, _, given = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
    # Compared as bytes: `compare_digest` refuses text beyond ASCII.
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("latin-1"), token.encode()):
        raise RequestError(
            401,
            "The request does not have the token of this service.",
            "Send the header: Authorization: Bearer TOKEN",
            code="token",
            headers={"WWW-Authenticate": "Bearer"},
        )


def _unknown_name(name: str) -> RequestError:
    shown = "".join(character if character.isascii() and character.isprintable() else "?" for character in name)
    return RequestError(
        403,
        f"The server does not accept the name '{shown[:_SHOWN]}'.",
        "If it is the server's own address, start it with --allow-host and that name.",
        code="unknown-host",
    )
