"""Routes that accept uploads and show them again, in place of Gradio's routes.

Gradio's routes do not limit the total size of all files. They leave parts of interrupted uploads, and they fetch
addresses. They name folders by content, which reveals whether somebody uploaded a known picture.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.requests import ClientDisconnect

from zoo.errors import DataError, UsageError, ZooError
from zoo_demo.guard import API, Refused, refusal
from zoo_demo.limits import MAX_BATCH_PICTURES, MAX_UPLOADING
from zoo_demo.uploads import FullError, Uploads, too_large
from zoo_serve.forms import read_form
from zoo_serve.limits import BODY_SECONDS, MAX_UPLOAD_BYTES

# Types that a browser shows without running anything; other files are downloads.
_SHOWN = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".avif": "image/avif",
}
_HEADERS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
_PROGRESS_SECONDS = 0.1  # between two checks of an upload
_PIECE_BYTES = 2**14  # of a form, between the turns of other requests
_UNKNOWN_TURNS = 30  # checks for an upload that may still begin
_Arrived = dict[str, tuple[str, int]]  # of each upload that a page watches: its name, and the bytes so far
BUSY = "The demo has too many uploads now. Try again in a few seconds."


def add_routes(app: FastAPI, uploads: Uploads) -> None:
    """Adds the routes for uploads, at the addresses that Gradio's page and clients use."""
    arrived: _Arrived = {}
    uploading = asyncio.Semaphore(MAX_UPLOADING)

    @app.post(f"{API}/upload")
    async def upload(request: Request, upload_id: str = "") -> Response:
        if uploading.locked():
            return refusal(Refused(503, BUSY, 3))
        async with uploading:
            try:
                received = await _received(request, uploads, upload_id[:64], arrived)
                return JSONResponse([str(path) for path in received])
            except (ZooError, Refused) as error:
                return refusal(_as_refused(error))
            except ClientDisconnect:  # nobody reads the answer
                return Response(status_code=400)
            finally:
                arrived.pop(upload_id[:64], None)

    @app.get(f"{API}/upload_progress")
    async def progress(upload_id: str) -> Response:
        return StreamingResponse(_progress(arrived, upload_id[:64]), media_type="text/event-stream")

    @app.get(f"{API}/file={{path:path}}")
    def file(path: str) -> Response:
        try:
            own = uploads.find(path)
        except ZooError as error:
            return refusal(Refused(404, str(error)))
        kind = _SHOWN.get(own.suffix.lower())
        name = None if kind else own.name
        return FileResponse(own, media_type=kind or "application/octet-stream", headers=_HEADERS, filename=name)


def _as_refused(error: ZooError | Refused) -> Refused:
    match error:
        case Refused():
            return error
        case FullError():
            return Refused(503, str(error), 60)
        case DataError():
            return Refused(413, str(error))
        case _:
            return Refused(400, str(error))


async def _received(request: Request, uploads: Uploads, upload_id: str, arrived: _Arrived) -> list[Path]:
    """Writes the files of a form. Raises `FullError`, `DataError`, `UsageError`."""
    sink = _Sink(uploads)

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in request.stream():
            for start in range(0, len(chunk), _PIECE_BYTES):
                yield chunk[start : start + _PIECE_BYTES]
                await asyncio.sleep(0)  # many small files take long, and others wait
            if upload_id:
                arrived[upload_id] = (sink.name, sink.num_bytes)

    try:
        await read_form(request.headers.get("content-type", ""), chunks(), sink)
        return sink.finished()
    except BaseException:
        sink.discard()
        raise


class _Sink:
    """Writes the files of a form to disk while the form arrives. All of them are kept, or none."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads
        self._file: IO[bytes] | None = None
        self._paths: list[Path] = []
        self._file_bytes = 0
        self.name = ""
        self.num_bytes = 0

    def finished(self) -> list[Path]:
        if not self._paths:
            raise UsageError("The form has no file.", "Send one, in a field `files`.", code="form-without-file")
        return self._paths

    def discard(self) -> None:
        self.end()
        for path in self._paths:
            self._uploads.discard(path)

    def begin(self, name: str) -> None:
        if len(self._paths) == MAX_BATCH_PICTURES:
            cause = f"The form has more than {MAX_BATCH_PICTURES:,} files."
            raise DataError(cause, "Send fewer at once.", code="form-with-files")
        self.name, self._file_bytes = name, 0
        self._paths.append(self._uploads.new(name))
        self._file = self._paths[-1].open("xb")

    def data(self, chunk: bytes) -> None:
        assert self._file
        self.num_bytes += len(chunk)
        self._file_bytes += len(chunk)
        if self.num_bytes > MAX_UPLOAD_BYTES:
            raise too_large() if self._file_bytes == self.num_bytes else _too_large_together()
        self._uploads.grown(self._paths[-1], self._file_bytes)
        self._file.write(chunk)

    def end(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


def _too_large_together() -> DataError:
    cause = f"The files together have more than {MAX_UPLOAD_BYTES // 10**6} MB."
    return DataError(cause, "Send them in several parts, or smaller ones.", code="uploads-too-large")


async def _progress(arrived: _Arrived, upload_id: str) -> AsyncIterator[str]:
    """The progress that Gradio's page shows: the bytes that arrived since the last line."""
    seen = 0
    begun = False
    for turn in range(int(BODY_SECONDS / _PROGRESS_SECONDS)):
        await asyncio.sleep(_PROGRESS_SECONDS)
        if upload_id in arrived:
            begun = True
            name, size = arrived[upload_id]
            yield f"data: {json.dumps({'msg': 'update', 'orig_name': name, 'chunk_size': size - seen})}\n\n"
            seen = size
        elif begun or turn > _UNKNOWN_TURNS:
            break
    yield f"data: {json.dumps({'msg': 'done'})}\n\n"
