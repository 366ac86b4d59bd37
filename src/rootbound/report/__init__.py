"""Reports: pure functions of records, read by people."""

from rootbound.report.render import html, write

__all__ = ["html", "write"]
