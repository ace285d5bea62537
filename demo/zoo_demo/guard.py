"""Filters requests before Gradio: which ones pass, and the answer to the others.

Gradio serves far more than this page needs (a proxy, an editor, a login, addresses that it fetches), and more with each
version. Only what is listed here is served.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from starlette.responses import JSONResponse, Response

from zoo.errors import UsageError
from zoo.progress import Reporter
from zoo_demo.access import Access, client_of
from zoo_demo.calls import ID, Call, read_call
from zoo_demo.forced import Forced
from zoo_demo.headers import NOTHING, page_policy, secured
from zoo_demo.limits import MAX_CALL_BYTES, MAX_STREAMS
from zoo_demo.texts import Language
from zoo_serve.bodies import Body
from zoo_serve.hosts import Hosts
from zoo_serve.limits import MAX_UPLOAD_BYTES
from zoo_serve.refusals import RequestError
from zoo_serve.refusals import refusal as refusal_of
from zoo_serve.senders import check_sender, headers_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/gradio_api"
PROGRAMS = "/api"
FAILED = 500
UNREAD = (408, 413)  # the rest of the request is not read
_MULTIPART_BYTES = 2**19  # around the files in an upload, half a kilobyte for each
_SHOWN = re.compile(
    rf"/|/config/?|(?:{API})?/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json|/(?:assets|static|svelte)/.+"
    rf"|{API}/(?:info/?|openapi\.json|startup-events|file=.*)",
    re.DOTALL,
)
_STREAMS = re.compile(rf"{API}/(?:queue/data|upload_progress|call/{ID}/{ID})")
_CALLS = re.compile(rf"{API}/(?:queue/join|call/(?P<name>{ID}))/?")
_UPLOAD = re.compile(rf"{API}/upload/?")
_CANCEL = re.compile(rf"{API}/(?:cancel/?|stream/{ID}/close)")
# Gradio builds addresses from the first kind. The second is this module's own. Files are always sent whole. Passwords
# are checked here.
_DROPPED = re.compile(rb"x-gradio-.*|x-zoo-.*|range|authorization")
ARRIVED = "x-zoo-arrived"  # seconds of the monotonic clock
_QUERIES = re.compile(rf"{API}/(?:queue/data|upload|upload_progress)/?")


class Refused(Exception):  # noqa: N818  (an answer, not an error)
    """A request that is refused.

    Args:
        status: of HTTP.
        detail: the message to its sender.
        retry_s: after how many seconds to retry.
        headers: more headers of the answer.
    """

    def __init__(
        self, status: int, detail: str, retry_s: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_s, self.headers = status, detail, retry_s, dict(headers or {})


class _FailedError(Exception):
    pass


class Guard:
    """An ASGI application around another.

    Args:
        app: the page with its routes.
        hosts: the accepted host names.
        inputs: how many values each callable function takes.
        names: the numbers of functions with their own address.
        admit: called with a visitor's session before a picture is accepted; raises `Refused` if the demo is busy.
        api: the service for programs, below `/api`. It checks its requests itself.
        language: of the page; None for the language of each visitor's browser.
        access: checks who sends a request; None lets everyone in.
        head: HTML that the page's script adds to it; its scripts may run, too.
    """

    def __init__(
        self,
        app: App,
        hosts: Hosts,
        inputs: Mapping[int, int],
        names: Mapping[str, int],
        admit: Callable[[str], None],
        *,
        api: App | None = None,
        language: Language | None = None,
        access: Access | None = None,
        head: str = "",
    ) -> None:
        self._api, self._access = api, access
        self._language, self._head = language, head.encode()
        self._app, self._hosts, self._inputs, self._names, self._admit = app, hosts, inputs, names, admit
        self._streams = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        sending = _Secured(send, self._hosts, self._head)
        if self._api and scope["path"].startswith(f"{PROGRAMS}/"):
            try:
                await self._check_access(scope, programs=True)
            except RequestError as error:
                await refusal_of(error)(scope, receive, sending)
            else:
                await self._api({**scope, "path": scope["path"].removeprefix(PROGRAMS)}, receive, sending)
            return
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            if not begun and message.get("status") == FAILED:
                raise _FailedError
            begun = True
            await sending(message)

        try:
            await self._pass_on(scope, Body(receive, MAX_CALL_BYTES), noting)
        except RequestError as error:
            if not begun:
                refused = Refused(error.status, str(error), error.retry_s, error.headers)
                await refusal(refused)(scope, receive, sending)
        except Refused as refused:
            if not begun:
                await refusal(refused)(scope, receive, sending)
        except ConnectionError:
            pass
        except Exception as error:  # Gradio raises errors of any class
            Reporter().warn(f"A request to {scope['path']!r:.80} failed: {type(error).__name__}.")
            if not begun:
                broken = Refused(FAILED, "The demo failed on this request. Reload the page and try again.")
                await refusal(broken)(scope, receive, sending)

    async def _check_access(self, scope: Scope, *, programs: bool = False) -> None:
        if self._access:
            await self._access.check(client_of(scope), headers_of(scope), programs=programs)

    async def _pass_on(self, scope: Scope, body: Body, send: Send) -> None:
        check_sender(self._hosts, headers_of(scope))
        await self._check_access(scope)
        path, method = scope["path"], scope["method"]
        scope["headers"] = [(name, value) for name, value in scope["headers"] if not _DROPPED.fullmatch(name)]
        if self._language:
            kept = [(name, value) for name, value in scope["headers"] if name != b"accept-language"]
            scope["headers"] = [*kept, (b"accept-language", self._language.encode())]
            send = Forced(send, self._language) if method == "GET" and path == "/" else send
        if not _QUERIES.fullmatch(path):
            scope["query_string"] = b""  # Gradio would look for stored pages in it
        if (method == "GET" and _SHOWN.fullmatch(path)) or (method == "HEAD" and path == "/"):
            await self._app(scope, body.nothing, send)
        elif method == "GET" and _STREAMS.fullmatch(path):
            await self._stream(scope, body, send)
        elif method == "POST" and (called := _CALLS.fullmatch(path)):
            number = self._number(called["name"])
            call = _read_call(await body.whole(), self._inputs, number)
            self._admit(call.session)
            _rewrite(scope, body, call.body)
            await self._app(scope, body.receive, send)
        elif method == "POST" and _UPLOAD.fullmatch(path):
            body.limit = MAX_UPLOAD_BYTES + _MULTIPART_BYTES
            await self._app(scope, body.receive, send)
        elif method == "POST" and _CANCEL.fullmatch(path):
            # A camera has no stream here. Of a cancelled call, Gradio would start the next one too early.
            await JSONResponse({"success": True})(scope, body.nothing, send)
        else:
            raise Refused(404, "This address does not exist. Open the page, or see its API.")

    async def _stream(self, scope: Scope, body: Body, send: Send) -> None:
        if self._streams >= MAX_STREAMS:
            raise Refused(503, "The demo has too many visitors now. Try again in 5 seconds.", 5)
        self._streams += 1
        try:
            await self._app(scope, body.nothing, send)
        finally:
            self._streams -= 1

    def _number(self, name: str | None) -> int | None:
        if name is None:
            return None
        if name not in self._names:
            raise Refused(404, f"This function does not exist. The functions are: {', '.join(sorted(self._names))}.")
        return self._names[name]


def _read_call(body: bytes, inputs: Mapping[int, int], number: int | None) -> Call:
    try:
        return read_call(body, inputs, number)
    except UsageError as error:
        raise Refused(400, str(error)) from None


def _rewrite(scope: Scope, body: Body, text: bytes) -> None:
    """Gives a request another body, and its time of arrival."""
    body.replace(text)
    changed = {b"content-length", b"content-type", b"transfer-encoding", b"content-encoding"}
    kept = [(name, value) for name, value in scope["headers"] if name not in changed]
    own = {"content-type": "application/json", "content-length": str(len(text)), ARRIVED: str(time.monotonic())}
    scope["headers"] = [*kept, *((name.encode(), value.encode()) for name, value in own.items())]


class _Secured:
    """Sends an answer with the headers of `zoo_demo.headers`. A page is kept until its policy is known."""

    def __init__(self, send: Send, hosts: Hosts, head: bytes) -> None:
        self._send, self._hosts, self._head = send, hosts, head
        self._page: Message | None = None
        self._html = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            kinds = [value for name, value in headers if name.lower() == b"content-type"]
            if kinds and kinds[0].startswith(b"text/html"):
                self._page = {**message, "headers": headers}
                return
            message = {**message, "headers": secured(headers, NOTHING)}
        elif self._page is not None:
            self._html += message.get("body", b"")
            if message.get("more_body"):
                return
            headers = secured(self._page["headers"], page_policy(self._html + self._head, self._hosts))
            await self._send({**self._page, "headers": headers})
            self._page, message = None, {**message, "body": self._html}
        await self._send(message)


def refusal(refused: Refused) -> Response:
    """An answer as JSON, with the keys that the page and Gradio's clients read."""
    headers = dict(refused.headers)
    if refused.retry_s is not None:
        headers["Retry-After"] = str(refused.retry_s)
    if refused.status in UNREAD:
        headers["Connection"] = "close"
    return JSONResponse({"detail": refused.detail, "error": refused.detail}, refused.status, headers)
