"""Every error a user can cause: one sentence of cause, one of remedy.

::

    ZooError                    exit code 1: the job failed
    ├── UsageError              exit code 2: the command was wrong
    │   └── UnknownNameError    a name that is not registered, with the nearest known names
    ├── DataError               pictures, labels or dataset files
    │   └── UnreadablePictureError   a picture that cannot be decoded
    │       └── TooLittleMemoryError   a picture that needs more memory than there is
    ├── PluginError             a plugin that breaks the contract of `zoo.hookspecs`
    ├── TrainingError           a training that cannot continue
    ├── WeightsError            weights that are missing or do not fit the network
    ├── ArtifactError           an exported file that is damaged, or that zoo did not write
    ├── ExportError             an export that cannot be written
    │   └── ParityError         an artifact whose answers differ from those of its classifier
    └── MissingExtraError       an optional dependency that is not installed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class ZooError(Exception):
    """The base class of all errors with a message for the user.

    Args:
        cause: one sentence that says what is wrong.
        remedy: one sentence that says what to do about it.
        code: a name for this error that stays when its wording changes, such as `folder-without-classes`.
            Default: the code of the class.
    """

    exit_code = 1
    code = "failed"

    def __init__(self, cause: str, remedy: str, *, code: str | None = None) -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.cause} {self.remedy}"

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the message, without the frames of a fault that is in none of them."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(ZooError):
    exit_code = 2
    code = "usage"


class UnknownNameError(UsageError):
    """A name that is not registered.

    Args:
        kind: what was looked up, in the singular (`backbone`).
        name: what the user wrote.
        known: the names that exist.
        listing: the command or place that lists them all.
    """

    code = "unknown-name"

    def __init__(self, kind: str, name: str, known: Iterable[str], listing: str) -> None:
        near = nearest(name, known)
        remedy = f"Did you mean {' or '.join(near)}? {listing}" if near else listing
        super().__init__(f"zoo has no {kind} named '{name}'.", remedy)


class DataError(ZooError):
    code = "data"


class UnreadablePictureError(DataError):
    """A picture that cannot be decoded.

    Attributes:
        index: its place among the pictures that `Predictor.predict` or `Predictor.logits` got; None elsewhere.
    """

    index: int | None = None
    code = "unreadable-picture"


class TooLittleMemoryError(UnreadablePictureError):
    """A picture that needs more memory than there is.

    Args:
        name: of the picture, as the first words of the message.
    """

    code = "too-little-memory"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} cannot be read: there is not enough memory for it.",
            "Make it smaller, leave it out, or close other programs.",
        )


class PluginError(ZooError):
    code = "plugin"


class TrainingError(ZooError):
    code = "training"


class WeightsError(ZooError):
    code = "weights"


class ArtifactError(ZooError):
    code = "artifact"


class ExportError(ZooError):
    code = "export"


class ParityError(ExportError):
    code = "parity"


class MissingExtraError(ZooError):
    """A package of an extra that is not installed.

    Args:
        purpose: what needs the package, as the first words of the message (`Reading ONNX files`).
        extra: the extra of `visionzoo` that installs it.
    """

    code = "missing-extra"

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs packages that are not installed.",
            f"Install them with: pip install 'visionzoo[{extra}]'",
        )


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out. Outside CUDA, torch and onnxruntime say so in the message only."""
    return isinstance(error, MemoryError) or any(text in str(error) for text in _OUT_OF_MEMORY)


_OUT_OF_MEMORY = (
    *("allocate memory", "bad_alloc", "bad allocation"),  # PyTorch on a CPU, onnxruntime
    *("out of memory", "not enough memory", "ALLOC_FAILED"),  # PyTorch on CUDA and MPS, on Windows; cuDNN, cuBLAS
)


def reason_of(error: OSError) -> str:
    """The operating system's reason in lower case, to put after a colon."""
    return (error.strerror or str(error)).lower()


def raised(error: BaseException) -> str:
    """The type of another library's exception and its message on one line, for a sentence."""
    text = " ".join(str(error).split())[:300].rstrip(".")
    return f"{type(error).__name__}{': ' if text else ''}{text}"


def nearest(name: str, known: Iterable[str], most: int = 3) -> Sequence[str]:
    """The known names closest to `name`, best first. Names that contain `name` count too."""
    lowered = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=most, cutoff=0.6)
    close += [key for key in sorted(lowered) if name.lower() in key and key not in close]
    return [lowered[key] for key in close[:most]]
