"""The leaderboard: every method of a run on one page that anyone can challenge.

What the package offers is listed in `__init__.pyi`; drawing is loaded when it is first asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
