"""Reads requests to the model strictly, and rewrites them before Gradio sees them.

Gradio checks a file's path only if the request itself marks it as a file (by a field `meta`). It follows addresses in a
request, and prints a traceback to the server's terminal for unexpected input.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from zoo.errors import UsageError
from zoo_demo.limits import MAX_DRAWING_CHARACTERS

ID = r"[A-Za-z0-9_-]{1,64}"
_Id = Annotated[str, StringConstraints(pattern=f"^{ID}$")]
_MAX_VALUES = 16  # each wrong value costs an error
_MAX_NAME = 1000


def _narrow(text: str) -> str:
    # One character beyond ASCII makes every character of a text take up to four bytes.
    if len(text) > _MAX_NAME and not text.isascii():
        raise ValueError
    return text


_Text = Annotated[str, StringConstraints(max_length=MAX_DRAWING_CHARACTERS), AfterValidator(_narrow)]


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _File(_Read):
    path: Annotated[str, StringConstraints(max_length=4096)]


class _Call(_Read):
    data: Annotated[list[_Text | _File | None], Field(max_length=_MAX_VALUES)]
    fn_index: int | None = None
    trigger_id: int | None = None
    session_hash: _Id | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """The rewritten body of a call for Gradio, and the session of the call."""

    body: bytes
    session: str


def read_call(body: bytes, inputs: Mapping[int, int], number: int | None) -> Call:
    """Reads a call. Of a file it keeps only the path; unknown fields are dropped.

    Args:
        body: JSON.
        inputs: how many values each function takes.
        number: of the function in the address, None if the body has it.

    Raises:
        UsageError: the page would not send such a request.
    """
    try:
        read = _Call.model_validate_json(body)
    except ValidationError as error:
        raise _refused(error) from None
    index = read.fn_index if number is None else number
    if index is None or index not in inputs:
        raise UsageError("This function does not exist.", "See the page's API.", code="unknown-function")
    if len(read.data) != inputs[index]:
        raise UsageError(
            f"The request has {len(read.data)} values, but this function takes {inputs[index]}.",
            "See the page's API.",
            code="number-of-values",
        )
    session = read.session_hash or secrets.token_hex(8)
    written: dict[str, object] = {
        "data": [{"path": value.path} if isinstance(value, _File) else value for value in read.data],
        "session_hash": session,
    }
    if number is None:
        written |= {"fn_index": index, "trigger_id": read.trigger_id, "event_data": None}
    return Call(json.dumps(written).encode(), session)


def _refused(error: ValidationError) -> UsageError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part)[:20] for part in first["loc"][:2]) or "the body"
    return UsageError(f"The request cannot be read: {place} is not valid.", "See the page's API.", code="bad-request")
