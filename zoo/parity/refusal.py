"""The two errors of a parity check that fails."""

from __future__ import annotations

from zoo.errors import ParityError
from zoo.processes.children import more_time
from zoo.specs import Precision

_REMEDIES: dict[Precision, str] = {
    "fp32": "Try another format, or report the backbone with these figures.",
    "fp16": "Export it in fp32.",
    "int8": "Calibrate with more pictures (--calibration-pictures) or another --calibration-method. "
    "Or allow a larger --accuracy-budget, or use --precision fp16.",
}


class RefusedError(ParityError):
    """An artifact that fails or diverges.

    Args:
        reason: a clause about the artifact (`its logits differ …`).
        code: of the reason, such as `parity-logits`.
    """

    def __init__(self, reason: str, precision: Precision = "fp32", *, code: str | None = None) -> None:
        super().__init__(
            f"The artifact does not agree with its classifier: {reason.rstrip('.')}. It was not kept.",
            _REMEDIES[precision],
            code=code,
        )
        self.reason = reason
        # Those of int8 and fp16 name options that help whoever wrote the format
        self.blames_format = precision == "fp32"


class LateError(RefusedError):
    """An artifact that took too long. Its process was ended.

    Args:
        what: what it did not do in time (`gave no answer`).
        seconds: the limit.
    """

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"it {what} within {seconds:g} seconds", code="late")
        self.cause = f"The artifact {what} within {seconds:g} seconds."
        self.remedy = more_time(seconds)
        self.blames_format = False
