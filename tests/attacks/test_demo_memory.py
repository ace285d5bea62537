"""What the heaviest uploads cost a running demo: at their worst together, and what stays."""

from __future__ import annotations

import time

import pytest

from zoo.exporting.pipeline import export

from .site import answer, demo, upload
from .uploads import UPLOADS

HEAVY = sorted(UPLOADS.values(), key=lambda attack: -attack.mib)[:20]
PEAK_MIB = 1200
STAYS = 1.2  # of what there was before
QUIET_S = 10


def send(site, attack) -> tuple[bool, str]:
    with site.client() as client:
        title = client.get("config").json()["components"][1]["props"]["choices"][0][0]
        return answer(client, {"data": [{"path": upload(client, attack.build())}, title]})


def in_a_row(site, attacks) -> list[tuple[bool, str]]:
    return [send(site, attack) for attack in attacks]


@pytest.mark.slow
def test_twenty_heavy_uploads_fit_and_leave_nothing(trained, tmp_path):
    model = export(trained, "onnx", tmp_path / "model.onnx").path
    with demo(model, tmp_path) as site:
        in_a_row(site, [UPLOADS["png-row"]])  # whatever is loaded at the first picture
        before, _ = site.memory_mib()
        found = in_a_row(site, HEAVY)
        _, peak = site.memory_mib()
        time.sleep(QUIET_S)
        after, _ = site.memory_mib()
        assert [done for done, _ in found] == [isinstance(attack.comes, tuple) for attack in HEAVY], found
        assert peak < PEAK_MIB
        assert after < STAYS * before
        assert site.lines() == []
        print(f"before {before:.0f} MiB, peak {peak:.0f} MiB, after {after:.0f} MiB")
