from .figures import plots
from .render import html, load_pictures, notebook, write
from .verdicts import verdict

__all__ = ["html", "load_pictures", "notebook", "plots", "verdict", "write"]
