"""The tables and the plot of `serve.py`."""

from __future__ import annotations

from typing import Any

from measure import median

CLAIMED_CPU, CLAIMED_MEMORY = 1.25, 1.1
_FAIRNESS = (
    "Equal: the ONNX file with the preprocessing in it, the clients, the threads of the model, batches of at most "
    "32 pictures, the answers. Not equal: LitServe waits up to 10 ms for a batch, gets pictures as forms, and "
    "decodes in the process that runs the model, with another process for HTTP. `zoo serve` decodes in threads, "
    "and checks limits of bytes, pixels, time and queue, which LitServe does not have."
)
Records = list[dict[str, Any]]
_COLOURS = {"batches": "tab:blue", "single": "tab:cyan", "litserve": "tab:grey"}
_NAMES = {"batches": "zoo serve", "single": "zoo serve --batch 1", "litserve": "LitServe"}


def table(records: Records, nuisances: int) -> str:
    lines = [
        "| pictures | answered, declined, lost | p50, p99 ms | pictures in a run | per second: batches / single "
        "| server's CPU / `zoo predict` | CPU ms | memory after / before |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in _cases(records):
        own, single, predict = (_of(records, case, side) for side in ("batches", "single", "predict"))
        gain = _ratios(own, single, "per_second")
        cpu = _ratios(own, predict, "cpu_ms")
        lines.append(
            f"| {case} | {_counts(own)} | {_times(own)} | {_median(own, 'batch'):.1f} | {shown(gain)} | {shown(cpu)} "
            f"| {_median(own, 'cpu_ms'):.2f}, {_median(predict, 'cpu_ms'):.2f} "
            f"| {shown([r['mib'][1] / r['mib'][0] for r in own])} |"
        )
    first = records[0]
    claims = f"at most {CLAIMED_CPU} of the CPU time and {CLAIMED_MEMORY} of the memory with EfficientNet-Lite0"
    return "\n".join(lines) + (
        f"\n\n{first['clients']} clients, {first['requests']:,} requests, beside {nuisances} clients that stall and "
        f"{nuisances} that leave. Claimed: none lost; {claims}. Clients and server share the cores: times and pictures "
        f"per second depend on what else runs, the ratios less. Before each side the machine's load was "
        f"{min(r['load'] for r in records):.1f} to {max(r['load'] for r in records):.1f}.\n{_beside(records)}"
    )


def _beside(records: Records) -> str:
    """The table of LitServe; nothing if it was not measured."""
    lines = [
        "| beside LitServe | per second: `zoo serve` / LitServe | CPU per picture: LitServe / `zoo serve` "
        "| memory: LitServe / `zoo serve` | CPU ms | MiB | p50, p99 ms of LitServe | pictures in a run "
        "| answered, declined, lost |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for case in _cases(records):
        own, other = _of(records, case, "batches"), _of(records, case, "litserve")
        if not other:
            return ""
        memory = [b["mib"][1] / a["mib"][1] for a, b in zip(own, other, strict=True)]
        mib = ", ".join(f"{median(r['mib'][1] for r in each):.0f}" for each in (other, own))
        lines.append(
            f"| {case} | {shown(_ratios(own, other, 'per_second'))} | {shown(_ratios(other, own, 'cpu_ms'))} "
            f"| {shown(memory)} | {_median(other, 'cpu_ms'):.2f}, {_median(own, 'cpu_ms'):.2f} | {mib} "
            f"| {_times(other)} | {_median(other, 'batch'):.1f} | {_counts(other)} |"
        )
    return "\n" + "\n".join(lines) + f"\n\n{_FAIRNESS}\n"


def _cases(records: Records) -> list[str]:
    return list(dict.fromkeys(record["case"] for record in records))


def _of(records: Records, case: str, side: str) -> Records:
    return [r for r in records if (r["case"], r["side"]) == (case, side)]


def _ratios(one: Records, other: Records, what: str) -> list[float]:
    return [a[what] / b[what] for a, b in zip(one, other, strict=True)]


def _median(records: Records, what: str) -> float:
    return median(record[what] for record in records)


def _counts(records: Records) -> str:
    return ", ".join(f"{sum(r[what] for r in records):,}" for what in ("answered", "declined", "lost"))


def _times(records: Records) -> str:
    return f"{_median(records, 'p50_ms'):.0f}, {_median(records, 'p99_ms'):.0f}"


def shown(values: list[float]) -> str:
    return f"**{median(values):.2f}** ({min(values):.2f} to {max(values):.2f})"


def plot(records: Records) -> Any:
    from matplotlib.figure import Figure

    cases = _cases(records)
    sides = [side for side in _NAMES if any(record["side"] == side for record in records)]
    figure = Figure(figsize=(8, 1.2 + 1.1 * len(cases)), layout="constrained")
    panels = figure.subplots(len(cases), 1, squeeze=False)[:, 0]  # each case has a scale of its own
    for axes, case in zip(panels, cases, strict=True):
        values = [_median(_of(records, case, side), "per_second") for side in sides]
        bars = axes.barh([_NAMES[side] for side in sides], values, color=[_COLOURS[side] for side in sides])
        axes.bar_label(bars, fmt=" %.0f")
        axes.set_title(case, loc="left")
        axes.set_xlim(0, 1.12 * max(values))
        axes.invert_yaxis()
    panels[-1].set_xlabel("answers per second")
    return figure
