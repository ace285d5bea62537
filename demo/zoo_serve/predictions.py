"""`POST /predict`: from a request to its answer."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from zoo.artifacts.predictor import Prediction
from zoo.artifacts.rows import json_row
from zoo.errors import ZooError
from zoo_serve.admission import Held
from zoo_serve.bodies import too_large
from zoo_serve.forms import FORM, read_form
from zoo_serve.limits import MAX_FILES, MAX_FORM_BYTES, MAX_PARAMETER
from zoo_serve.refusals import RequestError, as_json, late
from zoo_serve.state import State

TOP_K = 3  # as `zoo predict`
UNNAMED = "picture"  # the name of a file that is the body
PARAMETERS = ("model", "top_k")
# What programs send for bytes; the last one is the type that curl gives to every body.
_BYTES = ("", "application/octet-stream", "application/x-www-form-urlencoded")
_MAX_NAME = 255


@dataclass(slots=True)
class _Files:
    """The files of a form, in memory: a `zoo_serve.forms.Sink`."""

    most_bytes: int
    names: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    _file: io.BytesIO = field(default_factory=io.BytesIO)  # a list would keep an object for every few bytes

    def begin(self, name: str) -> None:
        if len(self.names) == MAX_FILES:
            cause = f"The form has more than {MAX_FILES} files."
            raise RequestError(413, cause, "Send them in several requests.", code="too-many-files")
        self.names.append(name[:_MAX_NAME])

    def data(self, chunk: bytes) -> None:
        if self._file.tell() + len(chunk) > self.most_bytes:
            raise _too_large(self.most_bytes)
        self._file.write(chunk)

    def end(self) -> None:
        self.bodies.append(self._file.getvalue())
        self._file = io.BytesIO()


async def predict(request: Request, state: State) -> JSONResponse:
    """Classifies the pictures of a request. Raises `ZooError`; of several files, each has its own error."""
    with state.taken(), state.admission.held() as held:
        name, top_k = _parameters(request)
        model = state.model(name)
        kind = _kind(request)
        state.check_room(model, 1)  # before the body is read
        files = await _files(request, kind, held, state.limits.file_bytes)
        state.check_room(model, len(files.bodies))
        top_k, seconds = min(top_k, len(model.card.classes)), state.limits.seconds
        futures = [model.submit(body, top_k, seconds) for body in files.bodies]
        for future in futures:
            state.admission.enter(future)
        answers = await _answers(futures, request, seconds)
    if kind != FORM and isinstance(answers[0], ZooError):
        raise answers[0]
    return JSONResponse([_row(name, answer) for name, answer in zip(files.names, answers, strict=True)])


def _row(name: str, answer: Prediction | ZooError) -> dict[str, Any]:
    return {"file": name, "error": as_json(answer)} if isinstance(answer, ZooError) else json_row(name, answer)


def _parameters(request: Request) -> tuple[str | None, int]:
    """The model's name and `top_k`. Raises `RequestError`."""
    given = request.query_params
    unknown = sorted(set(given) - set(PARAMETERS))
    if unknown:
        cause = f"The address has a parameter {unknown[0][:MAX_PARAMETER]!r}, which does not exist."
        raise RequestError(400, cause, f"The parameters are: {', '.join(PARAMETERS)}.", code="unknown-parameter")
    name, text = given.get("model"), given.get("top_k", str(TOP_K))
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_PARAMETER and int(text) >= 1):
        cause = "The parameter top_k is not a whole number of at least 1."
        raise RequestError(400, cause, "Send for example: ?top_k=5", code="top-k")
    return name, int(text)


def _kind(request: Request) -> str:
    """The type of the body. Raises `RequestError` if it is none that holds pictures."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (kind == FORM or kind in _BYTES or kind.startswith("image/")):
        cause = "The type of the body (Content-Type) is not one of a picture."
        remedy = f"Send a picture's file as image/png or application/octet-stream, or several as {FORM}."
        raise RequestError(415, cause, remedy, code="content-type")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        cause = "The body is compressed (Content-Encoding)."
        raise RequestError(415, cause, "Send the picture's file as it is.", code="content-encoding")
    return kind


async def _files(request: Request, kind: str, held: Held, most_bytes: int) -> _Files:
    """Reads the body. Raises `RequestError`, `UsageError` for a damaged form, `ClientDisconnect`."""
    files = _Files(most_bytes)
    most = MAX_FORM_BYTES if kind == FORM else most_bytes
    declared = request.headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()):
        cause = "The length of the body (Content-Length) is not a number."
        raise RequestError(400, cause, "Send the request with an HTTP client.", code="content-length")
    if int(declared[:20]) > most:
        raise too_large(most) if kind == FORM else _too_large(most)

    async def chunks() -> Any:
        async for chunk in request.stream():
            held.grow(len(chunk))
            yield chunk

    if kind == FORM:
        await read_form(request.headers["content-type"], chunks(), files)
        if not files.bodies:
            cause = "The form has no file."
            raise RequestError(400, cause, "Send pictures in fields named `files`.", code="form-without-file")
    else:
        files.begin(UNNAMED)
        async for chunk in chunks():
            files.data(chunk)
        files.end()
    return files


async def _answers(
    futures: Sequence[Future[Prediction]], request: Request, seconds: float
) -> list[Prediction | ZooError]:
    """Waits for all answers. Raises `RequestError` at the deadline, and `ClientDisconnect` if the sender has left."""
    together: asyncio.Future[Any] = asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True)
    gone: asyncio.Future[Any] = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({together, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if together.done():
            return [_answer(found) for found in together.result()]
        if gone.done():
            raise ClientDisconnect
        raise late(seconds)
    finally:
        gone.cancel()
        if not together.done():
            together.cancel()
            await asyncio.wait({together})
            if not together.cancelled():
                together.exception()  # or asyncio reports it as one that nobody looked at


def _answer(found: Prediction | BaseException) -> Prediction | ZooError:
    if isinstance(found, Prediction | ZooError):
        return found
    raise found


async def _gone(request: Request) -> None:
    """Waits until the sender has left. The body was read, so the next message says so."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _too_large(most: int) -> RequestError:
    cause = f"The picture's file has more than {most / 1e6:g} MB."
    return RequestError(413, cause, "Send a smaller one, for example a JPEG.", code="upload-too-large")
