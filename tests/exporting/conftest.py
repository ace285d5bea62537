"""Fixtures of the tests of exports."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def reference(trained):
    """What the classifier of the trained run answers, for several exports."""
    from zoo.parity.references import reference_of

    return reference_of(trained, "quick")


@pytest.fixture
def no_work(monkeypatch):
    """The classifier does not run over the pictures."""
    monkeypatch.setattr("zoo.exporting.source.reference_of", lambda *_: pytest.fail("it started"))
