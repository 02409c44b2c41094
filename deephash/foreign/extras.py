"""Parts of deephash that are installed on demand, and the command that installs what is missing."""

from __future__ import annotations

from importlib.util import find_spec

from deephash.errors import UsageError

# extra of pyproject.toml: the modules that its packages bring; a module is looked for in the first extra that has it
EXTRAS = {
    "train": (
        *("torch", "torchvision", "timm", "lightning", "torchmetrics", "jsonargparse", "onnx"),
        *("sklearn", "pytorch_lightning", "lightning_utilities"),
    ),
    "clip": ("open_clip",),
    "serve": ("gradio", "fastapi", "uvicorn", "starlette", "multipart", "prometheus_client"),
    "sklearn": ("sklearn",),
    "views": ("skimage",),
    "milvus": ("pymilvus",),
    "ray": ("ray",),
    "s3": ("s3fs",),
    "export": ("usearch",),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
}
# of packages that others bring, or that one option needs, which asks for it itself
_BY_THE_WAY = ("pytorch_lightning", "lightning_utilities", "starlette", "prometheus_client")


def missing(extra: str) -> list[str]:
    """Return the modules of an extra that are not installed; nothing is imported."""
    return [name for name in EXTRAS[extra] if name not in _BY_THE_WAY and find_spec(name) is None]


def require(extra: str, purpose: str, *, or_else: str = "") -> None:
    """Raise UsageError where something of an extra is not installed, before any work is begun.

    Args:
        extra: its name.
        purpose: what needs it, as the beginning of a sentence: ``training``.
        or_else: how to do without, as the end of the sentence.
    """
    if lacking := missing(extra):
        raise UsageError(f"{purpose} needs {', '.join(lacking)}: {install(extra)}{or_else}")


def install(extra: str) -> str:
    """Return the command that installs an extra."""
    return f'pip install "deephash[{extra}]"'


def lacking(error: ImportError) -> str | None:
    """Return what to say of an import that failed because an extra is missing; None where it is another failure."""
    name = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or not name or find_spec(name) is not None:
        return None
    extra = next((extra for extra, modules in EXTRAS.items() if name in modules), None)
    return f"this needs {name}, which is not installed: " + (install(extra) if extra else f"pip install {name}")
