"""What `zoo demo` promises to its operator: it asks no other host, serves no file of the folder, and leaves nothing."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from .test_demo import files, onnx_artifact, started

gradio_client = pytest.importorskip("gradio_client", reason="the demo extra is not installed")
httpx = pytest.importorskip("httpx", reason="the demo extra is not installed")

# Runs `zoo demo`, and notes each name and address that this process asks for.
PROGRAM = """
import os, sys
log = open(os.environ["ASKED"], "a", buffering=1)
def note(event, arguments):
    if event == "socket.getaddrinfo":
        print(arguments[0], file=log)
    elif event in ("socket.connect", "socket.sendto"):
        print(arguments[1][0] if isinstance(arguments[1], tuple) else "local", file=log)
sys.addaudithook(note)
from zoo.cli import main
main()
"""


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_it_asks_nobody_serves_no_file_of_the_folder_and_leaves_nothing(tmp_path):
    places = {name: tmp_path / name for name in ("home", "tmp", "work")}
    for place in places.values():
        place.mkdir()
    model = onnx_artifact(places["work"] / "model.onnx")
    (places["work"] / "secret.png").write_bytes(files()["png"])
    before = {name: everything_in(place) for name, place in places.items()}
    given = {"HOME": str(places["home"]), "TMPDIR": str(places["tmp"]), "ASKED": str(tmp_path / "asked")}
    given["MPLCONFIGDIR"] = str(tmp_path / "fonts")  # Gradio imports matplotlib, which lists the system's fonts there
    caches = dict.fromkeys(("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "HF_HOME"), str(places["home"]))
    # Telemetry stays off, also where the user's own setting allows it.
    program = [sys.executable, "-c", f"import os; os.chdir({str(places['work'])!r})\n{PROGRAM}", "demo", str(model)]
    with started(program, **given, **caches, GRADIO_ANALYTICS_ENABLED="True") as process:
        url = process.stdout.readline().split()[4]
        down = str(tmp_path / "down")
        client = gradio_client.Client(url, verbose=False, analytics_enabled=False, download_files=down)
        picture = gradio_client.handle_file(places["work"] / "secret.png")
        assert client.predict(picture, api_name="/predict")[0]["label"] == "red"
        client.close()
        with httpx.Client(base_url=url, trust_env=False) as http:
            assert http.get("config").json()["analytics_enabled"] is False
            for path in served_paths(places["work"]):
                answer = http.get(path)
                assert answer.status_code in (403, 404)
                assert files()["png"] not in answer.content and b"root:" not in answer.content
        assert everything_in(places["tmp"]) > before["tmp"]  # the upload
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    asked = set((tmp_path / "asked").read_text().split())
    assert {"127.0.0.1"} <= asked <= {"127.0.0.1", "localhost", "local", "::1", "0.0.0.0", "None"}
    assert {name: everything_in(place) for name, place in places.items()} == before


def served_paths(work: Path) -> list[str]:
    above = "../" * 8
    names = (
        "secret.png",
        f"{work}/secret.png",
        "../secret.png",
        "..%2fsecret.png",
        "/etc/passwd",
        f"{above}etc/passwd",
    )
    roots = ("", "file=", "file/", "static/", "assets/", "svelte/", "gradio_api/file=", "gradio_api/file/")
    return [f"{root}{name}" for root in roots for name in names]
