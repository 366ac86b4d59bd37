"""Loading a model, or the verdict of a run, by path or name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, overload

from torch import nn

from rootbound import publishing
from rootbound.api.verdict import Verdict
from rootbound.core.files import as_path
from rootbound.networks import Classifier
from rootbound.networks.hugging_face.configuration import PRETRAINED
from rootbound.publishing.published import load_transformers
from rootbound.records import Evaluation, has_spec, records_file


@overload
def load(
    name: Path | str,
    module: nn.Module,
    *,
    head: str | None = ...,
    fresh: Callable[[], nn.Module] | None = ...,
    key: str | None = ...,
    **download: Any,
) -> Classifier: ...


@overload
def load(name: Path | str, module: None = None, **download: Any) -> Any: ...


def load(
    name: Path | str,
    module: nn.Module | None = None,
    *,
    head: str | None = None,
    fresh: Callable[[], nn.Module] | None = None,
    key: str | None = None,
    **download: Any,
) -> Classifier | Verdict:
    """Load a model by its path or published name, or the `Verdict` of a run by its folder.

    Nothing that comes with weights is executed; a model is in evaluation mode.

    Args:
        name: A model file, a folder with its card, `OWNER/NAME` on the Hugging Face hub, or
            `hf:NAME` for a plain model of `transformers`; or the folder of a run, finished or not.
        module: Your own network, if the weights belong to one; it is copied.
        head: With `module`: its last linear layer, as `Classifier.wrap` takes it.
        fresh: With `module`: makes it with random weights, as for `Classifier.wrap`.
        key: With `module`: which weights to take, if a foreign file has several.
        download: Options of a download from the hub, named as its library names them: `revision`,
            `token`, `cache_dir`, `local_files_only` and `force_download`.

    Raises:
        InputError: There is no such model or run, it is damaged, it does not fit the module, it
            needs a module that was not given, or its card describes other weights.
    """
    folder = as_path(name, "name")
    if module is None and (records_file(folder).is_file() or has_spec(folder)):
        return Verdict(Evaluation.load(folder), folder)
    if module is None and str(name).startswith(PRETRAINED):
        return load_transformers(str(name))
    return publishing.load(name, module, head=head, fresh=fresh, key=key, **download)
