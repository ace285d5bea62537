"""Help of a command with many options: the common ones first, all of them in groups with `--help-all`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

WIDEST = 120  # lines that are longer are hard to read
COMMON = "Common options"

GROUPS: Mapping[str, Sequence[str]] = {
    "Data": ("val", "test", "encoding", "data_root", "max_unreadable", "limit"),
    "Model": ("plugins", "weights", "strategy", "freeze_until", "unfreeze_at", "dropout"),
    "Length": ("epochs", "head_epochs", "time_budget", "early_stopping", "monitor"),
    "Input": ("image_size", "resize", "interpolation", "pixel_range", "mean", "std"),
    "Augmentation": (
        *("augment", "rotate", "translate", "zoom", "crop", "shear", "flip", "jitter", "hue", "grey", "trivial"),
        *("erase", "mixup", "cutmix", "views"),
    ),
    "Balance": ("sampling", "class_weights"),
    "Optimiser": (
        *("optimizer", "learning_rate", "head_learning_rate", "layer_decay", "momentum", "nesterov", "weight_decay"),
        *("clip_norm", "ema", "label_smoothing", "batch_size", "accumulate"),
    ),
    "Schedule": ("schedule", "warmup_epochs", "step_epochs", "milestones", "gamma", "patience"),
    "Hardware": ("device", "devices", "nodes", "distributed", "precision", "compile"),
    "Cache": ("cache_budget", "disk_budget"),
    "Run": (
        *("recipe", "output", "resume", "seed", "deterministic", "checkpoint_minutes", "loggers", "log_every", "json"),
    ),
}
FIRST = (
    *("recipe", "epochs", "strategy", "freeze_until", "weights", "image_size", "augment", "learning_rate"),
    *("batch_size", "device", "output", "resume"),
)


class GroupedCommand(TyperCommand):
    """A command whose `--help` shows the options that most people need, and `--help-all` every one by its group."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.width = min(WIDEST, ctx.terminal_width or shutil.get_terminal_size().columns)
        super().format_help(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        arguments, options = [], {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record and param.param_type_name == "argument":
                arguments.append(record)
            elif record:
                options[param.name] = record
        with formatter.section("Arguments"):
            formatter.write_dl(arguments)
        for title, names in self._sections(options, everything=bool(ctx.meta.get("zoo.help_all"))):
            with formatter.section(title):
                formatter.write_dl([options[name] for name in names])

    def _sections(self, options: Mapping[str, Any], *, everything: bool) -> list[tuple[str, list[str]]]:
        helps = [name for name in ("help_all", "help") if name in options]
        if not everything:
            return [(COMMON, [name for name in FIRST if name in options] + helps)]
        sections = [(title, [name for name in names if name in options]) for title, names in GROUPS.items()]
        grouped = {name for _, names in sections for name in names}
        others = [name for name in options if name not in grouped]
        return [(title, names) for title, names in (*sections, ("Other", others)) if names]


def show_all(ctx: typer.Context, value: bool | None) -> None:
    """What `--help-all` does. The option's value is None: commands take no notice of it."""
    if value and not ctx.resilient_parsing:
        ctx.meta["zoo.help_all"] = True
        typer.echo(ctx.get_help())
        raise typer.Exit


HELP_ALL = Annotated[
    bool | None,
    typer.Option(
        "--help-all",
        is_eager=True,
        callback=show_all,
        help="Show all options, in groups, and exit.",
    ),
]
