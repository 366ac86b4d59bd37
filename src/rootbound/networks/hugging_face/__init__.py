"""Networks of the library `transformers`, seen as blocks and a head; their code is never a file's.

Everything else of `rootbound` works without that library: it is imported when a model of it is
asked for.
"""

from rootbound.networks.hugging_face.network import (
    CONFIGURED,
    PRETRAINED,
    build,
    find_auto_class,
    from_transformers,
    read_fixed_shape,
    to_transformers,
)
from rootbound.networks.hugging_face.tokeniser import pretrained_tokeniser

__all__ = [
    "CONFIGURED",
    "PRETRAINED",
    "build",
    "find_auto_class",
    "from_transformers",
    "pretrained_tokeniser",
    "read_fixed_shape",
    "to_transformers",
]
