"""Where a job keeps what it needs until the data set is whole, below its output folder."""

from __future__ import annotations

from preprocess.filesystems import join

PLAN_FOLDER, PARTS_FOLDER = ".plan", ".parts"
PLAN_FILE, IMAGES_FILE = "plan.json", "images.jsonl"


def plan_path(directory: str) -> str:
    """Returns the path of the plan: its settings, classes and shards."""
    return join(directory, PLAN_FOLDER, PLAN_FILE)


def images_path(directory: str) -> str:
    """Returns the path of the plan's list of images, a line each, shard by shard."""
    return join(directory, PLAN_FOLDER, IMAGES_FILE)


def parts_folder(directory: str) -> str:
    """Returns the folder of what is known of each finished shard."""
    return join(directory, PARTS_FOLDER)


def part_path(directory: str, shard: str) -> str:
    """Returns where the part of a shard is kept."""
    return join(directory, PARTS_FOLDER, f"{shard}.json")
