"""Looking at a dataset before a network does: what is in it, what is in it twice, and what is wrong with it."""

from zoo.audit.findings import Report, as_json, conclude
from zoo.audit.scan import Scan, scan
from zoo.audit.write import make_folder, write_report

__all__ = ["Report", "Scan", "as_json", "conclude", "make_folder", "scan", "write_report"]
