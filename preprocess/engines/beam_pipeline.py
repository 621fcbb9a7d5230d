"""The pipeline: one element a shard. What runs in Beam's workers is here, and imported by name.

A shard is written whole or not at all, and nothing is taken from what Beam returns. So it does no
harm if a runner works at an element twice, at the same time even, or loses it: what is missing
afterwards is not in the output folder.
"""

from __future__ import annotations

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


def encode_tasks(tasks: Sequence[ShardTask]) -> list[bytes]:
    """Returns the elements: bytes, so that no runner has its own idea of how to encode them."""
    return [pickle.dumps(task) for task in tasks]


def add_steps(pipeline: beam.Pipeline, elements: Sequence[bytes], arguments: Sequence[str]) -> None:
    """Adds the pipeline's steps. `arguments`: the options of Beam, which the workers need too."""
    _ = (
        pipeline
        | "Tasks" >> beam.Create(elements)
        # Else the runner may keep them together, in one worker.
        | "Spread" >> beam.Reshuffle()
        | "WriteShard" >> beam.ParDo(WriteShard(arguments))
    )


class WriteShard(beam.DoFn):
    """Makes the shard of each element, unless it is there or the job was stopped."""

    def __init__(self, arguments: Sequence[str]):
        super().__init__()
        self._arguments = tuple(arguments)

    def setup(self) -> None:
        """Prepares the worker process."""
        os.environ.update(WORKER_ENVIRONMENT)
        use_options(self._arguments)

    def process(self, element: bytes) -> None:
        """Makes one shard."""
        # Not before: the environment is read when the libraries are loaded.
        from preprocess.shards import write_shard

        task: ShardTask = pickle.loads(element)
        if not filesystem_of(task.directory).exists(stop_path(task.directory)):
            write_shard(task, _report_nothing)


def _report_nothing(size: int) -> None:
    """Takes what the local engine counts; here the parts tell."""
