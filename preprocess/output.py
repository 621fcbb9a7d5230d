"""The output folder: is it new, to be continued or finished, and which files in it are ours."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import hashlib
import json
import os
import re
from collections.abc import Sequence
from typing import Any

import jpegkeras
from jpegkeras import dataset_info
from jpegkeras.dataset_info import DatasetInfo
from jpegkeras.errors import InputError
from jpegkeras.files import TEMPORARY_SUFFIX
from jpegkeras.transcoding import Transcoding
from preprocess.filesystems import filesystem_of, is_remote, join
from preprocess.plan import Plan, PlannedImage, format_images
from preprocess.workplace import (
    IMAGES_FILE,
    PARTS_FOLDER,
    PLAN_FILE,
    PLAN_FOLDER,
    images_path,
    parts_folder,
    plan_path,
)
from preprocess.writing import replacing, write_json

REJECTED_FILE = "rejected.csv"
# Of the plan. A job that another version began is not continued: its shards may hold other bytes.
_VERSION = 2
_SHARD = r"(train|test)-\d{5}-of-\d{5}\.tfrecord(\.gz)?"
_OUR_FILES = (dataset_info.FILE_NAME, REJECTED_FILE)
_OURS = {
    "": re.compile(rf"({_SHARD}|{'|'.join(map(re.escape, _OUR_FILES))})"),
    PARTS_FOLDER: re.compile(rf"{_SHARD}\.json|stop"),
    PLAN_FOLDER: re.compile(rf"{re.escape(PLAN_FILE)}|{re.escape(IMAGES_FILE)}"),
}
_TEMPORARY = re.compile(rf"(?P<name>.+)\.\d+(-[0-9a-f]+)?{re.escape(TEMPORARY_SUFFIX)}")
_ADVICE = "Give another --output_dir, or --overwrite to make the data set anew."


class State(enum.Enum):
    """What an output folder holds of the data set that is asked for."""

    NEW = "new"
    CONTINUED = "continued"
    FINISHED = "finished"


@dataclasses.dataclass(frozen=True)
class ShardRange:
    """The bytes of a shard's images in the plan's list."""

    start: int
    end: int


def load_info(directory: str) -> DatasetInfo | None:
    """Returns what the folder's dataset.json says, None where there is none.

    Raises InputError where it cannot be used, or a shard is missing.
    """
    system, path = filesystem_of(directory), join(directory, dataset_info.FILE_NAME)
    try:
        text = system.read(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    info = dataset_info.parse_dataset_info(text, path)
    dataset_info.check_shards(info, directory, system.names(directory))
    return info


def is_finished_as(info: DatasetInfo, settings: dict[str, Any], inputs: dict[str, Any]) -> bool:
    """Tells whether a data set was made with these settings from inputs that did not change since.

    `inputs`: what is known of them without listing them, or {} where that says nothing.
    """
    made_with = json.loads(json.dumps({**settings, "inputs": inputs}))
    return bool(inputs) and made_with.items() <= _with_defaults(info.settings).items()


def prepare(directory: str, plan: Plan, *, overwrite: bool) -> tuple[State, list[ShardRange]]:
    """Makes the folder ready for the plan, unless the data set is there already.

    Saves the plan in it, and returns where each shard's images stand in the plan's list. Removes
    what a killed job left half-written, and with `overwrite` everything of ours, unless that is
    this very plan, begun and not finished; other files stay. Raises InputError if the folder holds
    another data set than the plan's.
    """
    remove_temporaries(directory)
    texts = [format_images(shard.images, plan.containers) for shard in plan.shards]
    ranges = _ranges(texts)
    wanted = _describe_plan(plan, texts, ranges)
    if overwrite and not _is_begun(directory, wanted):
        _remove_ours(directory)
    info = load_info(directory)
    if info is not None:
        _compare(directory, info.settings, plan.settings)
        remove_working_files(directory)
        return State.FINISHED, ranges
    system = filesystem_of(directory)
    state = State.CONTINUED if system.exists(plan_path(directory)) else State.NEW
    if state is State.CONTINUED:
        _compare_plans(directory, wanted, plan)
    else:
        _check_no_shards(directory)
    system.make_folder(parts_folder(directory))
    system.make_folder(join(directory, PLAN_FOLDER))
    if state is State.NEW or not _has_images(directory, wanted):
        with replacing(images_path(directory)) as temporary, open(temporary, "wb") as file:
            file.writelines(texts)
    if state is State.NEW:
        # Last: with it the plan is whole.
        write_json(plan_path(directory), wanted)
    return state, ranges


def _has_images(directory: str, wanted: dict[str, Any]) -> bool:
    """Tells whether the list of images is there, as it was written."""
    path = images_path(directory)
    try:
        found = filesystem_of(path).read(path)
    except FileNotFoundError:
        return False
    return hashlib.sha256(found).hexdigest() == wanted["images"]["sha256"]


def remove_working_files(directory: str) -> None:
    """Removes what is only needed until the data set is whole."""
    remove_temporaries(directory)
    # The plan last, as it says whose the parts are.
    for folder in (PARTS_FOLDER, PLAN_FOLDER):
        _remove_folder(directory, folder)


def remove_temporaries(directory: str) -> None:
    """Removes what a killed process left half-written; no job may be running here."""
    for folder, ours in _OURS.items():
        for name in _names(directory, folder):
            match = _TEMPORARY.fullmatch(name)
            if match and ours.fullmatch(match["name"]):
                filesystem_of(directory).remove(_path(directory, folder, name))


def _ranges(texts: Sequence[bytes]) -> list[ShardRange]:
    ranges, start = [], 0
    for text in texts:
        ranges.append(ShardRange(start, start + len(text)))
        start += len(text)
    return ranges


def _describe_plan(
    plan: Plan, texts: Sequence[bytes], ranges: Sequence[ShardRange]
) -> dict[str, Any]:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text)
    description = {
        "plan_version": _VERSION,
        "jpegkeras_version": jpegkeras.__version__,
        "settings": plan.settings,
        "images": {"columns": PlannedImage._fields, "sha256": digest.hexdigest()},
        "containers": [list(entry) for entry in plan.containers],
        "classes": [dataclasses.asdict(entry) for entry in plan.classes],
        "coarse_classes": plan.coarse_classes,
        "shards": [
            {
                "file": shard.file,
                "split": shard.split,
                "images": len(shard.images),
                "bytes": shard.size,
                **dataclasses.asdict(part),
            }
            for shard, part in zip(plan.shards, ranges)
        ],
    }
    return json.loads(json.dumps(description))


def _is_begun(directory: str, wanted: dict[str, Any]) -> bool:
    """Tells whether the folder holds this plan, begun and not finished: then it is continued."""
    system = filesystem_of(directory)
    if system.exists(join(directory, dataset_info.FILE_NAME)):
        return False
    try:
        return json.loads(system.read(plan_path(directory))) == wanted
    except (FileNotFoundError, ValueError):
        return False


def _compare_plans(directory: str, wanted: dict[str, Any], plan: Plan) -> None:
    """Raises InputError that says in what the folder's plan differs from this one."""
    begun = _load_plan(directory)
    if not isinstance(begun.get("settings"), dict):
        raise InputError(f"{plan_path(directory)}: not a plan of this job. {_ADVICE}")
    versions = ("plan_version", "jpegkeras_version")
    _compare(
        directory,
        {**begun.get("settings", {}), **{key: begun.get(key) for key in versions}},
        {**plan.settings, **{key: wanted[key] for key in versions}},
    )
    if begun == wanted:
        return
    for entry in wanted["containers"]:
        if entry not in begun.get("containers", [entry]):
            raise InputError(
                f"{directory}: the input changed since the job began: {entry[0]} was modified, or "
                f"went by another path. {_ADVICE}"
            )
    try:
        old = set(filesystem_of(directory).read(images_path(directory)).splitlines())
    except FileNotFoundError:
        old = set()
    changed = next(
        (
            image
            for shard in plan.shards
            for image in shard.images
            if format_images([image], plan.containers).rstrip() not in old
        ),
        None,
    )
    what = f"{changed.path!r} was modified" if changed else "the plan's files are not as written"
    raise InputError(f"{directory}: the input changed since the job began: {what}. {_ADVICE}")


def _load_plan(directory: str) -> dict[str, Any]:
    path = plan_path(directory)
    try:
        content = json.loads(filesystem_of(path).read(path))
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}). {_ADVICE}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a plan of this job. {_ADVICE}")
    return content


def _check_no_shards(directory: str) -> None:
    shards = [name for name in _names(directory, "") if re.fullmatch(_SHARD, name)]
    if shards:
        raise InputError(
            f"{directory}: it holds {min(shards)}, but neither a plan nor "
            f"{dataset_info.FILE_NAME} to say what made it. Give another --output_dir, or move it "
            "away if it is yours (--overwrite would remove it)."
        )


def _compare(directory: str, made_with: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raises InputError that names each setting in which the folder's data set is another one."""
    made_with = _with_defaults(made_with)
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


def _with_defaults(made_with: dict[str, Any]) -> dict[str, Any]:
    """What was made before a setting existed does not name it, and is as its default leaves it."""
    return {
        **dataclasses.asdict(Transcoding.recorded({})),
        "train_per_class": 0,
        "test_per_class": 0,
        "only_labelled": False,
        **made_with,
    }


def _describe(key: str, old: Any, new: Any) -> str:  # noqa: ANN401
    if key == "input":
        before = old.get("files") if isinstance(old, dict) else old
        return f"the input files or their split changed ({before} files then, {new['files']} now)"
    if key == "labels":
        return "the classes, or their titles and coarse classes (--labels), changed"
    return f"{key} was {old} and is now {new}"


def _remove_ours(directory: str) -> None:
    # dataset.json first: without it nobody takes what is left for a whole data set.
    filesystem_of(directory).remove(join(directory, dataset_info.FILE_NAME))
    for folder in (PARTS_FOLDER, PLAN_FOLDER, ""):
        _remove_folder(directory, folder)


def _remove_folder(directory: str, folder: str) -> None:
    """Removes our files in a folder below `directory`, and the folder if nothing is left in it."""
    # plan.json before the list that it speaks of.
    for name in sorted(_names(directory, folder), key=lambda name: name != PLAN_FILE):
        if _OURS[folder].fullmatch(name):
            filesystem_of(directory).remove(_path(directory, folder, name))
    if folder and not is_remote(directory):
        with contextlib.suppress(OSError):  # It stays if somebody else keeps a file in it.
            os.rmdir(join(directory, folder))


def _names(directory: str, folder: str) -> list[str]:
    return filesystem_of(directory).names(join(directory, folder) if folder else directory)


def _path(directory: str, folder: str, name: str) -> str:
    return join(directory, folder, name) if folder else join(directory, name)
