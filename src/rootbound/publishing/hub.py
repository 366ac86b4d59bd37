"""The Hugging Face hub: files from it and to it, under the names that its own library uses."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rootbound.core.errors import InputError, first_line

WEIGHTS, CONFIG, CARD, README = "model.safetensors", "config.json", "card.json", "README.md"
TOKENISER_FILES = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json")
"""Files of a tokeniser, as `transformers` calls them."""
PUBLISHED = (WEIGHTS, CONFIG, CARD, README, "generation_config.json", *TOKENISER_FILES)


@dataclass(frozen=True)
class DownloadOptions:
    """How files are downloaded, as `huggingface_hub.snapshot_download` takes it.

    Args:
        revision: Branch, tag or commit; the newest on `main` when left out.
        token: Token to log in with; that of `hf auth login` or `HF_TOKEN` when left out.
        cache_dir: Folder for the downloads.
        local_files_only: Whether to look in that folder alone.
        force_download: Whether to download again what is in it.
    """

    revision: str | None = None
    token: str | bool | None = None
    cache_dir: str | Path | None = None
    local_files_only: bool = False
    force_download: bool = False


DEFAULT_DOWNLOAD = DownloadOptions()


def import_hub_library() -> Any:
    """Return the library `huggingface_hub`.

    Raises:
        InputError: It is not installed.
    """
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise InputError(
            "the library `huggingface_hub`", "none", "pip install 'rootbound[hub]'"
        ) from None


def download_files(name: str, files: Sequence[str], download: DownloadOptions) -> Path:
    """Download files of a repository on the hub; return their folder.

    Args:
        name: Name of the repository.
        files: Names or patterns; those that the repository does not have are left out.
        download: How to download them.

    Raises:
        InputError: There is no such repository or revision, or the hub cannot be reached.
    """
    hub = import_hub_library()
    try:
        return Path(hub.snapshot_download(name, allow_patterns=files, **asdict(download)))
    except Exception as error:  # the connection may fail in any way
        raise InputError(
            f"a model file, a folder, or a model of the hub at {name}",
            first_line(error),
            "check the name",
        ) from None


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
        folder: The folder that it wrote.
        repo_id: `OWNER/NAME` of the repository, which is created if there is none.
        files: Names or patterns of the files to send; nothing else in the folder is sent.
        commit_message: Message of the commit; the hub's own when left out.
        private: Whether a new repository is private; as its owner has it set when left out.
        token: Token to log in with; that of `hf auth login` or `HF_TOKEN` when left out.
        branch: Branch to send to; `main` when left out.
        create_pr: Whether to ask for the change in place of making it.

    Raises:
        InputError: The library `huggingface_hub` is not installed, or the folder has no card.
    """
    hub = import_hub_library().HfApi(token=token)
    if not (Path(folder) / CARD).is_file():
        raise InputError(f"a folder with {CARD} at {folder}", "none", "run rootbound export")
    name = hub.create_repo(repo_id, private=private, exist_ok=True).repo_id
    commit = hub.upload_folder(
        repo_id=name,
        folder_path=str(folder),
        allow_patterns=list(files),
        commit_message=commit_message,
        revision=branch,
        create_pr=create_pr,
    )
    return str(commit)
