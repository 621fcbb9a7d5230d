"""Results of studies that nobody has run: plausible figures, the same each time."""

from __future__ import annotations

import dataclasses

import numpy as np

from jpegkeras.bands import Bands, parse_bands
from jpegkeras.config import TrainConfig
from jpegkeras.experiments.cells import plan_cells
from jpegkeras.experiments.config import StudyConfig, crop_size
from jpegkeras.experiments.networks import (
    DIFFICULTY,
    LOWEST,
    NETWORKS,
    PAPER_TOP1,
    QUALITY,
    RESOLUTION,
    SELECTIONS,
)
from jpegkeras.experiments.results import (
    DONE,
    FAILED,
    CellResult,
    EvaluationResult,
    GateResult,
    Results,
)

STUDIES = (DIFFICULTY, RESOLUTION, QUALITY)
COARSE = (
    "bird",
    "mammal",
    "reptile, amphibian",
    "insect",
    "clothing",
    "container",
    "device",
    "food",
    "household",
    "leisure",
    "structure",
    "vehicle",
)
# 10⁹ multiply–adds at 224 × 224 pixels and 10⁶ parameters: ours, then the paper's.
COSTS = {
    "rgb": (3.858, 25.64, 3.86, 25.6),
    "dct64": (5.397, 28.40, 5.40, 28.4),
    "fbs32": (3.685, 26.20, 3.68, 26.2),
    "fbs16": (3.193, 25.57, 3.18, 25.6),
}
RECORDS = {"train": 100_000, "test": 10_000}


def make_config(**values) -> StudyConfig:
    """The studies of a data set of small images, as a GPU would do them."""
    defaults = {"resolutions": (32, 64), "resolution": 64, "seeds": (0, 1, 2)}
    defaults["training"] = TrainConfig(epochs=30, schedule="cosine")
    return StudyConfig(**{**defaults, **values})


def make_results(
    config: StudyConfig | None = None,
    studies=STUDIES,
    done=lambda cell: True,
    failed=lambda cell: False,
) -> Results:
    """Results of planned cells: those `failed`, those `done`, and the others pending."""
    config = config or make_config()
    cells = []
    for cell in plan_cells(config, studies):
        result = CellResult(
            key=cell.key,
            network=cell.network,
            resolution=cell.variant.resolution,
            quality=cell.variant.quality,
            task=cell.task,
            seed=cell.seed,
            studies=cell.studies,
            run=f"runs/{cell.key}",
        )
        if failed(cell):
            error = "the loss is nan at step 120; it has diverged."
            result = dataclasses.replace(result, state=FAILED, error=error)
        elif done(cell):
            result = dataclasses.replace(result, **_outcome(cell))
        cells.append(result)
    return Results(
        config={"name": "tiny_imagenet", **dataclasses.asdict(config)},
        data={
            "source": "tiny-imagenet-200.tar.xz",
            "title": "Tiny-ImageNet",
            "classes": 200,
            "coarse_classes": len(COARSE),
            "train_records": RECORDS["train"],
            "test_records": RECORDS["test"],
            "note": "ImageNet's images at 64×64 pixels; 12 groups of our own.",
        },
        machine={
            "cpu": "AMD EPYC 9B14",
            "cores": 16,
            "memory_gib": 128.0,
            "gpus": ["NVIDIA H200"],
            "platform": "Linux-6.1.0-x86_64-with-glibc2.36",
            "versions": {"python": "3.11.2", "tensorflow": "2.21.0", "keras": "3.15.1"},
            "date": "2026-01-31",
        },
        cells=tuple(cells),
        complexity=tuple(_complexity()),
        speed={
            "images_per_second": {
                key: 41_234.5 / COSTS[key][0] for key in NETWORKS if key in config.networks
            },
            "batch_size": 128,
            "image_size": crop_size(config.resolution),
            "rounds": 5,
            "where": "NVIDIA H200",
        },
        jpegkeras_version="0.1.0",
    )


def top1_of(network: str, task: str, resolution: int, quality: int, seed: int) -> float:
    """The share of right answers that a network is said to have."""
    better = 0.4 * (1 + [*SELECTIONS].index(network)) if network in SELECTIONS else 0
    like = LOWEST if network in SELECTIONS else network
    lost = 100 - better - PAPER_TOP1[DIFFICULTY][like][task]
    lost += 18 + 9 * abs(np.log2(64 / resolution)) + (100 - quality) / 18
    noise = np.random.default_rng([ord(network[-1]), len(task), resolution, quality, seed])
    return round((100 - lost + noise.normal(0, 0.35)) / 100, 4)


def _outcome(cell) -> dict:
    giga, millions, *_ = COSTS.get(cell.network, COSTS[LOWEST])
    side = crop_size(cell.variant.resolution)
    names = COARSE if cell.task == "coarse" else [f"n{i:08}" for i in range(200)]
    own = _evaluation(cell, cell.variant)
    counts = _confusion(own.top1, len(names), cell.seed)
    cost = int(giga * 1e9 * (side / 224) ** 2)
    return {
        "state": DONE,
        "image_size": side,
        "epochs": 30,
        "train_records": RECORDS["train"],
        "train_seconds": cost * 30 * RECORDS["train"] / 1.2e12 + 40 * cell.seed,
        "multiply_adds": cost,
        "parameters": int(millions * 1e6),
        "own": own,
        "others": tuple(_evaluation(cell, variant) for variant in cell.evaluated_on),
        "classes": tuple(
            {
                "class": name,
                "records": int(row.sum()),
                "top1": float(row[i] / row.sum()),
                "top5": float(min(1, row[i] / row.sum() + 0.2)),
            }
            for i, (name, row) in enumerate(zip(names, counts))
        ),
        "confusion": tuple(tuple(int(value) for value in row) for row in counts),
        **(_selected(cell, own) if cell.network in SELECTIONS else {}),
    }


def _selected(cell, own) -> dict:
    """What only a cell on given or learned bands has; learned ones differ from seed to seed."""
    selection = SELECTIONS[cell.network].selection
    choice = parse_bands(selection)
    more = cell.seed if selection.startswith("learned") else 0
    bands = choice.bands or Bands((*range(29 + more), 40), tuple(range(12 - more)), tuple(range(6)))
    gate = None
    if selection.startswith("learned"):
        where = f"runs/{cell.key}/gate"
        file = f"{where}/evaluations/{cell.variant.key}.json"
        own = dataclasses.replace(own, top1=own.top1 + 0.02, file=file)
        gate = GateResult(own, 900.0, 10**9, 47.5, f"{where}/bands.json")
    return {"bands": bands.to_dict(), "gate": gate}


def _evaluation(cell, variant) -> EvaluationResult:
    # A network is worse on data that it was not trained on.
    away = 6.0 * (variant != cell.variant)
    top1 = top1_of(cell.network, cell.task, variant.resolution, variant.quality, cell.seed)
    top1 = round(top1 - away / 100, 4)
    return EvaluationResult(
        resolution=variant.resolution,
        quality=variant.quality,
        top1=top1,
        top5=round(min(1, top1 + 0.15), 4),
        loss=round(3 * (1 - top1), 4),
        records=RECORDS["test"],
        file=f"runs/{cell.key}/evaluations/{variant.key}.json",
    )


def _confusion(top1: float, count: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng([count, seed])
    records = RECORDS["test"] // count
    right = np.clip(top1 + np.linspace(0.1, -0.1, count), 0.05, 0.99)
    wrong = generator.dirichlet(np.full(count - 1, 0.5), count) * (1 - right)[:, None]
    shares = np.stack([np.insert(wrong[i], i, right[i]) for i in range(count)])
    return np.round(shares * records).astype(np.int64)


def _complexity():
    for key, network in NETWORKS.items():
        giga, millions, paper_giga, paper_millions = COSTS[key]
        yield {
            "approach": network.approach,
            "input_channels": network.input_channels,
            "model": network.model,
            "num_frequencies": network.num_frequencies,
            "paper_gflops": paper_giga,
            "gflops": giga,
            "gflops_difference_percent": 100 * (giga / paper_giga - 1),
            "paper_parameters_millions": paper_millions,
            "parameters": int(millions * 1e6),
            "trainable_parameters": int(millions * 1e6) - 53_120,
        }
