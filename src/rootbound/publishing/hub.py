"""The Hugging Face hub: files from it and to it, under the names that its own library uses."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rootbound.core.errors import InputError

WEIGHTS, CONFIG, CARD, README = "model.safetensors", "config.json", "card.json", "README.md"
OTHERS = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json")
"""Files of a tokeniser, as `transformers` calls them."""
PUBLISHED = (WEIGHTS, CONFIG, CARD, README, "generation_config.json", *OTHERS)


@dataclass(frozen=True)
class DownloadOptions:
    """How files are fetched, as `huggingface_hub.snapshot_download` takes it.

    Args:
        revision: branch, tag or commit; the newest on `main` when left out.
        token: to log in with; the one of `hf auth login` or `HF_TOKEN` when left out.
        cache_dir: folder for what was fetched.
        local_files_only: whether to look in that folder alone.
        force_download: whether to fetch again what is in it.
    """

    revision: str | None = None
    token: str | bool | None = None
    cache_dir: str | Path | None = None
    local_files_only: bool = False
    force_download: bool = False


AS_USUAL = DownloadOptions()


def push_to_hub(
    folder: str | Path,
    repo_id: str,
    *,
    files: Sequence[str] = PUBLISHED,
    commit_message: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    branch: str | None = None,
    create_pr: bool | None = None,
) -> str:
    """Send what `rootbound export` wrote, in one commit; return its address.

    Args:
        folder: that was written.
        repo_id: `OWNER/NAME`; the repository is made where there is none.
        files: names, or patterns of them; nothing else in the folder is sent.
        commit_message: the hub's own when left out.
        private: whether a repository that is made is; as its owner has settled when left out.
        token: to log in with; the one of `hf auth login` or `HF_TOKEN` when left out.
        branch: `main` when left out.
        create_pr: whether to ask for the change in place of making it.

    Raises:
        InputError: the library `huggingface_hub` is not installed, or the folder has no card.
    """
    hub = import_hub_library().HfApi(token=token)
    if not (Path(folder) / CARD).is_file():
        raise InputError(f"a folder with {CARD} at {folder}", "none", "run rootbound export")
    name = hub.create_repo(repo_id, private=private, exist_ok=True).repo_id
    made = hub.upload_folder(
        repo_id=name,
        folder_path=str(folder),
        allow_patterns=list(files),
        commit_message=commit_message,
        revision=branch,
        create_pr=create_pr,
    )
    return str(made)


def import_hub_library() -> Any:
    """Return the library `huggingface_hub`.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise InputError(
            "the library `huggingface_hub`", "none", "pip install 'rootbound[hub]'"
        ) from None


def download_files(name: str, files: Sequence[str], download: DownloadOptions) -> Path:
    """Return the folder to which files of the hub were downloaded, those of them that it has.

    Raises:
        InputError: there is no such repository or revision, or no way to it.
    """
    try:
        return Path(
            import_hub_library().snapshot_download(name, allow_patterns=files, **asdict(download))
        )
    except InputError:
        raise
    except Exception as error:  # of whatever the network does
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise InputError(
            f"a model file, a folder, or a model of the hub at {name}", reason, "check the name"
        ) from None
