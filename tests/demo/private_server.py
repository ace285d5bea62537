"""Run by `test_demo_access.py` in a process of its own: a demo with a password, and with a stand-in for the tunnel.

    python -m tests.demo.private_server LOG

Prints the address of the page and the public one.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager

from zoo.artifacts.predictor import Predictor

from .demo_server import Fake, card, means

CREDENTIALS = "ärzte:correct:horse"  # a password may have colons, and a name letters beyond ASCII
TOKEN = "a-token-of-enough-letters"
PUBLIC = "https://d0cafe.tunnel.example"


@contextmanager
def tunnel(host: str, port: int):
    assert (host, type(port)) == ("127.0.0.1", int)
    yield PUBLIC


def main(log: str) -> None:
    from zoo_demo import server
    from zoo_demo.access import Access
    from zoo_demo.models import Model
    from zoo_demo.tunnel import public_address

    model = Model("colours", card(), Fake(Predictor(card(), means), log))
    names: list[str] = ["*.lab.example"]
    access = Access(CREDENTIALS, TOKEN)
    with (
        server.running([model], "127.0.0.1", allowed_hosts=names, access=access) as url,
        public_address(url, names, tunnel) as public,
    ):
        print(url, public, flush=True)
        server.wait_for_interrupt()


if __name__ == "__main__":
    main(sys.argv[1])
