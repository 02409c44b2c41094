"""``deephash COMMAND ...``: read one word, import one command, turn every error into one sentence and an exit code.

A command is a function in ``cli/<command>.py`` named like the command (dashes become underscores), or a dictionary
``COMMANDS`` of sub-command functions. Its parameters are the options, its docstring is the help: positional parameters
are arguments, keyword-only ones are options. It returns an exit code, or None for 0. A module that needs its own parser
(``train``) offers ``run(arguments)`` instead.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from deephash.errors import DeephashError, UsageError, did_you_mean
from deephash.foreign.extras import lacking, require
from deephash.foreign.network import ALLOW
from deephash.foreign.trust import trust
from deephash.version import __version__

CODE_FORMAT = 1  # version of BinaryCodes on disk, printed by --version

COMMANDS = {
    "demo": "train on handwritten digits, index, compare, serve: the whole toolkit in a minute",
    "train": "train a hash model from a configuration file",
    "index": "encode a folder of pictures into a collection, or bring the collection up to date",
    "upgrade": "give a collection a newer model: measured first, without encoding anything again",
    "search": "search a collection by picture, words or id",
    "serve": "serve collections as a web page with a REST interface",
    "evaluate": "score a run, a collection or two code files, exactly",
    "reproduce": "train a configuration and hold the figures against what it expects",
    "compare": "put reports side by side, with a paired test",
    "attack": "attack a run or a collection within a budget, and measure what retrieval loses",
    "corrupt": "corrupt pictures as JPEG, blur, noise, ... do, and measure what retrieval loses",
    "certify": "guarantee bits, and hence retrieval, against every change within a radius",
    "encode": "turn pictures or lines of text into a code file",
    "collection": "look at, verify, export, restore a collection",
    "dedup": "list near-duplicates of a collection",
    "codes": "inspect, compare and check code files",
    "data": "list, check and split data sets",
    "models": "list methods and look into model folders",
    "new": "write a method, backbone, data set or attack of your own that runs, with its test",
    "doctor": "check this installation",
    "completion": "print what makes the Tab key complete words, for bash, zsh or fish",
}

NEEDS = {  # command: the extra without which it can do nothing, and what it is for
    "train": ("train", "training"),
    "reproduce": ("train", "training"),
    "attack": ("train", "an attack"),
    "corrupt": ("train", "measuring under corruptions"),
    "certify": ("train", "a certificate"),
    "demo": ("train", "the demo, which trains,"),
    "serve": ("serve", "the web page"),
}

ON_COLLECTIONS = ("index", "upgrade", "search", "serve", "collection", "dedup", "encode", "evaluate")

OVERVIEW = f"""\
deephash {__version__}: deep hashing for image and cross-modal retrieval

  deephash demo                                         see everything on handwritten digits, in a minute
  deephash train --config orthohash/digits_64           train a hash model into runs/
  deephash index ~/Pictures --out pictures.dh           encode a folder; again, and it takes in what is new
  deephash search pictures.dh "two dogs on a beach"     search by words, picture or id
  deephash evaluate --query q.npz --database d.npz      exact mAP of anybody's codes
  deephash serve pictures.dh                            the same in the browser

All commands: deephash --help     One command: deephash COMMAND --help
Everywhere: --quiet; --allow-download lets a model folder fetch what it names (otherwise none does);
--trust MODULE lets it run that module of yours (otherwise none runs)"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, return its exit code: 0 ok, 1 nothing found, 2 usage, 3 data, 4 collection, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Read when torch or Faiss loads. Waiting threads that spin make everything ten times slower beside other work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):  # names of files need not be text that this terminal can show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _dispatch(words)
    except DeephashError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted; finished work is kept, run the same command again to go on")
        return 130
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - Python flushes stdout once more on exit
        return 0
    except MemoryError:
        _complain("out of memory; try a smaller --batch-size or fewer items")
        return 1
    except OSError as error:
        _complain(f"{error.filename or 'input/output'}: {error.strerror or error}")
        return 3
    except Exception as error:
        if isinstance(error, ImportError) and (said := lacking(error)) is not None:
            _complain(said)
            return UsageError.exit_code
        if os.environ.get("DEEPHASH_TRACEBACK") == "1":
            raise
        _complain(
            f"internal error in `deephash {' '.join(words[:1])}`: {type(error).__name__}: {error}\n"
            "This is a bug in deephash. DEEPHASH_TRACEBACK=1 shows where it happened; please report it with that."
        )
        return 1


class _Hidden:
    """A finder that says of one package that it is not installed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == self.name:
            raise ModuleNotFoundError(f"no module named {name!r} at this moment", name=name)


def _import_tables() -> None:
    """Import what Lance stands on without pandas, which it would load to no use: that takes longer than all the rest.

    Whoever asks for pandas later, as ``Table.to_pandas`` does, finds it.
    """
    if "pandas" in sys.modules or "pyarrow.dataset" in sys.modules:
        return
    hidden = _Hidden("pandas")
    sys.meta_path.insert(0, hidden)  # type: ignore[arg-type]
    try:
        import pyarrow.dataset  # noqa: F401
    except ImportError:
        pass  # said where it is needed
    finally:
        sys.meta_path.remove(hidden)  # type: ignore[arg-type]


def _dispatch(words: list[str]) -> int:
    if "--quiet" in words:
        words.remove("--quiet")
        os.environ["DEEPHASH_QUIET"] = "1"
    if "--allow-download" in words:
        words.remove("--allow-download")
        os.environ[ALLOW] = "1"
    _take_trust(words)
    if not words:
        print(OVERVIEW)
        return 0
    if words[0] in ("-h", "--help"):
        print(_all_commands())
        return 0
    if words[0] == "--version":
        print(f"deephash {__version__} (code format {CODE_FORMAT})")
        return 0
    if any("s3://" in word or "hf:" in word for word in words):
        from deephash.cli.addresses import with_copies

        words = with_copies(words)
    command, *rest = words
    if command not in COMMANDS:
        raise UsageError(f"unknown command {command!r}" + did_you_mean(command, list(COMMANDS)))
    if command in NEEDS and not {"-h", "--help", "--list"} & set(rest):
        require(*NEEDS[command])
    if command in ON_COLLECTIONS:
        _import_tables()
    module = import_module(f"deephash.cli.{command}")
    if hasattr(module, "run"):
        return int(module.run(rest) or 0)
    if hasattr(module, "COMMANDS"):
        return _run_subcommand(command, module.COMMANDS, rest)
    return call(getattr(module, command), rest, f"deephash {command}")


def _take_trust(words: list[str]) -> None:
    """Take ``--trust MODULE`` out of the words, wherever and however often it was said."""
    for place in reversed(range(len(words))):
        name, equals, value = words[place].partition("=")
        if name != "--trust":
            continue
        given = value if equals else next(iter(words[place + 1 : place + 2]), "")
        del words[place : place + (1 if equals else 2)]
        trust(*given.split(","))


def _run_subcommand(command: str, functions: dict[str, Callable[..., Any]], rest: list[str]) -> int:
    if not rest or rest[0] in ("-h", "--help"):
        for name, function in functions.items():
            print(f"  deephash {command} {name:12} {_first_line(function)}")
        return 0 if rest else 2
    name = rest[0]
    if name not in functions:
        raise UsageError(f"unknown command 'deephash {command} {name}'" + did_you_mean(name, list(functions)))
    return call(functions[name], rest[1:], f"deephash {command} {name}")


def call(function: Callable[..., Any], arguments: list[str], name: str) -> int:
    """Parse ``arguments`` by the signature of ``function`` and call it."""
    from cyclopts import App, CycloptsError, UnusedCliTokensError

    app = App(
        name=name,
        help_format="plaintext",
        version_flags=(),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    app.default(function)
    try:
        result = app(arguments, exit_on_error=False, print_error=False)
    except UnusedCliTokensError as error:
        raise UsageError(f"{_too_much(error.unused_tokens or [], arguments, app)}\nHelp: {name} --help") from None
    except CycloptsError as error:
        raise UsageError(f"{_sentence(error)}\nHelp: {name} --help") from None
    return int(result or 0)


def _too_much(unused: list[str], arguments: list[str], app: Any) -> str:
    """Say which word is too much: a misspelt option that was taken for the query, or the words left over."""
    valid = [each for argument in app.assemble_argument_collection() for each in argument.names if each[:2] == "--"]
    valid = [name for name in valid if not name.startswith("--no-")]
    strange = [word.partition("=")[0] for word in arguments if word.startswith("--")]
    unknown = [word for word in strange if len(word) > 2 and word not in valid]
    if unknown:
        return f"unknown option {unknown[0]}{did_you_mean(unknown[0], valid)}"
    return f"{unused[0]!r} is too much; words that belong together need quotation marks"


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())


def _first_line(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").strip().split("\n")[0]


def _all_commands() -> str:
    lines = [f"  {name:12} {text}" for name, text in COMMANDS.items()]
    return "\n".join([OVERVIEW.split("\n")[0], "", *lines, "", "Options of a command: deephash COMMAND --help"])


def _complain(message: str) -> None:
    print(f"deephash: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
