"""A page in a set language, whatever the browser's own is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from zoo_demo.texts import Language

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

# Gradio's page reads the browser's language before anything that Gradio lets a page add to itself.
_SCRIPT = (
    "<head><script>for (const [name, value] of [['language', '{0}'], ['languages', ['{0}']]])"
    " Object.defineProperty(navigator, name, {{get: () => value}});</script>"
)
_TAGS: dict[Language, str] = {"en": "en", "zh": "zh-CN"}


class Forced:
    """Sends the page with a script that sets the browser's language, once all of it has come.

    Args:
        send: of ASGI.
    """

    def __init__(self, send: Send, language: Language) -> None:
        self._send = send
        self._script = _SCRIPT.format(_TAGS[language]).encode()
        self._start: Message = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        body = self._body.replace(b"<head>", self._script, 1)
        kept = [(name, value) for name, value in self._start["headers"] if name.lower() != b"content-length"]
        await self._send({**self._start, "headers": [*kept, (b"content-length", str(len(body)).encode())]})
        await self._send({"type": "http.response.body", "body": body})
