"""``deephash completion``: words that the Tab key adds, in bash, zsh and fish."""

from __future__ import annotations

import re
from importlib import import_module
from inspect import Parameter, Signature
from typing import Any, Literal

from cyclopts import App


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print the completion script of a shell.

    $ deephash completion bash > ~/.local/share/bash-completion/completions/deephash
    $ deephash completion zsh > ~/.zfunc/_deephash            # with fpath+=~/.zfunc before compinit in ~/.zshrc
    $ deephash completion fish > ~/.config/fish/completions/deephash.fish

    Args:
        shell: whose.
    """
    print(every_command().generate_completion(prog_name="deephash", shell=shell))


def every_command() -> App:
    """Return all commands as one application, for what has to know them all; running one needs no other."""
    from deephash.cli.main import COMMANDS

    app = App(name="deephash", help_format="plaintext", version_flags=())
    for name, about in COMMANDS.items():
        module = import_module(f"deephash.cli.{name}")
        below: dict[str, Any] | None = getattr(module, "COMMANDS", None)
        if below is not None:
            group = App(name=name, help=about, help_format="plaintext")
            for each, function in below.items():
                group.command(function, name=each)
            app.command(group)
        else:
            app.command(_train() if name == "train" else getattr(module, name), name=name)
    return app


def _train() -> Any:
    """Return a function with the options that the help of training names; its own parser knows configurations, too."""
    from deephash.cli.train import HELP

    def train(**options: str) -> None:
        """Train a hash model from a configuration file."""

    names = dict.fromkeys(name.replace("-", "_") for name in re.findall(r"^  --([a-z][a-z-]+)", HELP, flags=re.M))
    asked = [Parameter(name, Parameter.KEYWORD_ONLY, default="", annotation=str) for name in names]
    train.__signature__ = Signature(asked)  # type: ignore[attr-defined]
    return train
