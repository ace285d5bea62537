"""The one way in which parity says no."""

from __future__ import annotations

from zoo.errors import ParityError


class RefusedError(ParityError):
    """An artifact that fails or departs.

    Args:
        reason: a clause about the artifact (`its logits differ …`).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The artifact does not agree with its classifier: {reason.rstrip('.')}. It was not kept.",
            "Try another format, or report the backbone together with these figures.",
        )
        self.reason = reason
