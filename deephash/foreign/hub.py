"""Models and collections of the Hugging Face hub: ``hf:USER/NAME`` and ``hf:datasets/USER/NAME``, by huggingface_hub.

A commit is fetched once, into a folder of its own (``~/.cache/deephash/hf``); without network the one that was fetched
last answers. Only files that a model folder or a collection has are fetched, never pickles or code. Who asks, and
where the hub is, comes from the environment as everywhere: ``HF_TOKEN``, ``HF_ENDPOINT``, ``HF_HUB_OFFLINE``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from deephash.errors import DataError, UsageError
from deephash.foreign.extras import install

SCHEME = "hf:"
_NAME = re.compile(r"(?P<kind>datasets/|models/)?(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?", flags=re.ASCII)
FILES: dict[str, tuple[str, ...]] = {
    "model": ("*.json", "*.safetensors", "*.npz", "*.onnx", "*.md", "assets/*"),
    "dataset": ("collection.json", "next_id", "rows.lance/*", "models/*", "uploads/*", "hub_bank_*.npz", "*.md"),
}
_NEVER = ("*.py", "*.pyc", "*.pkl", "*.pickle", "*.pt", "*.pth", "*.bin", "*.ckpt", "*.so", "*.dll", "*.sh")
_WHOLE = ".fetched"  # in a folder whose files are all there
_LATEST = "latest"  # beside the folders of the commits: which one a revision was when it was last asked for


@dataclass(frozen=True)
class HubName:
    """A repository of the hub.

    Attributes:
        kind: a model, or a dataset, as collections are.
        repo: ``USER/NAME``.
        revision: branch, tag or commit.
    """

    kind: Literal["model", "dataset"]
    repo: str
    revision: str = "main"

    @classmethod
    def parse(cls, text: str) -> HubName:
        """Read ``hf:[datasets/]USER/NAME[@REVISION]``. Raises UsageError."""
        match = _NAME.fullmatch(text.removeprefix(SCHEME))
        if match is None or ".." in text or match["repo"].startswith(("datasets/", "models/")):
            raise UsageError(
                f"{text!r} names nothing on the hub: hf:USER/NAME, hf:USER/NAME@REVISION, hf:datasets/USER/NAME"
            )
        kind: Literal["model", "dataset"] = "dataset" if match["kind"] == "datasets/" else "model"
        return cls(kind, match["repo"], match["revision"] or "main")

    def __str__(self) -> str:
        words = "datasets/" if self.kind == "dataset" else ""
        return SCHEME + words + self.repo + (f"@{self.revision}" if self.revision != "main" else "")


def is_hub_name(text: str | Path) -> bool:
    """Say whether a text names a repository of the hub; a phrase that begins so does not."""
    return str(text).startswith(SCHEME) and not any(each.isspace() for each in str(text))


def client() -> Any:
    """Return the package. Raises UsageError where it is not installed."""
    try:
        import huggingface_hub
    except ImportError:
        raise UsageError(f"hf: needs huggingface_hub, which is not installed: {install('hub')}") from None
    return huggingface_hub


def fetched(name: HubName, *, token: str | None = None, local_files_only: bool = False) -> Path:
    """Return the folder of a repository, fetched where it is not here yet.

    Args:
        name: which.
        token: of the hub; by default what the environment or ``hf auth login`` says.
        local_files_only: ask nobody; what was fetched last answers.

    Raises:
        UsageError: huggingface_hub is not installed.
        DataError: there is no such repository, or the hub does not answer and nothing was fetched before.
    """
    hub, home = client(), _home(name)
    latest = home / _LATEST / name.revision.replace("/", "_")
    try:
        if local_files_only:
            raise OSError("nobody was asked")
        commit = str(hub.HfApi(token=token).repo_info(name.repo, repo_type=name.kind, revision=name.revision).sha)
        return _commit(hub, name, commit, home, latest, token)
    except Exception as error:  # the client's, httpx's and the system's have no common base
        known = home / latest.read_text() if latest.is_file() else None
        if known is not None and (known / _WHOLE).is_file() and not _is_refused(error):
            return known
        raise DataError(f"{name} cannot be fetched: {_said(error)}. {_HELP}") from None


_HELP = (
    "HF_TOKEN opens what is private, HF_ENDPOINT names another hub; a folder that was fetched elsewhere does as well"
)


def _commit(hub: Any, name: HubName, commit: str, home: Path, latest: Path, token: str | None) -> Path:
    if not re.fullmatch(r"[0-9a-zA-Z]{6,64}", commit):
        raise ValueError(f"the hub names a commit {commit!r:.80}")
    folder = home / commit
    if not (folder / _WHOLE).is_file():
        files = list(FILES[name.kind])
        hub.snapshot_download(
            name.repo,
            repo_type=name.kind,
            revision=commit,
            local_dir=folder,
            allow_patterns=files,
            ignore_patterns=list(_NEVER),
            token=token,
        )
        (folder / _WHOLE).touch()
    latest.parent.mkdir(parents=True, exist_ok=True)
    latest.write_text(commit)
    return folder


def _home(name: HubName) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(cache).absolute() / "deephash" / "hf" / f"{name.kind}s" / name.repo


def _is_refused(error: Exception) -> bool:
    """Say whether the hub answered, and said no."""
    response = getattr(error, "response", None)
    return getattr(response, "status_code", None) in (401, 403, 404)


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return (text[:240] or type(error).__name__).rstrip(".")


def published(name: str, kind: Literal["model", "dataset"]) -> str:
    """Return ``USER/NAME`` of what somebody publishes as. Raises UsageError for another kind, or with a revision."""
    plain = ("datasets/" if kind == "dataset" else "") + name
    given = HubName.parse(name if name.startswith(SCHEME) else plain)
    if given.kind != kind or given.revision != "main":
        raise UsageError(f"{name!r}: a {'model' if kind == 'model' else 'collection'} is published as USER/NAME")
    return given.repo


def told(error: Exception, name: str) -> DataError:
    """Return what to say of a publication that failed."""
    return DataError(f"{name} was not published: {_said(error)}. {_HELP}")
