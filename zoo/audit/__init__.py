"""Checks a dataset before a training: its contents, its duplicates and its problems."""

from zoo.audit.findings import Report, as_json, conclude
from zoo.audit.scan import Scan, scan
from zoo.audit.write import make_folder, write_report

__all__ = ["Report", "Scan", "as_json", "conclude", "make_folder", "scan", "write_report"]
