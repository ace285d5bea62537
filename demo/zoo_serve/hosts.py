"""Checks the host names of requests.

A foreign web page can make the name of its own server resolve to this machine's address (DNS rebinding,
https://en.wikipedia.org/wiki/DNS_rebinding). Then the browser lets that page read everything here. Such a request has
the foreign name in `Host`. Numeric addresses are safe, because nobody can make them resolve to something else.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from zoo.errors import UsageError

_NETLOC = re.compile(r"(\[(?P<address>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9._-]{1,255}))(:[0-9]{1,5})?")
_PATTERN = re.compile(r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def is_loopback(name: str) -> bool:
    """Whether only this machine can reach a host name or address."""
    address = _address(name)
    return address.is_loopback if address else name.lower().rstrip(".") == "localhost"


def is_pattern(text: str) -> bool:
    """Whether `--allow-host` takes it: a name, an address, `*.name` for all its subdomains, or `*` for all."""
    return _address(text) is not None or _PATTERN.fullmatch(text) is not None


def check_patterns(names: Sequence[str]) -> Sequence[str]:
    """The values of `--allow-host`. Raises `UsageError` if one is not a pattern."""
    for name in names:
        if not is_pattern(name):
            raise UsageError(
                f"'{name}' is not a host name.",
                "Give a name or an address without http:// and port, for example --allow-host demo.example.org",
                code="host-name",
            )
    return names


@dataclass(frozen=True, slots=True)
class Hosts:
    """The host names that a server accepts.

    Args:
        bound: the name or address that it listens on.
        extra: patterns of `--allow-host`, see `is_pattern`.
    """

    bound: str
    extra: Sequence[str] = ()

    def answers(self, netloc: str) -> bool:
        """Whether a `Host` header (`name`, `name:port`, `[::1]:port`) is one of its own."""
        name = host_name(netloc)
        if name is None:
            return False
        if is_loopback(name) or self.is_extra(name):
            return True
        return not is_loopback(self.bound) and (_address(name) is not None or name in self._own())

    def trusts(self, origin: str, netloc: str) -> bool:
        """Whether a page of an `Origin` (`https://name:port`) may send requests to `netloc`."""
        try:
            sender = urlsplit(origin).netloc.lower()
        except ValueError:
            return False
        name = host_name(sender)
        return name is not None and (sender == netloc.lower() or self.is_extra(name))

    def is_extra(self, name: str) -> bool:
        """Whether a pattern of `--allow-host` matches a name."""
        patterns = [pattern.lower() for pattern in self.extra]
        return any(
            pattern in ("*", name) or (pattern.startswith("*.") and name.endswith(pattern[1:])) for pattern in patterns
        )

    def _own(self) -> set[str]:
        machine = socket.gethostname().lower()
        return {self.bound.lower(), machine, machine.partition(".")[0], f"{machine.partition('.')[0]}.local"}


def host_name(netloc: str) -> str | None:
    """The name in `name`, `name:port` or `[address]:port`, in lower case; None if there is none."""
    found = _NETLOC.fullmatch(netloc)
    return (found["address"] or found["name"]).lower().rstrip(".") if found else None


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return None
