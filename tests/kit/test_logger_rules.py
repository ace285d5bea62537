"""The built-in loggers keep all rules, and each rule names the logger that breaks it."""

from __future__ import annotations

import threading

import pytest

from zoo.errors import MissingExtraError
from zoo.registry import registry
from zoo.specs import LoggerSpec
from zoo.testing import ConformanceError, check_logger
from zoo.testing.loggers import RULES


class Plain:
    def __init__(self, folder):
        self.path = folder / "log.txt"

    def log(self, row):
        with self.path.open("a") as file:
            file.write(f"{dict(row)}\n")

    def close(self):
        pass


class Hanging(Plain):
    ended = threading.Event()

    def log(self, row):
        self.ended.wait(60)


class Unfinished:
    def __init__(self, folder):
        pass

    def log(self, row):
        pass


class Changing(Plain):
    def log(self, row):
        row.pop("epoch")


class NeedsDict(Plain):
    def log(self, row):
        super().log(row | {} if isinstance(row, dict) else row.copy().pop("absent"))


class FixedColumns(Plain):
    columns = None

    def log(self, row):
        self.columns = self.columns or set(row)
        if set(row) != self.columns:
            raise ValueError("other columns")


BROKEN = {
    "wrong type": (LoggerSpec(name="a b", create=Plain), "valid"),
    "no close": (LoggerSpec(name="mine", create=Unfinished), "creates"),
    "a logger that hangs": (LoggerSpec(name="mine", create=Hanging), "takes-rows"),
    "rows change": (LoggerSpec(name="mine", create=Changing), "takes-rows"),
    "needs a dict": (LoggerSpec(name="mine", create=NeedsDict), "takes-read-only"),
    "fixed columns": (LoggerSpec(name="mine", create=FixedColumns), "takes-other-columns"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_named(case):
    spec, rule = BROKEN[case]
    Hanging.ended.clear()
    with pytest.raises(ConformanceError) as caught:
        check_logger(spec, seconds=1)
    Hanging.ended.set()  # its thread would be busy in the tests that follow
    assert str(caught.value).startswith(f"These rules are broken: '{rule}'.")


def test_what_lacks_an_extra_of_visionzoo_is_skipped_with_the_reason():
    def create(folder):
        raise MissingExtraError("The logger 'mine'", "mlflow")

    report = check_logger(LoggerSpec(name="mine", create=create))
    (reason,) = [result.cause for result in report.results if result.rule == "creates"]
    assert reason.endswith("Install them with: pip install 'visionzoo[mlflow]'")
    assert report.kept == ("valid",)


def test_a_logger_that_cannot_go_on_is_named():
    class Once(Plain):
        def log(self, row):
            if row["epoch"] == 3 and not getattr(self, "begun", False):
                raise FileExistsError(self.path)
            self.begun = True

    with pytest.raises(ConformanceError, match="'goes-on'"):
        check_logger(LoggerSpec(name="mine", create=Once))


def test_one_thread_makes_all_calls_and_ends():
    class OfOneThread(Plain):
        def __init__(self, folder):
            super().__init__(folder)
            self.thread = threading.get_ident()

        def log(self, row):
            assert threading.get_ident() == self.thread
            super().log(row)

        def close(self):
            assert threading.get_ident() == self.thread

    before = set(threading.enumerate())
    assert len(check_logger(LoggerSpec(name="mine", create=OfOneThread)).kept) == len(RULES)
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


def test_a_time_limit_of_the_logger_itself_is_told_apart():
    class Refused(Plain):
        def log(self, row):
            raise TimeoutError("no answer")

    with pytest.raises(ConformanceError, match="It raised TimeoutError: no answer"):
        check_logger(LoggerSpec(name="mine", create=Refused))


def test_each_rule_has_a_logger_that_breaks_it():
    assert {rule for _, rule in BROKEN.values()} | {"goes-on"} == {rule.name for rule in RULES}


@pytest.mark.parametrize("name", ["csv", "tensorboard"])
def test_the_built_in_loggers_keep_all_rules(name):
    assert len(check_logger(registry().logger(name).spec).kept) == len(RULES)
