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
from lightning import Callback, Trainer
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import Logger

import deephash.data
import deephash.models
from deephash.data import HashDataModule, StreamTask
from deephash.errors import CollectionDamaged, DeephashError, UsageError, did_you_mean
from deephash.foreign.trust import path_of
from deephash.models import AlternatingHashModel, BatchHook, HashModel, load_model, method_named
from deephash.scoring.encoding import mean_average_precision_of, protocol_of_test
from deephash.training.batch_size import device_of, largest_batch
from deephash.training.code_checks import warnings_of_codes
from deephash.training.configurations import find_config, read_settings, without_replaced_data
from deephash.training.expected import without_expected
from deephash.training.explaining import explained
from deephash.training.fitting import TRAINER_DEFAULTS, MetricsFile, check_fit, fit, make_trainer, quiet_lightning
from deephash.training.inheritance import Inheritance, inherited
from deephash.training.lineage import Ancestor
from deephash.training.loggers import LoggedConfiguration, log_test_scores, named_loggers
from deephash.training.options import DEV_EPOCHS, DEV_ITEMS, TrainOptions, without_gradients
from deephash.training.own_classes import check_classes
from deephash.training.run_folder import RunFolder
from deephash.training.stream_words import start_words, stream_words

ReusedData = dict[str, HashDataModule]


class TrainCLI(LightningCLI):
    """LightningCLI that hands seeds on to whatever draws by a seed of its own, and leaves the running to us.

    Args:
        count_classes: the model's ``num_classes`` is that of the data, not what stands in the configuration.
        build: make model and data; else they are only described, in ``config``.
        recount: likewise where the configuration was written for other data; a method without classes stays so.
        target_rows: R, of a table of targets that is kept: what no class of the data has is reserved.
        reused: data of the runs before by their configuration; where it is the same they are taken, with the table
            that was read and the features that were cached, and what is made new is added.
        settings: LightningCLI's own.
    """

    def __init__(
        self,
        *,
        count_classes: bool,
        build: bool,
        reused: ReusedData,
        recount: bool = False,
        target_rows: int | None = None,
        **settings: Any,
    ) -> None:
        self._count_classes, self._build, self._reused = count_classes, build, reused
        self._recount, self._target_rows = recount, target_rows
        super().__init__(**settings)

    def before_instantiate_classes(self) -> None:
        """Settle what one part of the configuration takes from another: the number of classes, and seeds.

        A model's own seeds (of its codebook or its first rotation) follow ``seed_everything``.
        """
        arguments = self.config.get("model", {}).get("init_args", {})
        if self._count_classes or (self._recount and "num_classes" in arguments):
            found = self._data().num_classes
            if not found:
                raise UsageError(
                    f"{self.config['model']['class_path'].rpartition('.')[2]} needs num_classes, and the data has no "
                    "labels to count: --model.init_args.num_classes=N"
                )
            arguments["num_classes"] = found
        if self._target_rows is not None and "reserve" in arguments:
            arguments["reserve"] = max(0, self._target_rows - self._data().num_classes)
        seed = self.config.get("seed_everything")
        for name in ("seed", "target_seed", "centre_seed"):
            if name in arguments and isinstance(seed, int) and not isinstance(seed, bool) and not arguments[name]:
                arguments[name] = seed

    def instantiate_classes(self) -> None:
        """Make data and model, if they are wanted."""
        if self._build:
            super().instantiate_classes()
            self.datamodule = self._data()

    def _data(self) -> HashDataModule:
        key = repr(self.config["data"])
        if key not in self._reused:
            make = getattr(self.parser, "instantiate", None) or self.parser.instantiate_classes  # renamed in 4.49
            self._reused[key] = make(Namespace(data=self.config["data"]))["data"]
        return self._reused[key]

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The run folder is not known yet: the Trainer is made in :func:`train_one`."""
        return None  # type: ignore[return-value]

    def make_trainer(self, folder: Path, loggers: Sequence[str] = ()) -> Trainer:
        """Return the Trainer of the configuration, logging to and saving in ``folder``.

        Args:
            folder: RUN; its ``metrics.csv`` is named in no configuration.
            loggers: see :func:`~deephash.training.loggers.named_loggers`; beside those of the configuration.
        """
        settings = dict(self.config_init["trainer"])
        given = settings.pop("logger")
        own = [] if isinstance(given, bool) or given is None else [given] if isinstance(given, Logger) else [*given]
        callbacks = settings.pop("callbacks") or []
        callbacks = [*([callbacks] if isinstance(callbacks, Callback) else callbacks), self._logged()]
        every = [MetricsFile(str(folder), name="", version=""), *own, *named_loggers(loggers, folder)]
        return make_trainer(folder, logger=every, callbacks=callbacks, **settings)

    def _logged(self) -> LoggedConfiguration:
        return LoggedConfiguration(yaml.safe_load(self.parser.dump(self.config, skip_unset=False)))

    def find_batch_size(self, model: HashModel, data: HashDataModule) -> None:
        """Set the largest batch that memory holds, in the data and in the configuration."""
        trainer = self.config_init["trainer"]
        if any(isinstance(each, BatchHook) for each in trainer["callbacks"] or ()):
            raise UsageError("--batch-size auto does not try what a defence or teacher needs; give a number")
        data.batch_size = largest_batch(model, data, device_of(trainer["accelerator"]))
        self.config["data"]["init_args"]["batch_size"] = data.batch_size


def train_one(
    options: TrainOptions, bits: int | None, seed: int | None, *, in_grid: bool, reused: ReusedData
) -> dict[str, Any]:
    """Do one run and return what is printed about it; ``reused`` is an empty dictionary, the same for all of a grid."""
    inheritance = inherited(options)
    cli = parse(options, bits, seed, reused=reused, inheritance=inheritance)
    seed = int(cli.config["seed_everything"])
    model: HashModel = cli.model
    data: HashDataModule = cli.datamodule
    if options.fast_dev_run:
        data.limit_items(DEV_ITEMS)
    data.setup()
    check_fit(model, data)  # before a folder is made, which would take the name of the run that is meant
    inheritance.require_fit(model, data)
    if options.by_gradients and isinstance(model, AlternatingHashModel):
        raise without_gradients(type(model).__name__, options.by_gradients)
    if options.find_batch_size:
        cli.find_batch_size(model, data)
    run = _run_folder(options, model, data, seed, in_grid)
    run.write_config(cli.parser.dump(cli.config, skip_unset=False))
    try:
        loggers = options.loggers or tuple(run.facts().get("loggers", ()))
        trainer = cli.make_trainer(run.path, loggers)
        seconds = fit(trainer, model, data, run, resume=options.resume is not None, inheritance=inheritance)
    except DeephashError:
        run.withdraw()
        raise
    best = load_model(run.path / "model")
    scores = _test_scores(best, data)
    log_test_scores(trainer, scores)
    protocol = str(protocol_of_test(best, data)) if scores else ""
    warned = [] if options.fast_dev_run else warnings_of_codes(best, data)
    run.update(seed=seed, test_scores=scores, test_protocol=protocol, warnings=warned, loggers=loggers)
    return {
        "method": type(model).__name__,
        "bits": model.num_bits,
        "seed": seed,
        "scores": scores,
        "protocol": protocol,
        "run": str(run.path),
        "seconds": seconds,
        "notes": data.notes,
        "warnings": warned,
    }


def complete_config(options: TrainOptions) -> str:
    """Return the configuration with every default, as YAML."""
    bits, seed = next(iter(options.bits), None), next(iter(options.seeds), None)
    cli = parse(options, bits, seed, build=False, inheritance=inherited(options))
    text: str = cli.parser.dump(cli.config, skip_unset=False)
    return text


def _run_folder(options: TrainOptions, model: HashModel, data: HashDataModule, seed: int, in_grid: bool) -> RunFolder:
    if options.resume is not None:
        return RunFolder(options.resume)
    base = options.out or _own_name(options, model, data)
    return RunFolder.fresh(base / f"{model.num_bits}bits_seed{seed}" if in_grid else base)


def _own_name(options: TrainOptions, model: HashModel, data: HashDataModule) -> Path:
    if options.continue_from is not None and isinstance(data, StreamTask):
        before = options.continue_from
        return before.with_name(re.sub(r"_task\d+$", "", before.name) + f"_task{data.task}")
    name = Path(options.configs[-1]).stem if options.configs else "custom"
    return Path("runs") / f"{type(model).__name__.lower()}_{name}"


def _test_scores(model: HashModel, data: HashDataModule) -> dict[str, float]:
    if data.splits["query"].labels is None:
        return {}
    return mean_average_precision_of(model, data)


# Parsing -------------------------------------------------------------------------------------------


def parse(
    options: TrainOptions,
    bits: int | None,
    seed: int | None,
    *,
    build: bool = True,
    reused: ReusedData | None = None,
    inheritance: Inheritance | None = None,
) -> TrainCLI:
    """Return model and data of a configuration. Raises UsageError that names the misspelt option and a near one."""
    ancestor, targets = (None, None) if inheritance is None else (inheritance.ancestor, inheritance.targets)
    data_words = stream_words(options, ancestor, seed)
    configs = _configs(options, ancestor, data_words)
    check_classes(configs, options.rest)
    words = [f"--config={each}" for each in configs]
    if options.method is not None:
        words.append(f"--model={path_of(method_named(options.method), 'deephash.models')}")
    words += [*data_words, *start_words(options, ancestor), *options.rest]
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
        known = {"target_rows": None if targets is None else len(targets.names), "recount": bool(data_words)}
        cli = _parsed(words, build=build, reused={} if reused is None else reused, **known)
    except DeephashError:
        raise
    except (ArgumentError, TypeError, ValueError, KeyError) as error:
        raise explained(error) from None
    _refuse_abbreviations(cli, options.rest)
    return cli


def _parsed(words: list[str], **how: Any) -> TrainCLI:
    """Parse; where the model misses nothing but ``num_classes``, the number is counted in the data."""
    try:
        return _lightning(words, count_classes=False, **how)
    except ArgumentError as error:
        if not re.search(r"arguments are required: num_classes\s*$", str(error), re.MULTILINE):
            raise
    return _lightning([*words, "--model.init_args.num_classes=1"], count_classes=True, **how)


def _lightning(words: list[str], **how: Any) -> TrainCLI:
    with _silent():
        return TrainCLI(
            **how,
            model_class=HashModel,
            datamodule_class=HashDataModule,
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


def _configs(options: TrainOptions, ancestor: Ancestor | None, data_words: list[str]) -> list[str]:
    """Return what ``--config`` is given: files, or their text where some of it is out of place."""
    if options.resume is not None:
        config = options.resume / "config.yaml"
        if not config.is_file() or not (options.resume / "last.ckpt").is_file():
            raise CollectionDamaged(
                f"{options.resume} is no run that can be resumed: config.yaml or last.ckpt is missing. "
                "Start afresh with --config"
            )
        return [str(config)]
    if ancestor is not None and not options.configs:
        return [yaml.safe_dump(ancestor.configuration())]
    paths = [find_config(name) for name in options.configs]
    texts = without_replaced_data({path: read_settings(path) for path in paths}, [*data_words, *options.rest])
    return [without_expected(text) for text in texts]


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
