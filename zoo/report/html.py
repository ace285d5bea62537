"""The public place of `zoo.html`."""

from zoo.html import clean, count, name, png, section, table, text

__all__ = ["clean", "count", "name", "png", "section", "table", "text"]
