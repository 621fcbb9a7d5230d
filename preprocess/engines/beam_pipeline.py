"""The pipeline: one element a shard. What runs in Beam's workers is here, and imported by name.

A shard is written whole or not at all, and nothing is taken from what Beam returns. So it does no
harm if a runner works at an element twice, at the same time even, or loses it: what is missing
afterwards is not in the output folder.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
from collections.abc import Sequence

import apache_beam as beam

from preprocess.engines.base import WORKER_ENVIRONMENT
from preprocess.engines.beam_options import use_options
from preprocess.filesystems import filesystem_of, join
from preprocess.tasks import ShardTask
from preprocess.workplace import parts_folder


def stop_path(directory: str) -> str:
    """Returns the path of the file that tells workers to begin no more shards."""
    return join(parts_folder(directory), "stop")


def add_steps(
    pipeline: beam.Pipeline, tasks: Sequence[ShardTask], arguments: Sequence[str]
) -> None:
    """Adds the pipeline's steps. `arguments`: the options of Beam, which the workers need too."""
    _ = (
        pipeline
        | "Shards" >> beam.Create(encode_tasks(tasks))
        # Else the runner may keep them together, in one worker.
        | "Spread" >> beam.Reshuffle()
        | "WriteShard" >> beam.ParDo(WriteShard(tasks[0], arguments))
    )


def encode_tasks(tasks: Sequence[ShardTask]) -> list[bytes]:
    """Returns for each task in what it differs from the first one.

    Little, since all elements are part of the pipeline's description, and that has its limits.
    Bytes, so that no runner has its own idea of how to encode it.
    """
    first = vars(tasks[0])
    return [
        pickle.dumps(
            {
                name: value
                for name, value in vars(task).items()
                if value is not first[name] and value != first[name]
            }
        )
        for task in tasks
    ]


class WriteShard(beam.DoFn):
    """Makes the shard of each element, unless it is there or the job was stopped."""

    def __init__(self, first: ShardTask, arguments: Sequence[str]):
        super().__init__()
        self._first = first
        self._arguments = tuple(arguments)

    def setup(self) -> None:
        """Prepares the worker process."""
        os.environ.update(WORKER_ENVIRONMENT)
        use_options(self._arguments)

    def process(self, element: bytes) -> None:
        """Makes one shard."""
        # Not before: the environment is read when the libraries are loaded.
        from preprocess.shards import write_shard

        task = dataclasses.replace(self._first, **pickle.loads(element))
        if not filesystem_of(task.directory).exists(stop_path(task.directory)):
            write_shard(task, _report_nothing)


def _report_nothing(size: int) -> None:
    """Takes what the local engine counts; here the parts tell."""
