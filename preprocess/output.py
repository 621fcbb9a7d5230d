"""The output folder: is it new, to be continued or finished, and which files in it are ours."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import json
import pathlib
import re
from typing import Any

import jpegkeras
from jpegkeras import dataset_info
from jpegkeras.errors import InputError
from jpegkeras.files import TEMPORARY_SUFFIX, write_json
from jpegkeras.transcoding import Transcoding
from preprocess.parts import FOLDER as PARTS_FOLDER
from preprocess.plan import Plan

PLAN_FILE = "plan.json"
REJECTED_FILE = "rejected.csv"
_SHARD = r"(train|test)-\d{5}-of-\d{5}\.tfrecord(\.gz)?"
_OUR_FILES = (dataset_info.FILE_NAME, PLAN_FILE, REJECTED_FILE)
_OURS = re.compile(rf"({_SHARD}|{'|'.join(map(re.escape, _OUR_FILES))})")
_OUR_PARTS = re.compile(rf"{_SHARD}\.json")
_TEMPORARY = re.compile(rf"(?P<name>.+)\.\d+{re.escape(TEMPORARY_SUFFIX)}")
_ADVICE = "Give another --output_dir, or --overwrite to make the data set anew."


class State(enum.Enum):
    """What an output folder holds of the data set that is asked for."""

    NEW = "new"
    CONTINUED = "continued"
    FINISHED = "finished"


def prepare(directory: pathlib.Path, plan: Plan, *, overwrite: bool) -> State:
    """Makes the folder ready for the plan, unless the data set is there already.

    Saves the plan in it. Removes what a killed job left half-written, and with `overwrite`
    everything of ours, unless that is this very plan, begun and not finished; other files stay.
    Raises InputError if the folder holds another data set than the plan's.
    """
    remove_temporaries(directory)
    plan_path = directory / PLAN_FILE
    wanted = {"jpegkeras_version": jpegkeras.__version__, **plan.settings}
    if overwrite and not _is_begun(directory, wanted):
        _remove_ours(directory)
    if (directory / dataset_info.FILE_NAME).exists():
        info = dataset_info.load_dataset_info(directory)
        _compare(directory, info.settings, plan.settings)
        remove_working_files(directory)
        return State.FINISHED
    state = State.CONTINUED if plan_path.exists() else State.NEW
    if state is State.CONTINUED:
        _compare(directory, _load_plan(plan_path), wanted)
    else:
        _check_no_shards(directory)
        write_json(plan_path, wanted)
    (directory / PARTS_FOLDER).mkdir(exist_ok=True)
    return state


def _is_begun(directory: pathlib.Path, wanted: dict[str, Any]) -> bool:
    """Tells whether the folder holds this plan, begun and not finished: then it is continued."""
    path = directory / PLAN_FILE
    if (directory / dataset_info.FILE_NAME).exists() or not path.is_file():
        return False
    try:
        return json.loads(path.read_text("utf-8")) == json.loads(json.dumps(wanted))
    except ValueError:
        return False


def remove_working_files(directory: pathlib.Path) -> None:
    """Removes what is only needed until the data set is whole."""
    remove_temporaries(directory)
    _remove_parts(directory)
    (directory / PLAN_FILE).unlink(missing_ok=True)


def remove_temporaries(directory: pathlib.Path) -> None:
    """Removes what a killed process left half-written; no job may be running here."""
    for folder, ours in ((directory, _OURS), (directory / PARTS_FOLDER, _OUR_PARTS)):
        if not folder.is_dir():
            continue
        for path in list(folder.iterdir()):
            match = _TEMPORARY.fullmatch(path.name)
            if match and ours.fullmatch(match["name"]):
                path.unlink()


def _check_no_shards(directory: pathlib.Path) -> None:
    shards = [path.name for path in directory.iterdir() if re.fullmatch(_SHARD, path.name)]
    if shards:
        raise InputError(
            f"{directory}: it holds {min(shards)}, but neither {PLAN_FILE} nor "
            f"{dataset_info.FILE_NAME} to say what made it. {_ADVICE}"
        )


def _load_plan(path: pathlib.Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}). {_ADVICE}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a plan of this job. {_ADVICE}")
    return content


def _compare(directory: pathlib.Path, made_with: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raises InputError that names each setting in which the folder's data set is another one."""
    # What was made before a setting existed does not name it, and is as its default leaves it.
    made_with = {**dataclasses.asdict(Transcoding()), **made_with}
    changes = [
        _describe(key, made_with.get(key), value)
        for key, value in wanted.items()
        if made_with.get(key) != value
    ]
    if changes:
        raise InputError(
            f"{directory}: it holds a data set made with other settings: {'; '.join(changes)}. "
            f"{_ADVICE}"
        )


def _describe(key: str, old: Any, new: Any) -> str:  # noqa: ANN401
    if key == "input":
        before = old.get("files") if isinstance(old, dict) else old
        return f"the input files or their split changed ({before} files then, {new['files']} now)"
    if key == "labels":
        return "the classes, or their titles and coarse classes (--labels), changed"
    return f"{key} was {old} and is now {new}"


def _remove_ours(directory: pathlib.Path) -> None:
    # dataset.json first: without it nobody takes what is left for a whole data set.
    (directory / dataset_info.FILE_NAME).unlink(missing_ok=True)
    _remove_parts(directory)
    for path in list(directory.iterdir()):
        if _OURS.fullmatch(path.name) and not path.is_dir():
            path.unlink()


def _remove_parts(directory: pathlib.Path) -> None:
    parts = directory / PARTS_FOLDER
    if not parts.is_dir():
        return
    for path in list(parts.iterdir()):
        if _OUR_PARTS.fullmatch(path.name):
            path.unlink()
    with contextlib.suppress(OSError):  # It stays if somebody else keeps a file in it.
        parts.rmdir()
