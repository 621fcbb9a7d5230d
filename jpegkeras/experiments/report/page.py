"""`report.html`: one file that needs no other, no script and no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jpegkeras.experiments.networks import BANDS
from jpegkeras.experiments.report import page_bands, page_tables
from jpegkeras.experiments.report.formatting import whole
from jpegkeras.experiments.report.html import Html, element, join, link, text
from jpegkeras.experiments.report.page_style import style_sheet
from jpegkeras.experiments.report.plot_files import SavedPlot, inline_svg
from jpegkeras.experiments.report.views import (
    PAPER_CLASSES,
    PAPER_QUALITY,
    PAPER_RESOLUTION,
    StudyTable,
    study_tables,
)
from jpegkeras.experiments.results import DONE, FAILED, FILE_NAME, PENDING, Results

PAGE_NAME = "report.html"
_TITLE = "Neural networks straight from JPEG: the studies"
_PAPER = (
    "dos Santos, Sebe and Almeida, “The Good, the Bad, and the Ugly: Neural Networks Straight "
    "from JPEG”, ICIP 2020"
)
# Of the recipe, what decides most.
_RECIPE = (
    "epochs",
    "batch_size",
    "learning_rate",
    "schedule",
    "warmup_epochs",
    "weight_decay",
    "label_smoothing",
    "augment",
    "precision",
)


def make_page(results: Results, plots: Mapping[str, SavedPlot]) -> str:
    """Returns the page's HTML; `plots` are those to show, by name."""
    sections = [
        ("overview", "Overview", _overview(results, plots)),
        ("complexity", "Complexity", _complexity(results)),
        *((table.name, table.title, _study(table, plots)) for table in study_tables(results)),
        ("bands", "Which bands", _bands(results, plots)),
        ("classes", "Coarse classes", _classes(results, plots)),
        ("learning", "Learning cost", _learning(results, plots)),
        ("runs", "All runs", _runs(results)),
    ]
    sections = [section for section in sections if section[2] is not None]
    body = element(
        "main",
        _header(results),
        element("nav", *(element("a", title, href=f"#{name}") for name, title, _ in sections)),
        *(
            element("section", element("h2", title), content, id=name)
            for name, title, content in sections
        ),
        _footer(results),
    )
    head = element(
        "head",
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", _TITLE),
        # A style sheet is not escaped; it holds nothing of the results.
        element("style", Html(style_sheet())),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', body), lang='en')}\n"


def _header(results: Results) -> Html:
    data = results.data
    name = data.get("title") or data.get("source") or "unnamed data"
    return join(
        element("h1", _TITLE),
        element("p", f"On {name}, beside the figures of {_PAPER}.", class_="lead"),
        _notice(data),
        element(
            "div",
            _card("Runs", _progress(results)),
            _card("Data", _facts(_data_facts(data))),
            _card("Settings", _facts(_config_facts(results.config))),
            _card("Machine", _facts(_flat(results.machine))) if results.machine else None,
            class_="facts",
        ),
    )


def _notice(data: Mapping[str, Any]) -> Html:
    counts = []
    if data.get("classes"):
        counts.append(f"{whole(data['classes'])} classes")
    if data.get("coarse_classes"):
        counts.append(f"{whole(data['coarse_classes'])} coarse classes")
    if data.get("train_records"):
        counts.append(f"{whole(data['train_records'])} training images")
    here = f"Here: {', '.join(counts)}. " if counts else ""
    note = str(data.get("note") or "").strip()
    return element(
        "div",
        element(
            "p",
            element("strong", "This is not the paper’s data. "),
            f"{here}The paper: {PAPER_CLASSES['fine']} classes of ImageNet, which it does not "
            f"name, in {PAPER_CLASSES['coarse']} groups of its own, 215,018 training images of "
            f"{PAPER_RESOLUTION} px and quality {PAPER_QUALITY}. Orderings and gaps can be "
            "compared, figures cannot.",
        ),
        element("p", f"{note[:1].upper()}{note[1:]}") if note else None,
        class_="note",
    )


def _progress(results: Results) -> Html:
    cells = results.cells
    counts = {
        state: sum(cell.state == state for cell in cells) for state in (DONE, FAILED, PENDING)
    }
    bar = [
        element("i", class_=state, style=f"width: {100 * counts[state] / len(cells):.2f}%")
        for state in (DONE, FAILED)
        if counts[state]
    ]
    seeds = len({cell.seed for cell in cells})
    return join(
        element("p", element("strong", f"{counts[DONE]} of {len(cells)} runs done"))
        if cells
        else element("p", "No run is planned yet."),
        element("div", *bar, class_="bar") if cells else None,
        _facts(
            [
                ("failed", str(counts[FAILED])),
                ("pending", str(counts[PENDING])),
                ("seeds", str(seeds)),
            ]
        ),
    )


def _data_facts(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = (
        ("source", "source"),
        ("classes", "classes"),
        ("coarse classes", "coarse_classes"),
        ("training images", "train_records"),
        ("test images", "test_records"),
    )
    return [
        (name, whole(data[key]) if isinstance(data[key], int) else str(data[key]))
        for name, key in names
        if data.get(key) not in (None, "")
    ]


def _config_facts(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    # Of the rest, 0 means that it is off.
    plain = {
        key: value
        for key, value in config.items()
        if key not in ("training", "networks") and value != 0
    }
    training = config.get("training") or {}
    recipe = {key: training[key] for key in _RECIPE if training.get(key) not in (None, 0)}
    return _flat({**plain, **recipe})


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    facts = []
    for key, value in values.items():
        name = f"{before}{str(key).replace('_', ' ')}"
        if isinstance(value, Mapping):
            facts += _flat(value, f"{name} ")
        elif isinstance(value, (list, tuple)):
            facts.append((name, ", ".join(map(str, value))))
        elif value is not None and value != "":
            facts.append((name, str(value)))
    return facts


def _facts(facts: Iterable[tuple[str, str]]) -> Html:
    pairs = (join(element("dt", name), element("dd", value)) for name, value in facts)
    return element("dl", *pairs)


def _card(title: str, content: Html) -> Html:
    return element("section", element("h3", title), content)


def _overview(results: Results, plots: Mapping[str, SavedPlot]) -> Html | None:
    table = page_tables.overview_table(results)
    if table is None:
        return None
    config = results.config
    where = f"{config.get('resolution')} px, quality {config.get('quality')}"
    speed = results.speed.get("where")
    measured = f" Images/s: the forward pass on {speed}." if speed else ""
    return join(
        element("p", f"Coarse classes at {where}.{measured}", class_="caption"),
        table,
        _figures(plots, ("multiply-adds", "speed")),
    )


def _complexity(results: Results) -> Html | None:
    if not results.complexity:
        return None
    return join(
        element(
            "p",
            "At 224×224 pixels and 1000 classes, counted by this program; the paper’s “GFLOPs” are "
            "multiply–adds, its parameters include the moving statistics. From ",
            link("complexity.csv", "complexity.csv"),
            ".",
            class_="caption",
        ),
        page_tables.complexity_table(results.complexity),
    )


def _study(table: StudyTable, plots: Mapping[str, SavedPlot]) -> Html:
    return join(
        element(
            "p",
            f"{table.caption} Top-1 in per cent, mean ± standard deviation over seeds; below it, "
            "points to RGB.",
            class_="caption",
        ),
        element(
            "div",
            element("div", page_tables.study_table(table), page_tables.study_sources(table)),
            _figures(plots, (table.name,)),
            class_="pair",
        ),
    )


def _bands(results: Results, plots: Mapping[str, SavedPlot]) -> Html | None:
    table = page_bands.bands_table(results)
    if table is None:
        return None
    return join(
        element("p", page_bands.caption(results), class_="caption"),
        element(
            "div",
            element("div", table, page_bands.bands_sources(results)),
            _figures(plots, (BANDS,)),
            class_="pair",
        ),
    )


def _classes(results: Results, plots: Mapping[str, SavedPlot]) -> Html | None:
    table = page_tables.class_table(results)
    if table is None:
        return None
    return join(
        element(
            "p",
            f"Top-1 in per cent at {results.config.get('resolution')} px, quality "
            f"{results.config.get('quality')}, mean over seeds.",
            class_="caption",
        ),
        table,
        _figures(plots, ("per-class", *(name for name in plots if name.startswith("confusion-")))),
    )


def _learning(results: Results, plots: Mapping[str, SavedPlot]) -> Html | None:
    table = page_tables.cost_table(results)
    if table is None:
        return None
    gated = any(cell.gate for cell in results.cells)
    return join(
        element(
            "p",
            "Means over seeds and qualities, which do not change the cost. Multiply–adds are of "
            "forward passes; a step of training takes about three times that."
            + (" Of learned bands, without the training that learned them." if gated else ""),
            class_="caption",
        ),
        table,
        _figures(plots, ("learning-cost",)),
    )


def _runs(results: Results) -> Html | None:
    if not results.cells:
        return None
    failed = [cell for cell in results.cells if cell.state == FAILED]
    return join(
        join(
            element("h3", f"Failed: {len(failed)}"),
            page_tables.runs_table(failed),
            element("p", "The same command again tries these once more.", class_="caption"),
        )
        if failed
        else None,
        page_tables.folded(f"All {len(results.cells)} runs", page_tables.runs_table(results.cells)),
    )


def _figures(plots: Mapping[str, SavedPlot], names: Iterable[str]) -> Html | None:
    figures = [_figure(plots[name]) for name in names if name in plots]
    return element("div", *figures, class_="plots") if figures else None


def _figure(saved: SavedPlot) -> Html:
    plot = saved.plot
    files = join(
        *(
            link(f"{path.parent.name}/{path.name}", path.suffix[1:].upper())
            for path in (saved.svg, saved.png)
        ),
        by=", ",
    )
    return element(
        "figure",
        element("h4", plot.title),
        # Drawn by matplotlib, which escapes what it is given.
        Html(inline_svg(saved.text, text(plot.alternative))),
        element("figcaption", plot.caption, " ", files),
    )


def _footer(results: Results) -> Html:
    version = f" {results.jpegkeras_version}" if results.jpegkeras_version else ""
    return element(
        "footer",
        f"Made by jpegkeras{version} of ",
        link(FILE_NAME, FILE_NAME),
        " alone. Every figure links to the run it is from; networks that are hollow or dashed in "
        "plots are the paper’s.",
    )
