"""The query panel: everything by which a visitor says what is looked for. What the inputs do is in page.py."""

from __future__ import annotations

from typing import Any

import gradio as gr

from deephash.search.query import LONGEST_PHRASE

from .events import script, uploaded_path

SHEET = """
<div class="dh-sheet"><canvas width="336" height="336" tabindex="0" role="img"
 aria-label="Drawing sheet: draw with mouse, pen or finger; results follow every stroke"></canvas>
<div class="dh-tools"><label>Pen <input class="dh-pen" type="range" min="4" max="48" value="26"></label>
<button class="dh-undo">Undo</button><button class="dh-clear">Clear</button></div></div>
"""
# Each with what it means; its symbol in docs/methods/composed.md is in the tooltip.
MIXING = (
    ("dh-beta", "Picture or words", "0: like the picture. 1: like the words.", 0, 1, 0.5, 0.05),
    ("dh-alpha-text", "Weight of the words", "How far what the words name goes. 0: not at all.", -0.5, 2, 1, 0.1),
    (
        "dh-alpha-image",
        "Change of the picture",
        "How far words move the picture. Below 0: away.",
        -0.5,
        2,
        1,
        0.1,
    ),
)
VEIL = '<div class="dh-veil" hidden><p>Drop pictures to search with them</p></div>'


class QueryInputs:
    """The parts of the query, a box for a picture, a sheet, words, and how a picture and words are mixed.

    Attributes:
        anywhere: takes pictures that are pasted, or dropped beside the box.
        sliders: beta, alpha of the text, alpha of the image.
    """

    def __init__(self) -> None:
        self.anywhere = gr.HTML(VEIL, elem_id="dh-anywhere", js_on_load=script("anywhere"))
        self.chips = gr.HTML("", elem_id="dh-chips", js_on_load=script("chips"))
        with gr.Tabs(elem_id="dh-how"):
            with gr.Tab("Picture"):
                self.picture = _picture_box()
            with gr.Tab("Draw"):
                self.sheet = gr.HTML(SHEET, elem_id="dh-draw", js_on_load=script("draw"))
        with gr.Group(visible=False, elem_id="dh-worded") as self.worded:
            self.words = gr.Textbox(
                label="Words", placeholder="two dogs on a beach", elem_id="dh-words", max_length=LONGEST_PHRASE, lines=1
            )
            with gr.Row(elem_id="dh-words-do"):
                self.search = gr.Button("Search", variant="primary", elem_id="dh-go", min_width=80)
                self.more = gr.Button("+ Add", elem_id="dh-add-words", min_width=60)
                self.less = gr.Button("− Not this", elem_id="dh-less-words", min_width=60)
        self._mixing()

    def _mixing(self) -> None:
        """Three sliders for a picture with words; they show up with such a query."""
        with gr.Group(visible=False, elem_id="dh-mixing") as self.mixing:
            self.sliders = [
                gr.Slider(low, high, value, step=step, label=label, info=info, elem_id=name)
                for name, label, info, low, high, value, step in MIXING
            ]


def _picture_box() -> gr.Image:
    box: Any = gr.Image(
        sources=["upload", "clipboard", "webcam"],
        type="filepath",
        show_label=False,
        label="Query picture",
        height=236,
        buttons=[],
        elem_id="dh-picture",
        webcam_options=gr.WebcamOptions(mirror=False),
    )
    box.preprocess = uploaded_path
    return box  # type: ignore[no-any-return]
