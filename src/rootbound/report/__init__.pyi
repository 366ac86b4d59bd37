from .figures import make_plot, plots
from .render import html, load_pictures, notebook, write
from .verdicts import verdict

__all__ = ["html", "load_pictures", "make_plot", "notebook", "plots", "verdict", "write"]
