from .figures import plots
from .render import html, load_pictures, notebook, write

__all__ = ["html", "load_pictures", "notebook", "plots", "write"]
