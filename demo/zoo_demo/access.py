"""Who may use a demo with a password: HTTP Basic (https://www.rfc-editor.org/rfc/rfc7617), and tokens for programs."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import math
import os
import time
from collections.abc import Mapping
from getpass import GetPassWarning, getpass
from typing import Any
from warnings import catch_warnings, simplefilter

from zoo.errors import UsageError
from zoo_demo.limits import GUESS_SECONDS, MAX_GUESSERS, MAX_WRONG_GUESSES, WRONG_SECONDS
from zoo_serve.hosts import is_loopback
from zoo_serve.refusals import RequestError

AUTH = "ZOO_DEMO_AUTH"
MIN_PASSWORD = 8
MIN_DISTINCT = 4  # characters of a password
CHALLENGE = 'Basic realm="zoo demo", charset="UTF-8"'
_SUBNET = 64  # bits of an IPv6 address that one visitor has


def credentials_from(given: str | None) -> str | None:
    """`USER:PASSWORD` from an option, a prompt for its password, or the environment; None for no password.

    The variable is removed from the environment, so that the models' processes do not get it. Raises `UsageError`.
    """
    found = os.environ.pop(AUTH, None)
    given = found if given is None else given
    if given is None:
        return None
    user, colon, password = given.partition(":")
    if not user or not user.isprintable():
        raise UsageError(
            "The user name for the demo is missing.",
            f"Give --auth USER:PASSWORD, or --auth USER to be asked for the password, or set {AUTH}.",
            code="auth-user",
        )
    if not colon:
        password = _typed(user)
    besides = password.lower().replace(user.lower(), "")
    if len(besides) < MIN_PASSWORD or len(set(besides)) < MIN_DISTINCT or not password.isprintable():
        raise UsageError(
            f"The password is weak: it needs {MIN_PASSWORD} characters besides the user name, {MIN_DISTINCT} of them "
            "different, and no control characters.",
            "Make one with: python -c 'import secrets; print(secrets.token_urlsafe())'",
            code="weak-password",
        )
    return f"{user}:{password}"


def _typed(user: str) -> str:
    """The password from the terminal. Raises `UsageError` without one: what is typed would be seen, or nobody types."""
    try:
        with catch_warnings():
            simplefilter("error", GetPassWarning)
            return getpass(f"Password of {user}: ")
    except (EOFError, GetPassWarning):
        raise UsageError(
            "The password cannot be asked for without a terminal.",
            f"Give --auth USER:PASSWORD, or set {AUTH}.",
            code="auth-terminal",
        ) from None


class Access:
    """Checks the credentials of requests. Wrong ones are answered slowly, and after several of them none is checked.

    Args:
        credentials: `USER:PASSWORD`.
        token: that programs may send to `/api` instead.
    """

    def __init__(self, credentials: str, token: str | None = None) -> None:
        self._basic = _digest(credentials.encode())
        self._token = None if token is None else _digest(token.encode())
        self._wrong: dict[str, list[float]] = {}

    async def check(self, client: str, headers: Mapping[str, list[str]], *, programs: bool = False) -> None:
        """Raises `RequestError` unless the request has the right credentials.

        Args:
            client: address of the sender.
            programs: whether the request is to `/api`.
        """
        given = headers.get("authorization", [])
        if not given:  # the first request of a browser
            raise _refused("The demo needs a user name and a password.")
        guesser = guesser_of(client, headers)
        now = time.monotonic()
        recent = [then for then in self._wrong.get(guesser, ()) if now - then < GUESS_SECONDS]
        if len(recent) >= MAX_WRONG_GUESSES:
            seconds = math.ceil(GUESS_SECONDS - (now - recent[0]))
            cause = "Too many wrong passwords came from this address."
            raise RequestError(429, cause, f"Try again in {seconds} seconds.", code="guesses", retry_s=seconds)
        if len(given) == 1 and self._is_right(given[0], programs):
            return
        self._note(guesser, [*recent, now])
        await asyncio.sleep(WRONG_SECONDS)
        raise _refused("The user name or the password is wrong.")

    def _is_right(self, given: str, programs: bool) -> bool:
        scheme, _, value = given.partition(" ")
        value = value.strip()
        if scheme.lower() == "bearer" and programs and self._token is not None:
            return hmac.compare_digest(_digest(value.encode("latin-1")), self._token)
        try:
            sent = base64.b64decode(value, validate=True) if scheme.lower() == "basic" else b""
        except (binascii.Error, ValueError):
            sent = b""
        return hmac.compare_digest(_digest(sent), self._basic)

    def _note(self, guesser: str, times: list[float]) -> None:
        self._wrong.pop(guesser, None)
        self._wrong[guesser] = times  # the last one in the order of the table
        while len(self._wrong) > MAX_GUESSERS:
            del self._wrong[next(iter(self._wrong))]


def guesser_of(client: str, headers: Mapping[str, list[str]]) -> str:
    """Whose wrong guesses count together: an IPv4 address, or a network of IPv6.

    Behind a proxy or a tunnel on this machine, it is the address that the proxy added last.
    """
    forwarded = headers.get("x-forwarded-for", [])
    if forwarded and is_loopback(client):
        client = forwarded[-1].rpartition(",")[2].strip()
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, _SUBNET), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)


def client_of(scope: Mapping[str, Any]) -> str:
    """The address that a request came from."""
    return str((scope.get("client") or ("",))[0])


def _digest(value: bytes) -> bytes:
    # Of equal length, whatever was sent: comparing takes the same time.
    return hashlib.sha256(value).digest()


def _refused(cause: str) -> RequestError:
    remedy = "Send those of --auth with HTTP Basic authentication."
    return RequestError(401, cause, remedy, code="auth", headers={"WWW-Authenticate": CHALLENGE})
