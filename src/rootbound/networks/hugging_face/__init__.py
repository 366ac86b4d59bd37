"""Networks of the library `transformers`, seen as blocks and a head; their code is never a file's.

Everything else of `rootbound` works without that library: it is imported when a model of it is
asked for.
"""

from rootbound.networks.hugging_face.network import (
    CONFIGURED,
    PRETRAINED,
    as_published,
    auto_class,
    build,
    from_transformers,
    only_shape,
    to_transformers,
)
from rootbound.networks.hugging_face.tokeniser import pretrained_tokeniser

__all__ = [
    "CONFIGURED",
    "PRETRAINED",
    "as_published",
    "auto_class",
    "build",
    "from_transformers",
    "only_shape",
    "pretrained_tokeniser",
    "to_transformers",
]
