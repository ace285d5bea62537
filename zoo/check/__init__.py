"""Looking at a dataset before a network does: what is in it, what is in it twice, and what is wrong with it."""

from zoo.check.findings import Report, as_json, conclude
from zoo.check.scan import Scan, scan
from zoo.check.write import make_folder, write_report

__all__ = ["Report", "Scan", "as_json", "conclude", "make_folder", "scan", "write_report"]
