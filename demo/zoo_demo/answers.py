"""What the page asks of the models: one picture, by a file or a drawing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from zoo.errors import UsageError, ZooError
from zoo.progress import Reporter
from zoo_demo.limits import MAX_WAIT_SECONDS
from zoo_demo.models import Model
from zoo_demo.service import Answer, Checked, Report
from zoo_demo.texts import Language, say
from zoo_demo.uploads import Uploads

Upload = Mapping[str, Any]
T = TypeVar("T")


class Answers:
    """The models of the page, and the pictures that visitors sent."""

    def __init__(self, models: Sequence[Model], uploads: Uploads) -> None:
        self._models = {model.title: model for model in models}
        self._uploads = uploads

    def model(self, title: object, language: Language = "en") -> Model:
        """The model with a title. Raises `UsageError`."""
        if isinstance(title, str) and title in self._models:
            return self._models[title]
        raise UsageError(say("wrong.model", language), say("wrong.model-remedy", language), code="unknown-model")

    def of(self, picture: object, strokes: object, title: object, language: Language) -> Answer | None:
        """The answer to the picture or else the drawing; None if there is neither. Raises `ZooError`."""
        service = self.model(title, language).service
        if (given := self._given(picture, strokes)) is None:
            return None
        kind, read = given
        return asked(lambda: service.ask(kind, read()), language)

    def of_given(self, picture: object, strokes: object, title: object, language: Language) -> Answer:
        """Like `of`, but raises `UsageError` if there is neither."""
        found = self.of(picture, strokes, title, language)
        if found is None:
            raise _nothing(language)
        return found

    def look(
        self, picture: object, strokes: object, title: object, language: Language, report: Report
    ) -> tuple[str, bytes]:
        """The class and the heat map of the picture or else the drawing. Raises `ZooError`.

        Args:
            report: gets the share of the work that is done; returns whether to go on.
        """
        service = self.model(title, language).service
        if (given := self._given(picture, strokes)) is None:
            raise _nothing(language)
        kind, read = given
        return asked(lambda: service.look(kind, read(), report), language)

    def check(self, title: object, language: Language) -> list[Checked]:
        """What a check of the model's file finds now. Raises `ZooError`."""
        return asked(self.model(title, language).service.check, language)

    def _given(self, picture: object, strokes: object) -> tuple[Any, Callable[[], bytes]] | None:
        if isinstance(picture, Mapping):
            return "file", lambda: self._uploads.read(picture.get("path"))
        if isinstance(strokes, str) and strokes not in ("", "[]"):
            return "strokes", strokes.encode
        return None


def _nothing(language: Language) -> UsageError:
    return UsageError(say("wrong.none", language), say("wrong.none-remedy", language), code="no-picture")


def asked(work: Callable[[], T], language: Language) -> T:
    """What a model answers. Raises `ZooError` with a message for the visitor."""
    try:
        return work()
    except ZooError:
        raise
    except Exception as error:  # no tracebacks in the operator's terminal because of a visitor's request
        Reporter().warn(f"A picture got no answer: {type(error).__name__}.")
        raise ZooError(say("wrong.failed", language), say("wrong.again", language), code="demo-failed") from None


def refuse_late(arrived: float, language: Language) -> None:
    """Refuses a request that waited too long: its visitor may be gone, and others wait. Raises `ZooError`."""
    if time.monotonic() - arrived > MAX_WAIT_SECONDS:
        cause = say("wrong.busy", language, seconds=round(MAX_WAIT_SECONDS))
        raise ZooError(cause, say("wrong.again", language), code="demo-busy")
