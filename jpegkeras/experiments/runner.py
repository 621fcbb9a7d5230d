"""Runs the studies: data sets, trainings, evaluations, report; or continues them.

Everything that is done leaves its file, and whatever has one is not done again. So a study that was
stopped, or killed, continues with the same call, and a cell that failed is tried again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import rich.console

import jpegkeras
from jpegkeras.dataset_info import DatasetInfo
from jpegkeras.errors import InputError
from jpegkeras.experiments import cell_files, estimates, folder, processes
from jpegkeras.experiments.cell_files import GATE, CellSpec, training_of
from jpegkeras.experiments.cells import Cell, Variant, plan_cells, variants_of
from jpegkeras.experiments.config import StudyConfig, crop_size
from jpegkeras.experiments.datasets import DataSets, Input, check_same
from jpegkeras.experiments.estimates import Pace, Work
from jpegkeras.experiments.folder import Study
from jpegkeras.experiments.networks import NETWORKS
from jpegkeras.experiments.processes import LAUNCHER, StopRequests
from jpegkeras.experiments.progress import (
    RunState,
    StudyProgress,
    format_seconds,
    print_line,
    read_state,
)
from jpegkeras.experiments.results import (
    DONE,
    FAILED,
    PENDING,
    CellResult,
    Results,
    load_results,
    save_results,
)
from jpegkeras.files import locked, write_json
from preprocess.engines.base import EngineError

_CELL_MODULE = "jpegkeras.experiments.cell"
_FLAG = "--output_dir"
# So long is waited for a cell whose studies were killed, and which saves.
_FREE_SECONDS = 120.0
_SPEED_ROUNDS = 7
_WHAT_FAILS = (InputError, OSError, EngineError, MemoryError)


@dataclasses.dataclass(frozen=True)
class Request:
    """What was asked for.

    `studies`: of `networks.DIFFICULTY`, `RESOLUTION`, `QUALITY` and `BANDS`; `name`: that of
    `config`, its preset or file; `cache_dir`: for the data sets, by default `records` in
    `output_dir`.
    """

    studies: tuple[str, ...]
    config: StudyConfig
    name: str
    output_dir: str
    given: Input = Input()
    cache_dir: str | None = None
    workers: int = 0
    overwrite: bool = False
    fail_fast: bool = False

    @property
    def folder(self) -> pathlib.Path:
        """The output folder."""
        return pathlib.Path(self.output_dir).absolute()

    @property
    def records(self) -> pathlib.Path:
        """The folder of the data sets."""
        if self.cache_dir:
            return pathlib.Path(self.cache_dir).absolute()
        return self.folder / folder.RECORDS


@dataclasses.dataclass(frozen=True)
class Planned:
    """What there is to do. `specs`: of all cells of the folder; `wanted`: keys of those asked for.

    `network_costs` and `works`: multiply–adds, by `NetworkSize.key` and by the cell's key.
    """

    study: Study
    data: DataSets
    specs: tuple[CellSpec, ...]
    wanted: frozenset[str]
    facts: dict[str, Any]
    works: dict[str, Work]

    def states(self) -> list[CellResult]:
        """Returns how each cell stands by its files: the wanted ones, and others that were run."""
        states = map(cell_files.load_result, self.specs)
        return [state for state in states if state.key in self.wanted or state.state != PENDING]

    @property
    def variants(self) -> list[Variant]:
        """The variants that the wanted cells need."""
        return variants_of(spec.cell for spec in self.specs if spec.cell.key in self.wanted)


def run(
    request: Request,
    console: rich.console.Console,
    launcher: Sequence[str] = LAUNCHER,
) -> int:
    """Does what is missing of the studies; returns how many cells have failed.

    `launcher`: the beginning of a command that runs a module of this project, whose name and
    arguments follow.

    Raises InputError for an input, settings or an output folder that cannot be used; OSError where
    something cannot be written; `processes.StoppedError` after a SIGINT or SIGTERM, when the cell
    that ran has saved. The same call continues.
    """
    with locked(request.folder, _FLAG), StopRequests() as stop:
        with stop.interruptible():
            data = open_data(request, draw=True, console=console)
            study = join_study(request, data)
            _prepare_folder(request, study, data)
        planned = plan(request, study, data, launcher, stop)
        folder.save_study(request.folder, study)
        write_json(request.folder / folder.COSTS_FILE, planned.facts)
        _warn_of_enlarging(planned, console)
        runner = _Runner(request, planned, console, launcher, stop)
        return runner.run()


def open_data(
    request: Request, *, draw: bool, console: rich.console.Console | None = None
) -> DataSets:
    """Returns the data sets of the input, which is listed, and checked for what the studies need.

    Built-in pictures that are not there yet are drawn if `draw` says so.
    """
    data = DataSets(request.given, request.config, request.records, request.workers)
    if draw:
        request.records.mkdir(parents=True, exist_ok=True)
        drawn = data.draw_pictures()
        if drawn:
            print_line(console, f"drew {drawn} pictures")
    content = data.content
    if content.coarse_classes < 2 or (request.given.source and not request.given.labels):
        raise InputError(
            "the studies learn coarse classes, of which there must be two or more: give "
            "--labels=FILE.csv with the columns class,name,coarse, a row for every class."
        )
    problem = estimates.batch_problem(request.config, content.train_images)
    if problem:
        raise InputError(f"{request.given.source or request.records}: {problem}")
    return data


def join_study(request: Request, data: DataSets) -> Study:
    """Returns the folder's studies with those of the request. Raises InputError if they differ."""
    now = Study(request.studies, request.config, request.name, data.content.identity)
    before = None if request.overwrite else folder.load_study(request.folder)
    return now if before is None else folder.join(request.folder, before, now)


def plan(
    request: Request,
    study: Study,
    data: DataSets,
    launcher: Sequence[str],
    stop: StopRequests,
) -> Planned:
    """Returns the cells of the folder, and what they cost.

    What networks cost is measured in another process unless the folder tells it.
    """
    cells = plan_cells(study.config, study.tables)
    wanted = {cell.key for cell in plan_cells(request.config, request.studies)}
    specs = tuple(
        CellSpec(
            cell=cell,
            training=training_of(cell, study.config),
            output_dir=str(request.folder),
            records={
                variant.key: data.records(variant) for variant in (cell.variant, *cell.evaluated_on)
            },
        )
        for cell in cells
    )
    content = data.content
    classes = {"fine": content.classes, "coarse": content.coarse_classes}
    facts = _facts(request.folder, cells, classes, launcher, stop)
    records = {"train": content.train_images, "test": content.test_images}
    works = {
        spec.cell.key: estimates.work_of(spec.cell, spec.training, records, classes, facts["costs"])
        for spec in specs
    }
    return Planned(study, data, specs, frozenset(wanted), facts, works)


def known_pace(planned: Planned) -> Pace:
    """Returns the pace of the cells that are done in this folder."""
    return estimates.pace_of_cells(planned.states(), planned.works)


def _facts(
    path: pathlib.Path,
    cells: Sequence[Cell],
    classes: dict[str, int],
    launcher: Sequence[str],
    stop: StopRequests,
) -> dict[str, Any]:
    """Returns `costs`, `complexity` and `machine`, of the folder as far as it has them."""
    try:
        known = json.loads((path / folder.COSTS_FILE).read_text("utf-8"))
        costs, complexity, machine = known["costs"], known["complexity"], known["machine"]
    except (OSError, ValueError, LookupError, TypeError):
        costs, complexity, machine = {}, [], {}
    missing = [size for size in estimates.network_sizes(cells, classes) if size.key not in costs]
    if missing or not complexity:
        arguments = {
            "networks": [dataclasses.astuple(size) for size in missing],
            "with_table": not complexity,
        }
        found = processes.measure(launcher, "costs", arguments, stop)
        costs = {**costs, **found["costs"]}
        complexity, machine = complexity or found["complexity"], found["machine"]
    return {"costs": costs, "complexity": complexity, "machine": machine}


def _prepare_folder(request: Request, study: Study, data: DataSets) -> None:
    """With --overwrite removes the runs that were made with other settings than these."""
    if not request.overwrite:
        return
    for cell in plan_cells(study.config, study.tables):
        variants = (cell.variant, *cell.evaluated_on)
        records = {variant.key: data.records(variant) for variant in variants}
        training = training_of(cell, study.config)
        spec = CellSpec(cell, training, str(request.folder), records)
        begun = cell_files.begun_as(spec.workdir)
        if begun is not None and begun != spec.training_digest:
            shutil.rmtree(spec.workdir)


def _warn_of_enlarging(planned: Planned, console: rich.console.Console) -> None:
    for line in enlarging_lines(planned.data, planned.variants):
        print_line(console, line)


def enlarging_lines(data: DataSets, variants: Iterable[Variant]) -> list[str]:
    """Says, a line a resolution, how many images are smaller than it."""
    sides = data.content.sides
    lines = []
    for resolution in sorted({variant.resolution for variant in variants}):
        small = sum(side < resolution for side in sides)
        if small:
            lines.append(
                f"note: {small} of {len(sides)} images looked at are smaller than {resolution} "
                "pixels; they are enlarged."
            )
    return lines


class _Runner:
    """One call of `run`: what has failed in it, and where everything is shown."""

    def __init__(
        self,
        request: Request,
        planned: Planned,
        console: rich.console.Console,
        launcher: Sequence[str],
        stop: StopRequests,
    ) -> None:
        self._request = request
        self._planned = planned
        self._console = console
        self._launcher = launcher
        self._stop = stop
        self._folder = request.folder
        self._speed = self._known_speed()
        # Variants whose data set cannot be made, and why.
        self._lost: dict[Variant, str] = {}
        self._specs = [spec for spec in planned.specs if spec.cell.key in planned.wanted]

    def run(self) -> int:
        """Does everything; returns how many of the wanted cells have failed."""
        todo = [spec for spec in self._specs if cell_files.load_result(spec).state != DONE]
        self._say_plan(todo)
        self._save(report=False)
        try:
            self._make_records(variants_of(spec.cell for spec in todo))
            self._run_cells(todo)
            self._measure_speed()
        except BaseException:
            # What is done so far must be there to look at.
            with self._told("report"):
                self._save(report=True)
            raise
        results = self._save(report=True)
        self._print(results)
        failed = [cell for cell in results.cells if cell.state == FAILED]
        return sum(cell.key in self._planned.wanted for cell in failed)

    def _say_plan(self, todo: Sequence[CellSpec]) -> None:
        done = len(self._specs) - len(todo)
        what = f"{len(self._specs)} cells, {done} done before" if done else f"{len(todo)} cells"
        self._say(f"{', '.join(self._request.studies)}: {what}; {self._folder}")

    def _make_records(self, variants: Sequence[Variant]) -> None:
        """Makes the data sets that are missing; notes those that cannot be made."""
        infos: dict[Variant, DatasetInfo] = {}
        data = self._planned.data
        missing = [variant for variant in variants if data.disk_bytes(variant) is None]
        for variant in variants:
            with self._stop.interruptible():
                try:
                    if variant in missing:
                        number = f"{missing.index(variant) + 1} of {len(missing)}"
                        self._say(f"records {variant.key} ({number})")
                    infos[variant] = data.load(variant) or data.make(variant)
                except _WHAT_FAILS as error:
                    self._lost[variant] = f"its records {variant.key} cannot be made: {error}"
                    self._say(f"failed: records {variant.key}: {error}")
        check_same(infos)

    def _run_cells(self, todo: Sequence[CellSpec]) -> None:
        works, todo_keys = self._planned.works, {spec.cell.key for spec in todo}
        costs = {
            spec.cell.key: works[spec.cell.key].left(
                trained=spec.cell.key in todo_keys and cell_files.is_trained(spec)
            )
            for spec in self._specs
        }
        done = sum(cost for key, cost in costs.items() if key not in todo_keys)
        pace = known_pace(self._planned).seconds("", 1)
        if not todo:
            return
        with StudyProgress(self._console, sum(costs.values()), done, pace) as progress:
            for spec in todo:
                self._stop.check()
                number = self._specs.index(spec) + 1
                title = f"{number} of {len(self._specs)}  {spec.cell.key}"
                result = self._run_cell(spec, progress, title)
                progress.finish(costs[spec.cell.key])
                progress.say(_line(title, result))
                with self._told("report"):
                    self._save(report=True)
                if result.state == FAILED and self._request.fail_fast:
                    return

    def _run_cell(self, spec: CellSpec, progress: StudyProgress, title: str) -> CellResult:
        """Runs one cell to its end, good or bad. Raises StoppedError when it was asked to stop."""
        cell_files.forget_failure(spec)
        for variant in (spec.cell.variant, *spec.evaluated_on):
            if variant in self._lost:
                spec.workdir.mkdir(parents=True, exist_ok=True)
                return self._fail(spec, self._lost[variant])
        work, trained = self._planned.works[spec.cell.key], cell_files.is_trained(spec)

        def look() -> None:
            shown, done = title, 0.0
            state = RunState()
            for workdir in spec.workdirs:
                found = read_state(workdir)
                done += min(found.step / max(work.steps, 1), 1)
                if found.step:
                    state = found
                    shown = title if workdir == spec.workdir else f"{title}, {GATE}"
            share = 0 if trained else done / work.trainings
            cost = work.training * share
            progress.show(shown, state, spec.training.epochs, work.steps, cost)

        path = spec.save()
        for workdir in filter(pathlib.Path.is_dir, spec.workdirs):
            processes.wait_until_free(workdir, _FREE_SECONDS, self._stop)
        log = spec.workdir / cell_files.LOG_FILE
        command = (*self._launcher, _CELL_MODULE, str(path))
        status = processes.run(command, log, self._stop, look)
        result = cell_files.load_result(spec)
        if result.state == DONE:
            return result
        self._stop.check()
        return self._fail(spec, processes.reason(status, log))

    def _fail(self, spec: CellSpec, error: str) -> CellResult:
        cell_files.save_failure(spec, error)
        return cell_files.load_result(spec)

    def _known_speed(self) -> dict[str, Any]:
        with contextlib.suppress(InputError):
            return dict(load_results(self._folder).speed)
        return {}

    def _measure_speed(self) -> None:
        """Measures the networks beside each other, unless these were measured before."""
        config = self._planned.study.config
        done = {cell.network for cell in self._planned.states() if cell.state == DONE}
        keys = [key for key in folder.in_order(config.networks) if key in done]
        size = crop_size(config.resolution)
        known = self._speed
        if not keys or (
            {*keys} <= {*known.get("images_per_second", {})} and known.get("image_size") == size
        ):
            return
        self._say("measuring the networks' speed")
        arguments = {
            "networks": {key: [NETWORKS[key].model, NETWORKS[key].num_frequencies] for key in keys},
            "image_size": size,
            "num_classes": self._planned.data.content.coarse_classes,
            "batch_size": config.training.batch_size,
            "precision": config.training.precision,
            "rounds": _SPEED_ROUNDS,
        }
        try:
            self._speed = processes.measure(self._launcher, "speed", arguments, self._stop)
        except InputError as error:
            self._say(f"warning: {error}")

    def _save(self, *, report: bool) -> Results:
        """Writes results.json, and the report if told to."""
        study, facts = self._planned.study, self._planned.facts
        results = Results(
            config={"name": study.name, **dataclasses.asdict(study.config)},
            data=self._planned.data.describe(),
            machine=facts["machine"],
            cells=tuple(self._planned.states()),
            complexity=tuple(facts["complexity"]),
            speed=self._speed,
            jpegkeras_version=jpegkeras.__version__,
        )
        save_results(results, self._folder)
        # As it is read, with lists for tuples: the report is then the same as one made later.
        results = load_results(self._folder)
        if report:
            from jpegkeras.experiments.report import write_report  # draws, which takes long to load

            write_report(results, self._folder)
        return results

    def _print(self, results: Results) -> None:
        from jpegkeras.experiments.report import print_tables

        print_tables(results, self._console)
        self._say(f"results {self._folder / 'results.json'}")
        self._say(f"report {self._folder / 'report.html'}")

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Tells of an error inside, and goes on: it may be the disk, and the next time works."""
        try:
            yield
        except Exception as error:
            self._say(f"warning: the {what} cannot be written ({type(error).__name__}: {error})")

    def _say(self, line: str) -> None:
        print_line(self._console, line)


def _line(title: str, result: CellResult) -> str:
    if result.state == FAILED:
        return f"{title}: failed: {result.error}"
    seconds = format_seconds(result.train_seconds or 0)
    return f"{title}: top-1 {result.own.top1:.2%}, {seconds} of training"
