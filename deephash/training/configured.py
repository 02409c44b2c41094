"""A run as a configuration describes it: parse by LightningCLI, train, score, keep. For ``train`` and ``demo``."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, Namespace
from lightning import Trainer
from lightning.pytorch.cli import LightningCLI

import deephash.data
import deephash.models
from deephash.data import HashDataModule
from deephash.errors import CollectionDamaged, DeephashError, UsageError, did_you_mean
from deephash.models import HashModel, load_model
from deephash.scoring.encoding import mean_average_precision_of, protocol_of_test
from deephash.training.configurations import find_config
from deephash.training.explaining import explained
from deephash.training.fitting import TRAINER_DEFAULTS, check_fit, fit, make_trainer, quiet_lightning
from deephash.training.options import DEV_EPOCHS, DEV_ITEMS, TrainOptions
from deephash.training.run_folder import RunFolder


class TrainCLI(LightningCLI):
    """LightningCLI that hands seeds on to whatever draws by a seed of its own, and leaves the running to us."""

    def before_instantiate_classes(self) -> None:
        """A model's own seeds (of its codebook or its first rotation) follow ``seed_everything``."""
        seed = self.config.get("seed_everything")
        arguments = self.config.get("model", {}).get("init_args", {})
        for name in ("seed", "target_seed", "centre_seed"):
            if name in arguments and isinstance(seed, int) and not isinstance(seed, bool) and not arguments[name]:
                arguments[name] = seed

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The run folder is not known yet: the Trainer is made in :func:`train_one`."""
        return None  # type: ignore[return-value]

    def make_trainer(self, folder: Path) -> Trainer:
        """Return the Trainer of the configuration, logging to and saving in ``folder``."""
        settings = dict(self.config_init["trainer"])
        if not settings["logger"]:
            del settings["logger"]  # ours is named in no configuration: it writes into the run's folder
        return make_trainer(folder, **settings)


def train_one(
    options: TrainOptions, bits: int | None, seed: int | None, *, in_grid: bool, reused: dict[str, Any]
) -> dict[str, Any]:
    """Do one run and return what is printed about it."""
    cli = parse(options, bits, seed)
    seed = int(cli.config["seed_everything"])
    model: HashModel = cli.model
    data = _data_of(cli, options, reused)
    data.setup()
    check_fit(model, data)  # before a folder is made, which would take the name of the run that is meant
    run = _run_folder(options, model, seed, in_grid)
    run.write_config(cli.parser.dump(cli.config, skip_unset=False))
    try:
        seconds = fit(cli.make_trainer(run.path), model, data, run, resume=options.resume is not None)
    except DeephashError:
        run.withdraw()
        raise
    best = load_model(run.path / "model")
    scores = _test_scores(best, data)
    protocol = str(protocol_of_test(best, data)) if scores else ""
    run.update(test_scores=scores, test_protocol=protocol)
    return {
        "method": type(model).__name__,
        "bits": model.num_bits,
        "seed": seed,
        "scores": scores,
        "protocol": protocol,
        "run": str(run.path),
        "seconds": seconds,
        "notes": data.notes,
    }


def complete_config(options: TrainOptions) -> str:
    """Return the configuration with every default, as YAML."""
    cli = parse(options, next(iter(options.bits), None), next(iter(options.seeds), None))
    text: str = cli.parser.dump(cli.config, skip_unset=False)
    return text


def _data_of(cli: TrainCLI, options: TrainOptions, reused: dict[str, Any]) -> HashDataModule:
    """Take the data of the run before where the configuration is the same, with its cached features."""
    key = repr(cli.config["data"])
    data: HashDataModule = reused.setdefault(key, cli.datamodule)
    if options.fast_dev_run:
        data.limit_items(DEV_ITEMS)
    return data


def _run_folder(options: TrainOptions, model: HashModel, seed: int, in_grid: bool) -> RunFolder:
    if options.resume is not None:
        return RunFolder(options.resume)
    name = Path(options.configs[-1]).stem if options.configs else "custom"
    base = options.out or Path("runs") / f"{type(model).__name__.lower()}_{name}"
    return RunFolder.fresh(base / f"{model.num_bits}bits_seed{seed}" if in_grid else base)


def _test_scores(model: HashModel, data: HashDataModule) -> dict[str, float]:
    if data.splits["query"].labels is None:
        return {}
    return mean_average_precision_of(model, data)


# Parsing -------------------------------------------------------------------------------------------


def parse(options: TrainOptions, bits: int | None, seed: int | None) -> TrainCLI:
    """Return model and data of a configuration. Raises UsageError that names the misspelt option and a near one."""
    configs = _configs(options)
    words = [f"--config={path}" for path in configs] + list(options.rest)
    if bits is not None:
        words.append(f"--model.init_args.num_bits={bits}")
    if seed is not None:
        words.append(f"--seed_everything={seed}")
    if options.fast_dev_run:
        words.append(f"--trainer.max_epochs={DEV_EPOCHS}")
    for module in (deephash.data, deephash.models):  # so that a bare class name is found
        for name in module.__all__:
            getattr(module, name)
    try:
        cli = _with_classes_of_data(words)
    except DeephashError:
        raise
    except (ArgumentError, TypeError, ValueError, KeyError) as error:
        raise explained(error) from None
    _refuse_abbreviations(cli, options.rest)
    return cli


def _with_classes_of_data(words: list[str]) -> TrainCLI:
    """Parse; where the model misses nothing but ``num_classes``, take the number from the data."""
    try:
        return _parsed(words)
    except ArgumentError as error:
        if not re.search(r"arguments are required: num_classes\s*$", str(error), re.MULTILINE):
            raise
        given = "--model.init_args.num_classes="
        found: int = _parsed([*words, f"{given}2"]).datamodule.num_classes  # any number lets the data be made
        if not found:
            raise
        return _parsed([*words, f"{given}{found}"])


def _parsed(words: list[str]) -> TrainCLI:
    with _silent():
        return TrainCLI(
            HashModel,
            HashDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            run=False,
            args=words,
            save_config_callback=None,
            trainer_defaults=TRAINER_DEFAULTS | {"max_epochs": 100, "logger": False},
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_kwargs={"exit_on_error": False, "allow_abbrev": False},
        )


def _refuse_abbreviations(cli: TrainCLI, words: Sequence[str]) -> None:
    """jsonargparse completes the last part of a nested option (backbone.nam); a configuration should not guess."""
    for word in words:
        name = word.partition("=")[0].removeprefix("--").rstrip("+")
        if not name.startswith(("model.", "data.", "trainer.")):
            continue
        node: Any = cli.config
        for part in name.split("."):
            if "init_args" in node and part not in node:
                node = node["init_args"]  # --data.root is short for --data.init_args.root
            if part not in node:
                raise UsageError(f"unknown option {name!r}" + did_you_mean(part, [str(key) for key in vars(node)]))
            node = node[part]
            if not isinstance(node, (dict, Namespace)):
                break


def _configs(options: TrainOptions) -> list[Path]:
    if options.resume is None:
        return [_readable(find_config(name)) for name in options.configs]
    config = options.resume / "config.yaml"
    if not config.is_file() or not (options.resume / "last.ckpt").is_file():
        raise CollectionDamaged(
            f"{options.resume} is no run that can be resumed: config.yaml or last.ckpt is missing. "
            "Start afresh with --config"
        )
    return [config]


def _readable(path: Path) -> Path:
    """Return ``path``. Raises UsageError naming the file where it is no YAML or holds no settings."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} is not a YAML configuration: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no settings; a configuration has the keys model, data and trainer")
    return path


@contextmanager
def _silent() -> Iterator[None]:
    """Keep Lightning from remarking on ``sys.argv`` and on the seed."""
    argv, sys.argv = sys.argv, sys.argv[:1]
    try:
        with warnings.catch_warnings(), quiet_lightning():
            warnings.filterwarnings("ignore", message=".*args parameter is intended to run.*")
            yield
    finally:
        sys.argv = argv
