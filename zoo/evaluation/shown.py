"""How an evaluation shows itself: one line, and tables in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.html import count, facts, table, text

if TYPE_CHECKING:
    from zoo.evaluation.evaluation import Evaluation

SHOWN_CLASSES = 20


def line_of(found: Evaluation) -> str:
    """One line: what was evaluated on what, and how good it is."""
    figures = found.figures
    pictures = count(int(figures["num_pictures"]), f"{found.split_name} picture")
    about = f"{found.title} on {pictures}" if found.title else pictures
    return f"Evaluation({about}: accuracy {figures['top1']:.2%}, macro F1 {figures['macro_f1']:.2%})"


def html_of(found: Evaluation) -> str:
    """The figures, and those of each class, the lowest F1 first."""
    shares = {"top1": "accuracy", "top5": "top-5 accuracy", "macro_f1": "macro F1", "macro_recall": "macro recall"}
    figures, by_class = found.figures, found.by_class
    rows = [
        ("pictures", f"{figures['num_pictures']:,} {found.split_name}"),
        ("unreadable", f"{len(found.unreadable):,}" if found.unreadable else ""),
        *((title, f"{figures[name]:.2%}") for name, title in shares.items() if name in figures),
        ("loss", f"{figures['loss']:.4f}"),
        ("calibration error", f"{figures['ece']:.2%}"),
        *(("note", note) for note in found.notes),
    ]
    columns = (by_class.precision, by_class.recall, by_class.f1)
    classes = (
        (text(found.classes[label]), *(f"{values[label]:.1%}" for values in columns), f"{by_class.support[label]:,}")
        for label in found.worst_first[:SHOWN_CLASSES]
    )
    headers = ("class", "precision", "recall", "F1", "pictures")
    return facts(found.title or "figure", rows) + table("Figures of each class", headers, classes, names={0})
