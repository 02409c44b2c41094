"""An attack on the picture that was asked: what it does to the picture, the code and the neighbours. No Gradio here."""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from deephash.codes import BinaryCodes
from deephash.errors import UsageError
from deephash.pictures import open_picture
from deephash.search import Answer, Hit, Options, Part, Query

from .doors import door, path_html
from .results import counted
from .thumbnails import PIXEL_ART, open_item
from .workspace import Place, Workspace

if TYPE_CHECKING:
    from deephash.models import HashModel

METHODS = {
    "apgd": "Turn every bit (AutoPGD)",
    "hag": "Turn every bit (HAG)",
    "evade": "Leave the near-duplicates",
    "square": "By answers alone (Square)",
    "collide": "Take the code of another picture",
}
MOST_STEPS, MOST_LEVELS = 200, 64
NEIGHBOURS = 6
REMEMBERED_MODELS = 2
SHOWN = 224  # pixels
QUALITIES = (90, 75)


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes:
        method: a key of :data:`METHODS`.
        levels: the budget in grey levels.
        steps: of the attack.
        towards: number of the item whose code is taken; for ``collide`` alone.
    """

    method: str
    levels: int
    steps: int
    towards: int | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"there is no attack {self.method!r}")
        if not 0 <= self.levels <= MOST_LEVELS or not 0 <= self.steps <= MOST_STEPS:
            raise UsageError(f"0 to {MOST_LEVELS} grey levels and 0 to {MOST_STEPS} steps are possible here")
        if self.method == "collide" and self.towards is None:
            raise UsageError("whose code should it take? give the number of an item")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an attack did.

    Attributes:
        wish: what was asked for.
        clean: the picture as the network sees it.
        attacked: the same after the attack, 8 bits.
        before: the answer to the clean picture.
        after: the answer to the attacked one, read again as PNG.
        flipped: bits that changed.
        survived: encoding -> bits that are still changed after it.
        apart: bits between the attacked code and the one to take; None where none was.
    """

    wish: Wish
    clean: Image.Image
    attacked: Image.Image
    before: Answer
    after: Answer
    flipped: int
    survived: dict[str, int]
    apart: int | None


class Attacks:
    """Attacks on the collections of a workspace; models are kept as they are loaded."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._models: OrderedDict[str, HashModel] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, name: str, query: Query | None, wish: Wish) -> Outcome:
        """Attack the picture of a query and ask the collection before and after.

        Raises:
            UsageError: there is no single picture, or the model cannot be attacked.
        """
        from deephash.attacks.catalogue import make_attack
        from deephash.attacks.gallery import as_picture
        from deephash.attacks.measuring import as_jpeg
        from deephash.attacks.victims import frame_of, victim_of

        place = self._workspace.place(name)
        model = self._model(place)
        pixels = frame_of(model).cut(self._picture(place, query))[None]
        attack = make_attack(wish.method, epsilon=wish.levels / 255, steps=wish.steps)
        found = attack.perturb(victim_of(model), pixels, self._aim(place, wish))
        clean, attacked = as_picture(pixels[0]), as_picture(found[0])
        codes = model.encode_images([clean, _as_png(attacked), *(as_jpeg(attacked, each) for each in QUALITIES)])
        bits = codes.bits()
        taken = None if wish.method != "collide" else _code_of(place, wish.towards)
        return Outcome(
            wish,
            clean,
            attacked,
            self._ask(name, clean),
            self._ask(name, attacked),
            int((bits[0] != bits[1]).sum()),
            {f"JPEG {quality}": int((bits[0] != bits[2 + row]).sum()) for row, quality in enumerate(QUALITIES)},
            None if taken is None else int((taken.bits()[0] != bits[1]).sum()),
        )

    def _aim(self, place: Place, wish: Wish) -> Any:
        import torch

        from deephash.attacks import Aim, Known

        if wish.method == "collide":
            signs = _code_of(place, wish.towards).signs()
            return Aim(codes=torch.from_numpy(signs.astype(np.float32)))
        if wish.method == "square":
            _, codes = place.searcher.collection.codes()
            return Aim(known=Known(torch.from_numpy(codes.signs().astype(np.float32))))
        return Aim()

    def _ask(self, name: str, picture: Image.Image) -> Answer:
        return self._workspace.answer(name, Query("picture", (Part("image", picture),)), Options(NEIGHBOURS))

    def _picture(self, place: Place, query: Query | None) -> Image.Image:
        only = None if query is None else query.only
        if only is None or only.kind not in ("image", "item"):
            raise UsageError("search with one picture first, of the collection or your own; that one is attacked")
        side = place.searcher.encoder.model.picture_side
        if only.kind == "image":
            return open_picture(only.value, reduced_to=side)
        home, item = only.value
        collection = self._workspace.place(home).searcher.collection
        return open_item(collection, collection.items([item])[0], reduced_to=side)

    def _model(self, place: Place) -> HashModel:
        from deephash.models import load_model

        folder = place.searcher.encoder.directory
        if folder is None:
            raise UsageError(f"{place.name} has no model of its own, so there is nothing to attack")
        with self._lock:
            key = str(folder)
            if key not in self._models:
                self._models[key] = load_model(folder).eval()
            self._models.move_to_end(key)
            while len(self._models) > REMEMBERED_MODELS:
                self._models.popitem(last=False)
            return self._models[key]


def outcome_html(outcome: Outcome) -> str:
    """Return the pictures, the figures and the neighbours before and after."""
    from deephash.attacks.sheet import MAGNIFIED, magnified

    levels = np.abs(np.asarray(outcome.clean, dtype=int) - np.asarray(outcome.attacked, dtype=int)).max()
    num_bits = outcome.before.num_bits
    pictures = (
        ("Query", outcome.clean),
        ("Attacked", outcome.attacked),
        (f"Change, {MAGNIFIED} times over", magnified(outcome.clean, outcome.attacked)),
    )
    shown = "".join(
        f'<figure><img src="{_data_url(_enlarged(each))}" alt="{escape(title, quote=True)}"><figcaption>{escape(title)}'
        "</figcaption></figure>"
        for title, each in pictures
    )
    told = [
        f"<b>{outcome.flipped}</b> of {num_bits} bits turned, no pixel by more than {counted(int(levels), 'level')}"
    ]
    told += [f"{counted(outcome.apart, 'bit')} from the code to take"] if outcome.apart is not None else []
    told += [f"after {how} <b>{bits}</b> are still turned" for how, bits in outcome.survived.items()]
    download = (
        f'<a class="dh-download" download="attacked.png" href="{_data_url(outcome.attacked)}">Download the picture</a>'
    )
    return (
        f'<div class="dh-attacked"><div class="dh-three">{shown}</div>'
        f'<p class="dh-status" role="status">{" · ".join(told)}. {download}</p>'
        f"{_neighbours('Nearest before', outcome.before)}{_neighbours('Nearest after', outcome.after)}</div>"
    )


def _neighbours(title: str, answer: Answer) -> str:
    cards = "".join(_card(title, answer.name, hit) for hit in answer.hits)
    return f'<section><h3>{escape(title)}</h3><div class="dh-grid dh-small" role="list">{cards}</div></section>'


def _card(title: str, name: str, hit: Hit) -> str:
    apart = f"{hit.distance} of {hit.num_bits} bits differ"
    facts = f'<span class="dh-facts"><b>{hit.distance}</b><small>/{hit.num_bits}</small></span>{path_html(hit.uri)}'
    return door(name, hit.id, hit.uri, label=f"{title} {hit.rank}: {hit.uri}, {apart}", under=facts, said=apart)


def _code_of(place: Place, item: int | None) -> BinaryCodes:
    ids, codes = place.searcher.collection.codes()
    found = np.flatnonzero(ids == item)
    if not len(found):
        known = item in place.searcher.collection.ids()
        raise UsageError(
            f"item {item} of {place.name} has a code of an older model only, and the current one is attacked; name an "
            f"item that was encoded by it: those of model_version = {place.searcher.collection.current.number}"
            if known
            else f"{place.name} has no item {item}"
        )
    return codes[found]


def _as_png(picture: Image.Image) -> Image.Image:
    """Return a picture written as PNG and read again, the way that it will be searched with."""
    content = BytesIO()
    picture.save(content, "PNG")
    return open_picture(content.getvalue())


def _enlarged(picture: Image.Image) -> Image.Image:
    """Return small pictures enlarged, their pixels visible, and large ones at the size that is shown."""
    if max(picture.size) <= PIXEL_ART:
        factor = max(1, SHOWN // max(picture.size))
        return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    return picture


def _data_url(picture: Image.Image) -> str:
    content = BytesIO()
    picture.save(content, "PNG")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
