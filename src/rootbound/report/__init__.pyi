from .figures import plots
from .render import html, load_pictures, write

__all__ = ["html", "load_pictures", "plots", "write"]
