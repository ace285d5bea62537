"""Reads the files of a form (multipart/form-data) while it arrives."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from zoo.errors import UsageError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FORM = "multipart/form-data"
_MAX_HEADER_BYTES = 4096


class Sink(Protocol):
    """Takes the files of a form, one after the other. Each method may raise an error, which ends the form."""

    def begin(self, name: str) -> None: ...
    def data(self, chunk: bytes) -> None: ...
    def end(self) -> None: ...


async def read_form(content_type: str, chunks: AsyncIterable[bytes], sink: Sink) -> None:
    """Gives each file of a form to a sink; other fields are ignored.

    Raises:
        UsageError: it is not a form, or a damaged or incomplete one.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != FORM.encode() or not boundary:
        remedy = f"Send it as {FORM}, in a field `files`."
        raise UsageError("An upload must be a form.", remedy, code="upload-without-form")
    parts = _Parts(sink)
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        async for chunk in chunks:
            parser.write(chunk)
        parser.finalize()
    except FormParserError:
        raise _damaged() from None
    if not parts.whole:
        raise UsageError("The form is incomplete.", "Send the files again.", code="incomplete-form")


class _Parts:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._in_file = False
        self.whole = False

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._part,
            "on_header_field": self._field,
            "on_header_value": self._text,
            "on_header_end": self._header_end,
            "on_headers_finished": self._begin,
            "on_part_data": self._data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _part(self) -> None:
        self._disposition = b""

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._header = _bounded(self._header + data[start:end])

    def _text(self, data: bytes, start: int, end: int) -> None:
        self._value = _bounded(self._value + data[start:end])

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _begin(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._in_file = b"filename" in options
        if self._in_file:
            self._sink.begin(options[b"filename"].decode("utf-8", "replace"))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._sink.data(data[start:end])

    def _part_end(self) -> None:
        if self._in_file:
            self._in_file = False
            self._sink.end()

    def _end(self) -> None:
        self.whole = True


def _bounded(text: bytes) -> bytes:
    if len(text) > _MAX_HEADER_BYTES:
        raise _damaged()
    return text


def _damaged() -> UsageError:
    return UsageError("The form is damaged.", "Send the file again.", code="damaged-form")
