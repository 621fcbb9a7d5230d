"""How fast the networks are meant to be, and whether they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.goals import Verdict
from benchmarks.network_report import NETWORKS
from benchmarks.network_settings import END_TO_END, FORWARD, LAYERS, STEP

_SMALLEST = "16"
#: A forward pass of 3×16 beside one of RGB, by the kind of device.
_LEAST = {"cpu": 1.3, "gpu": 1.5}
#: The layers of ours in a training step.
_SHARE = 0.05


def judge(rows: Mapping[str, Mapping[str, Any]], kind: str) -> list[Verdict]:
    """Returns the verdict on each goal, for `network_report.make_rows` and the device's kind."""
    least = _LEAST["cpu" if kind == "cpu" else "gpu"]
    forward = rows[NETWORKS].get(_SMALLEST, {}).get(FORWARD, {})
    whole = rows[END_TO_END].get(_SMALLEST, {})
    return [
        _at_least("3×16 forward / keras.applications.ResNet50", forward.get("ratio"), least),
        _at_least("3×16 forward / our RGB", forward.get("ratio_to_ours"), least),
        _at_least("3×16 from JPEG bytes / decoding and ResNet50", whole.get("ratio"), 1.0),
        *(_judge_share(row) for row in rows[LAYERS].values()),
    ]


def _at_least(what: str, measured: float | None, least: float) -> Verdict:
    limit = f"at least {least:g}"
    if measured is None:
        return Verdict(what, limit, None, None, "not in this run")
    return Verdict(what, limit, measured, measured >= least)


def _judge_share(row: Mapping[str, Any]) -> Verdict:
    share = row[STEP]["share"]
    return Verdict(
        f"share of our layers in a step, {row['name']}",
        f"at most {_SHARE:g}",
        share,
        share <= _SHARE,
    )
