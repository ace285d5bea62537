"""Checks one plugin for `zoo plugins check`, which starts this module: see `zoo.processes.supervised`."""

from __future__ import annotations

import json
from dataclasses import asdict

from zoo.errors import ZooError
from zoo.processes.supervised import answering
from zoo.testing.checks import plugin_results
from zoo.testing.rules import Result, on_result, on_rule


def _main() -> None:
    send, (name, options) = answering()
    sent: set[Result] = set()

    def tell(result: Result) -> None:
        if result not in sent:
            sent.add(result)
            send({"result": asdict(result)})

    on_rule.set(lambda subject, rule, says: send({"begun": {"subject": subject, "rule": rule, "says": says}}))
    on_result.set(tell)
    try:
        for result in plugin_results(name, **json.loads(options)):
            tell(result)
    except ZooError as error:
        send({"refused": [error.cause, error.remedy]})
    send({"done": True})


if __name__ == "__main__":
    _main()
