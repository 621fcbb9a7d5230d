"""The training loop: one device or many, of one host or several, from the start or a checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import rich.console
import tensorflow as tf

from jpegkeras.checkpoints import CheckpointStore, latest_checkpoint
from jpegkeras.config import TrainConfig
from jpegkeras.errors import InputError
from jpegkeras.evaluation import Evaluation, Evaluator
from jpegkeras.files import locked
from jpegkeras.opening import draw_first_batch, show_summary
from jpegkeras.preemption import PreemptedError, StopRequest, listening
from jpegkeras.profiling import Profiler, parse_profile_steps
from jpegkeras.run_facts import run_facts
from jpegkeras.run_log import TENSORBOARD_FOLDER, Progress, RateMeter, RunLog, print_line
from jpegkeras.run_settings import INIT_FROM, check_same_run, read_settings, save_settings
from jpegkeras.train_step import StepSums
from jpegkeras.training_setup import Setup, number_of, prepare, start_from


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """The last step, the last evaluation of the test split, and the path of the last checkpoint."""

    step: int
    evaluation: Evaluation
    checkpoint: str


def train(
    config: TrainConfig,
    data_dir: str | os.PathLike,
    workdir: str | os.PathLike,
    console: rich.console.Console | None = None,
    *,
    init_from: str | None = None,
    profile_steps: str | None = None,
) -> TrainResult:
    """Trains a network on a data set, or continues the run that `workdir` holds.

    Leaves in `workdir`: `config.json`, `checkpoints/`, `best/` (highest top-1 on the test split),
    `batch.png`, and what `RunLog` writes. Of several hosts the first one writes; all must see
    `workdir`. A run that begins takes what fits of the weights of `init_from` (`pretrained`).
    `profile_steps`: see `profiling`.

    Raises InputError for a data set, a configuration or a checkpoint that do not fit together, for
    a `workdir` whose run was begun with others, for a run that diverges, and where another host is
    gone; PreemptedError after a SIGTERM, when everything is saved.
    """
    workdir = pathlib.Path(workdir)
    profiled = parse_profile_steps(profile_steps)
    setup = prepare(config, data_dir)
    writes = setup.hosts.writes
    console = console or rich.console.Console()
    if not writes:
        console = rich.console.Console(quiet=True)
    with contextlib.ExitStack() as stack:
        if writes:
            stack.enter_context(locked(workdir, "--workdir"))
        request = stack.enter_context(listening())
        stack.enter_context(_naming_errors(setup, workdir))
        profiler = stack.enter_context(
            Profiler(profiled, workdir / TENSORBOARD_FOLDER, console, enabled=writes)
        )
        run = _Run(setup, workdir, console, request, profiler)
        if run.is_begun:
            check_same_run(workdir, setup.settings)
        restored = run.restore()
        if restored:
            run.check_length()
            if init_from:
                print_line(console, f"--init_from={init_from} is ignored: the run continues.")
            init_from = read_settings(workdir).get(INIT_FROM)
        elif init_from:
            start_from(setup, init_from, console)
        if writes:
            save_settings(workdir, {**setup.settings, INIT_FROM: init_from})
        return run.train(restored)


@contextlib.contextmanager
def _naming_errors(setup: Setup, workdir: pathlib.Path) -> Iterator[None]:
    """Makes TensorFlow's errors about memory, and a host that no longer answers, one line."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise InputError(
            f"the memory does not hold a step on {setup.config.batch_size} images "
            f"({error.message.splitlines()[0]}). Lower --batch_size, or take --precision=bfloat16."
        ) from error
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        if setup.hosts.count == 1:
            raise
        latest = latest_checkpoint(workdir)
        raise InputError(
            f"host {setup.hosts.index}: another host is gone ({error.message.splitlines()[0]}). "
            "Start the same command on every host again: it continues from "
            f"{latest or 'the beginning'}."
        ) from error


class DivergedError(InputError):
    """The loss or the weights of a run are no numbers any more."""


class _StoppedError(Exception):
    """The stop request was seen in the middle of an evaluation."""


class _Run:
    """The state of one run: its setup, position in the data, sums of the epoch."""

    def __init__(
        self,
        setup: Setup,
        workdir: pathlib.Path,
        console: rich.console.Console,
        request: StopRequest,
        profiler: Profiler,
    ) -> None:
        self._setup = setup
        self._profiler = profiler
        self._config = setup.config
        self._workdir = workdir
        self._console = console
        self._request = request
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._evaluated = tf.Variable(0, dtype=tf.int64, trainable=False)
        # `StepSums` of the epoch so far, and what they were at the last look.
        self._sums = tf.Variable(np.zeros(4), dtype=tf.float64, trainable=False)
        self._seen = tf.Variable(np.zeros(4), dtype=tf.float64, trainable=False)
        self._best_top1 = tf.Variable(-1.0, dtype=tf.float64, trainable=False)
        self._store = CheckpointStore(
            workdir,
            setup.description,
            setup.model,
            setup.optimizer,
            {
                "step": self._step,
                "evaluated": self._evaluated,
                "sums": self._sums,
                "seen": self._seen,
                "best_top1": self._best_top1,
            },
            keep=self._config.keep_checkpoints,
            averaged=None if setup.average is None else setup.average.averaged,
            writes=setup.hosts.writes,
        )
        self._test_data = setup.evaluation_data("test")
        self._evaluator = Evaluator(
            setup.evaluated_model, len(setup.description.class_names), setup.strategy
        )

    @property
    def is_begun(self) -> bool:
        """Whether there is a checkpoint to continue from."""
        return self._store.latest is not None

    def restore(self) -> str | None:
        """Restores the latest checkpoint, if there is one; returns its path."""
        restored = self._store.restore_latest(lambda line: print_line(self._console, line))
        self._check_hosts_agree()
        return restored

    def check_length(self) -> None:
        """Raises InputError if the run has done more than it is now asked for."""
        done = int(self._step.numpy()) // self._setup.steps_per_epoch
        if done > self._config.epochs:
            raise InputError(
                f"{self._workdir}: {done} epochs are done already; --epochs={self._config.epochs} "
                "is fewer."
            )

    def train(self, restored: str | None) -> TrainResult:
        """Trains to the end of the last epoch."""
        setup = self._setup
        first = int(self._step.numpy())
        evaluation, checkpoint = None, restored
        with (
            self._open_log(first) as log,
            Progress(self._console, setup.total_steps, first) as progress,
        ):
            show_summary(setup, self._console, first)
            progress.print(self._opening_line(restored))
            for epoch in range(int(self._evaluated.numpy()), self._config.epochs):
                rate = self._train_epoch(epoch, progress, log)
                with progress.phase("evaluating"):
                    evaluation = self._evaluate_or_stop()
                self._keep_if_best(evaluation)
                row = self._row(epoch, evaluation, rate)
                log.add(row)
                progress.print(_epoch_line(row, self._config.epochs))
                for sums in (self._sums, self._seen):
                    sums.assign(np.zeros(4))
                self._evaluated.assign(epoch + 1)
                checkpoint = self._save()
        return TrainResult(int(self._step.numpy()), evaluation or self._evaluate(), checkpoint)

    @contextlib.contextmanager
    def _open_log(self, first: int) -> Iterator[RunLog]:
        setup = self._setup
        with RunLog(
            self._workdir,
            first,
            facts=run_facts(setup),
            title=f"{setup.model.name}, {setup.source.directory.resolve().name}",
            console=self._console,
            enabled=setup.hosts.writes,
        ) as log:
            try:
                yield log
            except DivergedError as error:
                log.finish("diverged", str(error))
                raise
            except PreemptedError as error:
                log.finish("interrupted", str(error))
                raise

    def _train_epoch(self, epoch: int, progress: Progress, log: RunLog) -> float:
        """Trains the rest of an epoch; returns images a second."""
        config, setup = self._config, self._setup
        end = (epoch + 1) * setup.steps_per_epoch
        step = int(self._step.numpy())
        rate, since_look = RateMeter(), RateMeter()
        if step == end:
            return rate.value
        data = setup.training_data(epoch, step - epoch * setup.steps_per_epoch)
        for features, labels in data:
            if step == 0:
                draw_first_batch(setup, (features, labels), self._workdir)
            self._profiler.before_step(step + 1)
            asked = tf.constant(float(self._request.is_made))
            self._sums.assign_add(setup.step(features, labels, self._step.value(), asked))
            self._step.assign_add(1)
            step += 1
            self._profiler.after_step(step)
            rate.add(config.batch_size)
            since_look.add(config.batch_size)
            loss = None
            if step % config.log_every_steps == 0 or step == end:
                loss = self._check_loss()
                log.add_look(self._look(epoch, since_look.value))
                since_look = RateMeter()
            progress.update(step, config.batch_size, loss)
            self._stop_if_asked(looked=loss is not None)
            # The end of an epoch has a checkpoint of its own, after its evaluation.
            if step % config.checkpoint_every_steps == 0 and step != end:
                self._check_loss()
                self._save()
        return rate.value

    def _look(self, epoch: int, rate: float) -> dict[str, float]:
        """Returns what happened since the last look."""
        config, setup = self._config, self._setup
        step = int(self._step.numpy())
        begun = max(
            (step - 1) // config.log_every_steps * config.log_every_steps,
            epoch * setup.steps_per_epoch,
        )
        sums = StepSums(*(self._sums.numpy() - self._seen.numpy()))
        self._seen.assign(self._sums)
        images = (step - begun) * config.batch_size
        row = {
            "step": step,
            "epoch": epoch + 1,
            "learning_rate": setup.learning_rate,
            "loss": float(sums.loss) / images,
            "top1": float(sums.right) / images,
            "images_per_second": round(rate, 1),
        }
        if setup.step.knows_norm:
            replicas = setup.strategy.num_replicas_in_sync
            row["gradient_norm"] = float(sums.norm) / replicas / (step - begun)
        if config.precision == "float16":
            row["loss_scale"] = float(number_of(setup.optimizer.dynamic_scale))
        return row

    def _check_loss(self) -> float:
        """Returns the epoch's mean loss; waits for the devices. Raises DivergedError for NaN."""
        step = int(self._step.numpy())
        loss = StepSums(*self._sums.numpy()).loss
        done = (step - 1) % self._setup.steps_per_epoch + 1
        loss = float(loss) / (done * self._config.batch_size)
        if not np.isfinite(loss):
            raise self._diverged(f"the loss is {loss}", step)
        return loss

    def _stop_if_asked(self, *, looked: bool) -> None:
        """Saves and raises PreemptedError once this host, or any of several, was asked to end.

        Several hosts must save after the same step, so they act when they look, which all do at
        the same steps.
        """
        if self._setup.hosts.count == 1:
            asked = self._request.is_made
        else:
            asked = looked and StepSums(*self._sums.numpy()).stop > 0
        if asked:
            self._stop()

    def _stop(self) -> None:
        asked = StepSums(*self._sums.numpy()).stop
        # Whoever continues was not asked.
        self._sums.assign_sub([0.0, 0.0, asked, 0.0])
        self._seen.assign_sub([0.0, 0.0, StepSums(*self._seen.numpy()).stop, 0.0])
        raise PreemptedError(int(self._step.numpy()), self._save())

    def _save(self) -> str:
        """Saves a checkpoint, but never one of a diverged network: it would replace a good one."""
        step = int(self._step.numpy())
        # The loss of a step is that of the weights before it.
        if not all(np.isfinite(weight).all() for weight in self._setup.model.get_weights()):
            raise self._diverged("weights are not finite", step)
        self._copy_statistics()
        return self._store.save(step)

    def _diverged(self, what: str, step: int) -> DivergedError:
        latest = self._store.latest
        good = f"The last good checkpoint is {latest}." if latest else "There is no checkpoint yet."
        return DivergedError(
            f"{what} between the steps {max(step - self._config.log_every_steps, 0)} and {step}: "
            "the training has diverged. Begin again in another --workdir with a lower "
            f"--learning_rate (now {self._config.learning_rate:g}) or with --clip_norm=1. {good}"
        )

    def _evaluate_or_stop(self) -> Evaluation:
        def report(_: int) -> None:
            if self._request.is_made and self._setup.hosts.count == 1:
                raise _StoppedError

        try:
            return self._evaluate(report)
        except _StoppedError:
            self._stop()
            raise

    def _evaluate(self, report: Callable[[int], None] | None = None) -> Evaluation:
        self._copy_statistics()
        return self._evaluator.evaluate(self._test_data, report)

    def _copy_statistics(self) -> None:
        if self._setup.average is not None:
            self._setup.average.copy_statistics()

    def _keep_if_best(self, evaluation: Evaluation) -> None:
        if np.isfinite(evaluation.loss) and evaluation.top1 > float(self._best_top1.numpy()):
            self._best_top1.assign(evaluation.top1)
            self._store.save_best(int(self._step.numpy()))

    def _row(self, epoch: int, evaluation: Evaluation, rate: float) -> dict[str, float]:
        step = int(self._step.numpy())
        images = self._setup.steps_per_epoch * self._config.batch_size
        sums = StepSums(*(self._sums.numpy() / images))
        return {
            "epoch": epoch + 1,
            "step": step,
            "learning_rate": self._setup.learning_rate,
            "train_loss": float(sums.loss),
            "train_top1": float(sums.right),
            "test_loss": evaluation.loss,
            "test_top1": evaluation.top1,
            "test_top5": evaluation.top5,
            "images_per_second": round(rate, 1),
        }

    def _check_hosts_agree(self) -> None:
        """Raises InputError where the hosts would continue from different steps."""
        if self._setup.hosts.count == 1:
            return
        strategy, step = self._setup.strategy, int(self._step.numpy())
        steps = strategy.run(lambda: tf.constant(float(step), tf.float64))
        total = float(strategy.reduce(tf.distribute.ReduceOp.SUM, steps, axis=None))
        if total != step * strategy.num_replicas_in_sync:
            raise InputError(
                f"{self._workdir}: host {self._setup.hosts.index} finds step {step} here, other "
                "hosts another one. All hosts must see the same --workdir."
            )

    def _opening_line(self, restored: str | None) -> str:
        setup = self._setup
        start = f"continuing from {restored}" if restored else "starting"
        if int(self._evaluated.numpy()) >= self._config.epochs:
            start = f"finished already at {restored}"
        hosts = f" of {setup.hosts.count} hosts" if setup.hosts.count > 1 else ""
        return (
            f"{setup.model.name}: {start}; {setup.source.records('train')} training and "
            f"{setup.source.records('test')} test records, {setup.steps_per_epoch} steps an epoch, "
            f"{setup.strategy.num_replicas_in_sync} device(s){hosts}"
        )


def _epoch_line(row: dict[str, float], epochs: int) -> str:
    return (
        f"epoch {row['epoch']}/{epochs}: loss {row['train_loss']:.3f}, "
        f"top-1 {row['train_top1']:.1%}; test loss {row['test_loss']:.3f}, "
        f"top-1 {row['test_top1']:.1%}, top-5 {row['test_top5']:.1%}; "
        f"{row['images_per_second']:.0f} img/s"
    )
