"""The public place of `zoo.html`."""

from zoo.html import Drawing, clean, count, name, plot, png, section, table, text

__all__ = ["Drawing", "clean", "count", "name", "plot", "png", "section", "table", "text"]
