"""Requests that are refused: their status, and the JSON that their senders read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from zoo.errors import DataError, UsageError, ZooError

# Of errors that a model or the decoder raises; all other pictures that cannot be read are 400.
_STATUS = {
    "unknown-picture-format": 415,
    "missing-picture-package": 415,
    "too-many-pixels": 413,
    "costly-picture": 413,
    "too-little-memory": 413,
    "drawing-too-large": 413,
    "runtime-failed": 500,
    "logits-shape": 500,
    "logits-not-finite": 500,
    "model-failed": 500,
    "model-late": 504,
}


class RequestError(ZooError):
    """A request that is refused.

    Args:
        status: of HTTP.
        retry_s: after how many seconds to retry.
        headers: more headers of the answer.
    """

    code = "request"

    def __init__(
        self,
        status: int,
        cause: str,
        remedy: str,
        *,
        code: str,
        retry_s: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(cause, remedy, code=code)
        self.status, self.retry_s = status, retry_s
        self.headers = dict(headers or {}) | ({} if retry_s is None else {"Retry-After": str(retry_s)})


def late(seconds: float) -> RequestError:
    """The error of a request that got no answer in time."""
    return RequestError(
        504,
        f"The picture got no answer within {seconds:g} seconds.",
        "Send it again later, or a smaller one.",
        code="deadline",
    )


def ending() -> RequestError:
    """The error of a request that comes, or still waits, when the service ends."""
    return RequestError(
        503,
        "The service is ending.",
        "Send the request again in 5 seconds, to its successor.",
        code="draining",
        retry_s=5,
        headers={"Connection": "close"},
    )


def status_of(error: ZooError) -> int:
    """The status of HTTP for an error."""
    if isinstance(error, RequestError):
        return error.status
    return _STATUS.get(error.code, 400 if isinstance(error, DataError | UsageError) else 500)


def as_json(error: ZooError) -> dict[str, Any]:
    """The error as the service tells it."""
    return {"code": error.code, "cause": error.cause, "remedy": error.remedy}


def refusal(error: ZooError) -> JSONResponse:
    """The answer to a request that is refused."""
    headers = error.headers if isinstance(error, RequestError) else None
    return JSONResponse({"error": as_json(error)}, status_of(error), headers)
