"""The Hugging Face hub: downloads and uploads, with options named as in its own library."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rootbound.core.errors import InputError, take_first_line

WEIGHTS, CONFIG, CARD, README = "model.safetensors", "config.json", "card.json", "README.md"
TOKENISER_FILES = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json")
"""Files of a tokeniser of `transformers`."""
PUBLISHED = (WEIGHTS, CONFIG, CARD, README, "generation_config.json", *TOKENISER_FILES)


@dataclass(frozen=True)
class DownloadOptions:
    """How files are downloaded, as `huggingface_hub.snapshot_download` takes it.

    Args:
        revision: Branch, tag or commit; if left out, the newest on `main`.
        token: Token to log in with; if left out, that of `hf auth login` or `HF_TOKEN`.
        cache_dir: Folder for the downloads.
        local_files_only: Whether to use only files that are in that folder already.
        force_download: Whether to download those files again.
    """

    revision: str | None = None
    token: str | bool | None = None
    cache_dir: str | Path | None = None
    local_files_only: bool = False
    force_download: bool = False


DEFAULT_DOWNLOAD = DownloadOptions()


def import_hub_library() -> Any:
    """Import the library `huggingface_hub`.

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
            take_first_line(error),
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
    """Upload a folder that `rootbound export` wrote, in one commit; return its address.

    Args:
        folder: The folder.
        repo_id: `OWNER/NAME` of the repository, which is created if it does not exist.
        files: Names or patterns of the files to upload; others in the folder are not uploaded.
        commit_message: Message of the commit; if left out, the hub's default.
        private: Whether a new repository is private; if left out, its owner's default.
        token: Token to log in with; if left out, that of `hf auth login` or `HF_TOKEN`.
        branch: Branch to upload to; if left out, `main`.
        create_pr: Whether to open a pull request instead of a direct commit.

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
