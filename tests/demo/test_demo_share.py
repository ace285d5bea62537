"""The public address of `zoo demo --share`, with stand-ins for Gradio's tunnel; `test_demo_access.py` has the page."""

from __future__ import annotations

import sys
from contextlib import contextmanager

import pytest

from zoo.errors import ZooError
from zoo_demo.tunnel import public_address

from ..refusals import refused
from .test_demo import onnx_artifact, started

pytest.importorskip("gradio", reason="the demo extra is not installed")


def test_a_tunnel_that_does_not_open_is_one_sentence(monkeypatch):
    @contextmanager
    def broken(host, port):
        raise OSError("no route\nto host")
        yield

    @contextmanager
    def odd(host, port):
        yield "no address"

    for opener, reason in ((broken, "no route."), (odd, "'no address' is not an address.")):
        names: list[str] = []
        with refused("no-tunnel", reason, "--share", kind=ZooError), public_address("http://a:1/", names, opener):
            pass
        assert names == []


def test_the_tunnel_ends_with_the_demo():
    events, names = [], ["a.example"]

    @contextmanager
    def opener(host, port):
        events.append((host, port))
        yield "https://b.example/"
        events.append("closed")

    with public_address("http://[::1]:7860/", names, opener) as public:
        assert (public, names) == ("https://b.example/", ["a.example", "b.example"])
        with pytest.raises(KeyboardInterrupt), public_address("http://localhost:7860/", names, opener):
            raise KeyboardInterrupt
    assert names == ["a.example"]
    assert events == [("::1", 7860), ("localhost", 7860), "closed"]


def test_zoo_demo_takes_the_password_and_says_that_it_cannot_be_shared(tmp_path):
    path = onnx_artifact(tmp_path / "model.onnx")
    command = [sys.executable, "-m", "zoo", "demo", str(path), "--share"]
    # No test opens a tunnel: this proxy is not there.
    proxies = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")
    with started(command, ZOO_DEMO_AUTH="ann:a secret word", **proxies) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "The public address could not be opened: " in err
    assert err.count("\n") <= 3 and "Traceback" not in err
    assert "secret" not in out + err
