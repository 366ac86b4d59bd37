from .render import html, write

__all__ = ["html", "write"]
