"""Train models that resist transfer learning, and prove how much.

What the package offers is listed in `__init__.pyi`; a part is loaded when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
