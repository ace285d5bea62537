"""The headers of all answers: what a browser may load, run and show because of them.

Gradio's page needs more than a strict policy allows; docs/demo.md names it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence

from zoo_serve.hosts import Hosts

Headers = list[tuple[bytes, bytes]]

# Of inline scripts, the text; those with an address are files of this server.
_SCRIPT = re.compile(rb"<script(?P<attributes>[^>]*)>(?P<text>.*?)</script", re.DOTALL | re.IGNORECASE)
_NAME = re.compile(r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
NOTHING = "default-src 'none'; frame-ancestors 'none'; sandbox"
_FEATURES = ("accelerometer", "display-capture", "geolocation", "gyroscope", "magnetometer", "microphone", "midi")
_OWN_FEATURES = ("camera", "clipboard-read", "clipboard-write", "fullscreen")
_ALWAYS = {
    "referrer-policy": "no-referrer",
    "permissions-policy": ", ".join(
        [*(f"{name}=(self)" for name in _OWN_FEATURES), *(f"{name}=()" for name in (*_FEATURES, "payment", "usb"))]
    ),
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
}


def secured(headers: Sequence[tuple[bytes, bytes]], policy: str) -> Headers:
    """The headers of an answer, with those that it lacks."""
    present = {name.lower() for name, _ in headers}
    added = _ALWAYS | {"content-security-policy": policy}
    more = ((name.encode(), value.encode()) for name, value in added.items())
    return [*headers, *((name, value) for name, value in more if name not in present)]


def page_policy(html: bytes, hosts: Hosts) -> str:
    """The policy of a page: of its inline scripts, those that it has now may run, and no other."""
    found = (each["text"] for each in _SCRIPT.finditer(html) if b"src=" not in each["attributes"])
    hashes = sorted({f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'" for text in found})
    parts = {
        "default-src": "'none'",
        # Gradio compiles the functions of a page's events and parts.
        "script-src": " ".join(["'self'", "'unsafe-eval'", *hashes]),
        "style-src": "'self' 'unsafe-inline'",  # its parts have style attributes
        "img-src": "'self' data:",  # what a model sees is in its answer
        "connect-src": "'self'",
        "manifest-src": "'self'",
        "base-uri": "'self'",  # Gradio's page has a <base>
        "form-action": "'none'",
        "frame-ancestors": " ".join(["'self'", *frames(hosts)]),
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def frames(hosts: Hosts) -> list[str]:
    """The pages of other servers that may show this one in a frame: those of `--allow-host`, at any port."""
    # A policy cannot name addresses of IPv6.
    return [name if name == "*" else f"{name}:*" for name in hosts.extra if _NAME.fullmatch(name)]
