"""CLIP's two towers through open_clip: ``clip:ARCHITECTURE`` for pictures, ``clip-text:ARCHITECTURE`` for words.

``ARCHITECTURE`` is any of open_clip's, such as ``ViT-B-32``; the weights are a tag of its hub (``clip:ViT-B-32/openai``
or ``weights: openai``), a local file, or None for fresh ones. ``clip:custom`` builds open_clip's CLIP from ``options``:
``embed_dim``, ``vision_cfg`` and ``text_cfg``, for an architecture of one's own. Embeddings come as the towers give
them; models that compare by cosine divide by the norm.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from PIL import Image
from torch import Tensor, nn

from deephash.backbones.pictures import PictureEncoder
from deephash.backbones.pretrained import hub_folders
from deephash.backbones.quiet import quiet
from deephash.backbones.spec import Backbone
from deephash.backbones.text import TextEncoder
from deephash.backbones.weights import require_finite_weights
from deephash.encoding.phrases import checked_phrase, english_phrase
from deephash.encoding.weight_files import find_weights, names_a_file
from deephash.errors import DataError, UsageError, WeightsNotFound, did_you_mean
from deephash.pictures.middle import is_thin, middle_part, resized_middle

WORD_PIECES = "word_pieces.txt.gz"
_CUSTOM_KEYS = ("embed_dim", "vision_cfg", "text_cfg")


class ClipPictures(PictureEncoder):
    """The picture tower, [B, 3, H, W] to [B, D]."""

    known_options: ClassVar[tuple[str, ...] | None] = None

    def __init__(self, spec: Backbone, detail: str) -> None:
        super().__init__()
        model, spec = build_clip(spec, detail)
        self.network = model.visual
        self.num_features = embedding_width(model)
        settings = dict(getattr(model.visual, "preprocess_cfg", None) or {}) | dict(spec.transform or {})
        size = getattr(model.visual, "image_size", 224)
        settings["size"] = int(size[0]) if isinstance(size, (tuple, list)) else int(size)
        self.spec = replace(spec, image_size=settings["size"], transform=_plain(settings))
        self._cut, self.mean, self.std = _steps(settings)

    def forward(self, batch: Tensor) -> Tensor:
        """Return embeddings [B, D]."""
        embedded = self.network(batch)
        pooled: Tensor = embedded[0] if isinstance(embedded, tuple) else embedded
        return pooled

    def portable_reader(self, folder: Path, assets: str) -> dict[str, Any] | None:
        """Return the transform as data; None for ways of resizing that have no twin without torch."""
        settings = dict(self.spec.transform or {})
        mode, colours = settings.get("resize_mode") or "shortest", settings.get("mode", "RGB")
        if mode not in ("shortest", "squash") or colours != "RGB" or settings.get("interpolation") == "random":
            return None
        plain: dict[str, Any] = {"mean": list(self.mean), "std": list(self.std)}
        interpolation = str(settings.get("interpolation") or "bicubic")
        plain |= {"size": int(settings["size"]), "interpolation": interpolation, "resize_mode": mode}
        return {"kind": "clip-picture", "transform": plain}

    def cut(self, picture: Any) -> Tensor:
        """Return the pixels that the network sees, float32 [3, H, W] in 0..1, as open_clip resizes and cuts them."""
        return self._cut(picture)


def _steps(settings: Mapping[str, Any]) -> tuple[Callable[[Any], Tensor], Sequence[float], Sequence[float]]:
    """Return open_clip's evaluation transform but for its last step, and that one's means and deviations."""
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from torchvision.transforms import Compose

    chosen = PreprocessCfg(**settings)
    *cutting, normalise = image_transform_v2(chosen, is_train=False).transforms
    return partial(_of_any_shape, Compose(cutting), chosen), normalise.mean, normalise.std


def _of_any_shape(transform: Callable[[Any], Tensor], settings: Any, picture: Any) -> Tensor:
    """Apply open_clip's ``transform``, at a bounded cost for pictures of a line of pixels."""
    image: Image.Image = picture if picture.mode == "RGB" else picture.convert("RGB")
    if not is_thin(image) or settings.resize_mode == "squash":
        return transform(image)
    if settings.resize_mode == "longest":  # its shorter side would be resized to no pixel at all
        return transform(middle_part(image))
    size = settings.size if isinstance(settings.size, int) else settings.size[0]
    resample = Image.Resampling[str(settings.interpolation or "bicubic").upper().replace("RANDOM", "BICUBIC")]
    return transform(resized_middle(image, size, size, resample))


class ClipTexts(TextEncoder):
    """The text tower, token numbers [B, L] to [B, D]."""

    known_options: ClassVar[tuple[str, ...] | None] = None
    neutral_phrase = "a photo"

    def __init__(self, spec: Backbone, detail: str) -> None:
        super().__init__()
        model, spec = build_clip(spec, detail)
        self.num_features = embedding_width(model)
        del model.visual
        self.network, self.spec = model, spec
        self._tokenizer = _tokenizer(spec, architecture_of(detail), int(getattr(model, "context_length", 77)))
        self._reads_english = type(self._tokenizer).__name__ == "SimpleTokenizer"  # CLIP's own word pieces

    def forward(self, batch: Tensor) -> Tensor:
        """Return embeddings [B, D]."""
        embedded: Tensor = self.network.encode_text(batch)
        return embedded

    def preprocess(self) -> Callable[[Any], Tensor]:
        """Return the tokeniser of one phrase, to int64 [L]; it refuses empty phrases and scripts it never learned."""
        return self._query_tokens

    def preprocess_data(self) -> Callable[[str], Tensor]:
        """Return the tokeniser of one text, which may be empty."""
        return self._tokens

    def neutral(self) -> Tensor:
        """Return the tokens of "a photo"."""
        return self._tokens(self.neutral_phrase)

    def portable_reader(self, folder: Path, assets: str) -> dict[str, Any] | None:
        """Copy CLIP's list of word pieces, so that nobody needs open_clip to read words; None for other tokenisers."""
        if not self._reads_english:
            return None
        from open_clip.tokenizer import default_bpe

        shutil.copyfile(default_bpe(), folder / WORD_PIECES)
        length = int(self._tokenizer.context_length)  # type: ignore[attr-defined]
        known = {"kind": "word-pieces", "file": WORD_PIECES, "length": length}
        return known | {"called": self.spec.name, "neutral": self.neutral_phrase}

    def _query_tokens(self, phrase: Any) -> Tensor:
        if self._reads_english:
            return self._tokens(english_phrase(phrase, self.spec.name))
        return self._tokens(checked_phrase(phrase))

    def _tokens(self, text: str) -> Tensor:
        tokens: Tensor = self._tokenizer([text])[0]
        return tokens


def architecture_of(detail: str) -> str:
    """Return ARCHITECTURE of ``ARCHITECTURE`` or ``ARCHITECTURE/TAG``."""
    return detail.partition("/")[0]


def build_clip(spec: Backbone, detail: str) -> tuple[Any, Backbone]:
    """Return open_clip's model with its weights, and ``spec`` with everything that the weights' tag decided.

    Raises:
        UsageError: unknown architecture or tag.
        WeightsNotFound: the weights are in no cache and cannot be fetched.
    """
    architecture, _, tag = detail.partition("/")
    options, path, settings = dict(spec.options), None, {}
    weights = tag if spec.weights == "hub" and tag else spec.weights
    if weights is not None and (names_a_file(weights) or architecture == "custom"):
        path = find_weights(weights) if weights != "hub" else None
    if architecture == "custom":
        return _load(_custom(spec, options), path, spec.name), spec
    _require_architecture(architecture)
    if weights is not None and path is None:
        published = _published(architecture, weights)
        options |= {"quick_gelu": True} if published.get("quick_gelu") else {}
        settings = {key: published[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in published}
        path = _fetched(architecture, weights, published)
    model = _create(architecture, spec.image_size, options)
    if settings:
        model.visual.preprocess_cfg = dict(getattr(model.visual, "preprocess_cfg", None) or {}) | settings
    return _load(model, path, spec.name), replace(spec, options=options)


def embedding_width(model: Any) -> int:
    """Return D of an open_clip model."""
    width = getattr(model.visual, "output_dim", None)
    if isinstance(width, int):
        return width
    projection = model.text_projection
    return int(projection.out_features if isinstance(projection, nn.Linear) else projection.shape[1])


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}


def _require_architecture(architecture: str) -> None:
    import open_clip

    valid = open_clip.list_models()
    if architecture not in valid:
        import difflib

        near = difflib.get_close_matches(architecture, valid, n=5, cutoff=0.3)
        raise UsageError(f"open_clip has no architecture {architecture!r}" + did_you_mean(architecture, near))


def _published(architecture: str, tag: str) -> dict[str, Any]:
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    tags = list_pretrained_tags_by_model(architecture)
    if tag == "hub":
        raise UsageError(
            f"clip:{architecture} has several weights; name one, for example clip:{architecture}/"
            f"{tags[-1] if tags else 'FILE'} (known: {', '.join(tags) or 'none, give a file'})"
        )
    if tag not in tags:
        raise UsageError(f"clip:{architecture} has no weights {tag!r}" + did_you_mean(tag, tags))
    published: dict[str, Any] = get_pretrained_cfg(architecture, tag)
    return published


def _fetched(architecture: str, tag: str, published: dict[str, Any]) -> Path:
    """Return the weights' file: from the cache, or over the network. Raises WeightsNotFound."""
    from huggingface_hub import constants, try_to_load_from_cache
    from open_clip.pretrained import download_pretrained

    repository, file = os.path.split(published.get("hf_hub", ""))
    names = [file] if file else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    for name in names if repository else ():
        known = try_to_load_from_cache(repository, name)
        if isinstance(known, str):
            return Path(known)
    try:
        # asked first, because the hub's client tries for most of a minute where there is no network at all
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
        return Path(download_pretrained(published))
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0][:200]
    raise WeightsNotFound(
        f"weights {tag!r} of clip:{architecture} are not on this machine (looked in "
        f"{', '.join(map(str, hub_folders()))} for {repository or published.get('url')}) and could not be fetched: "
        f"{reason}. With network: run the same command again. Without: copy {names[0]} of "
        f"{repository or 'that address'} here and give it as --weights FILE, or search by picture only with "
        "--model itq:timm:NAME and local weights"
    )


def _create(architecture: str, image_size: int | None, options: dict[str, Any]) -> Any:
    from open_clip import create_model

    try:
        with quiet():  # open_clip warns that weights are not loaded; they are, right after
            model = create_model(architecture, force_image_size=image_size, pretrained_text=False, **options)
    except (OSError, RuntimeError) as error:
        reason = str(error).split("\n")[0]
        raise WeightsNotFound(
            f"clip:{architecture} needs files of the Hugging Face hub that are not here: {reason}"
        ) from None
    except TypeError as error:
        raise UsageError(f"clip:{architecture} cannot be built with {options}: {error}") from None
    if not hasattr(model, "encode_text") or hasattr(model, "text_decoder"):
        raise UsageError(f"clip:{architecture} is a captioner; choose a plain CLIP such as ViT-B-32")
    return model


def _custom(spec: Backbone, options: dict[str, Any]) -> Any:
    from open_clip import CLIP

    missing = [key for key in _CUSTOM_KEYS if key not in options]
    if missing:
        raise UsageError(f"{spec.name} needs options {', '.join(_CUSTOM_KEYS)}; missing: {', '.join(missing)}")
    return CLIP(**options)


def _load(model: Any, path: Path | None, name: str) -> Any:
    if path is None:
        return model
    from open_clip import load_checkpoint

    try:
        load_checkpoint(model, str(path), strict=True, weights_only=True)
    except RuntimeError as error:
        raise UsageError(f"{path} does not fit {name}: {str(error).splitlines()[0]}") from None
    except Exception as error:  # readers of damaged files raise nearly anything
        raise DataError(f"{path} cannot be read as weights of {name}: {error}") from None
    require_finite_weights(model.state_dict(), path)
    return model


def _tokenizer(spec: Backbone, architecture: str, context_length: int) -> Callable[[list[str]], Tensor]:
    import open_clip

    try:
        if architecture == "custom":
            tokenizer: Callable[[list[str]], Tensor] = open_clip.SimpleTokenizer(context_length=context_length)
        else:
            tokenizer = open_clip.get_tokenizer(architecture)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        reason = str(error).split("\n")[0]
        raise WeightsNotFound(f"the tokeniser of {spec.name} is not on this machine: {reason}") from None
    return tokenizer
