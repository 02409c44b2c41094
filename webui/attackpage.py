"""The attack tab: which picture, which attack, which budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from .attack import METHODS, MOST_LEVELS, MOST_STEPS, Attacks, Wish, outcome_html
from .events import script
from .numbers import as_written
from .page import QUIET, SearchPage
from .results import message_html
from .session import Session
from .workspace import Workspace

HELP = "Search with one picture; then choose an attack and a budget here, and watch the neighbours change."


class AttackPage:
    """The attack tab. It is not built on a read-only server, whose visitors are not to spend its processor.

    Args:
        workspace: what is attacked.
        search: the search tab, whose query is attacked.
        safely: runs an action and says its error.
        lead_back: lets clicks on pictures lead to the search tab.
    """

    def __init__(
        self,
        workspace: Workspace,
        search: SearchPage,
        safely: Callable[[Callable[[], str]], str],
        lead_back: Callable[[gr.HTML], None],
    ) -> None:
        self.workspace, self.search, self.safely = workspace, search, safely
        self.attacks = Attacks(workspace)
        with gr.Tab("Attack", id="attack"):
            with gr.Row(elem_id="dh-attack-how"):
                choices = [(says, name) for name, says in METHODS.items()]
                self.method = gr.Dropdown(
                    choices, value="apgd", label="Attack", elem_id="dh-attack-method", min_width=260
                )
                self.levels = gr.Slider(
                    0, MOST_LEVELS, 8, step=1, label="Budget ε in grey levels of 255", elem_id="dh-attack-levels"
                )
                self.steps = gr.Slider(10, MOST_STEPS, 50, step=10, label="Steps", elem_id="dh-attack-steps")
                self.towards = gr.Textbox(
                    label="Whose code (item number)", visible=False, max_length=20, lines=1, elem_id="dh-attack-towards"
                )
                self.go = gr.Button("Attack", variant="primary", min_width=90, elem_id="dh-attack-go")
            help_html = message_html("What becomes of the neighbours?", HELP)
            self.outcome = gr.HTML(help_html, elem_id="dh-attack-outcome", js_on_load=script("results"))
        self.method.input(self.on_method, [self.method], self.towards, **QUIET)
        inputs = [search.session, search.name, self.method, self.levels, self.steps, self.towards]
        for event in (self.go.click, self.levels.release, self.towards.submit):
            event(
                self.on_attack,
                inputs,
                self.outcome,
                trigger_mode="always_last",
                show_progress="minimal",
                api_visibility="private",
            )
        lead_back(self.outcome)

    @staticmethod
    def on_method(method: str) -> dict[str, Any]:
        """Ask for an item where its code is to be taken."""
        return gr.update(visible=method == "collide")

    def on_attack(self, session: Session, name: str, method: str, levels: float, steps: float, towards: str) -> str:
        """Attack the current query's picture."""

        def action() -> str:
            item = as_written(towards, "the item number") if method == "collide" and towards else None
            wish = Wish(method, as_written(levels, "the budget"), as_written(steps, "steps"), item)
            with self.workspace.turns:
                return outcome_html(self.attacks.run(name, session.current, wish))

        return self.safely(action)
