"""The error of the package, where users import it from."""

from rootbound.core.errors import InputError

__all__ = ["InputError"]
