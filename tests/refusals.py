"""Errors of the project, told apart by their codes: their wording may change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from zoo.errors import ZooError


@contextmanager
def refused(code: str, *facts: object, kind: type[ZooError] = ZooError) -> Iterator[pytest.ExceptionInfo[ZooError]]:
    """Expects an error with this code whose message holds all the facts: names, numbers, options."""
    with pytest.raises(kind) as caught:
        yield caught
    message = str(caught.value)
    assert caught.value.code == code, f"{caught.value.code}: {message}"
    for fact in facts:
        assert str(fact) in message
