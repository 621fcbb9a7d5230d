"""The engine of Apache Beam: the local engine's bytes, whatever its runners do on the way."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest

from jpegkeras.errors import InputError
from preprocess import job
from preprocess.config import PreprocessConfig
from preprocess.engines.base import EngineError, WorkerDiedError
from tests.preprocess.helpers import (
    ROOT,
    children_of,
    contents,
    needs_proc,
    run_main,
    start_main,
    wait_until,
    write_classes,
)

pytest.importorskip("apache_beam", reason="needs Apache Beam")

from preprocess.engines import beam, local
from preprocess.engines.beam_options import parse_options
from preprocess.engines.beam_pipeline import WriteShard, encode_tasks, stop_path
from preprocess.engines.beam_process import describe_error
from tests.preprocess import beam_faults, shared_filesystem

FN_API_RUNNER = (
    "--runner=FnApiRunner --direct_running_mode=multi_processing --direct_num_workers=2 "
    + beam_faults.PLUGIN
)


@pytest.fixture(autouse=True)
def _temporary_files(tmp_path_factory, monkeypatch):
    """Logs of runs that failed stay, but among the test's files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = write_classes(tmp_path_factory.mktemp("source"), {"a": 20, "b": 20})
    return PreprocessConfig(
        input_dir=str(folder),
        output_dir=str(tmp_path_factory.mktemp("data")),
        train_shards=10,
        test_shards=2,
        workers=1,
    )


@pytest.fixture(scope="module")
def expected(config):
    """The files that the local engine makes."""
    job.run(config)
    return contents(config.output_dir)


@pytest.fixture
def fault(tmp_path, monkeypatch):
    """A function that chooses a fault of the workers."""
    folder = tmp_path / "faults"
    folder.mkdir()
    monkeypatch.setenv(beam_faults.FOLDER_VARIABLE, str(folder))
    monkeypatch.setenv(beam_faults.PARENT_VARIABLE, str(os.getpid()))
    monkeypatch.delenv(beam_faults.FAULT_VARIABLE, raising=False)
    return lambda name: monkeypatch.setenv(beam_faults.FAULT_VARIABLE, name)


@contextlib.contextmanager
def dask_cluster():
    """Yields the address of a cluster of two processes."""
    distributed = pytest.importorskip("distributed", reason="needs dask and distributed")
    with distributed.LocalCluster(
        n_workers=2,
        processes=True,
        threads_per_worker=1,
        dashboard_address=None,
        silence_logs="CRITICAL",
    ) as cluster:
        yield cluster.scheduler_address


@contextlib.contextmanager
def worker_pool():
    """Yields the address of a process that starts Beam's workers for others."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    # It starts them as `python`.
    path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    process = subprocess.Popen(
        [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main"]
        + [f"--service_port={port}"],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: is_listening(port))
        yield f"localhost:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def is_listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0


def with_beam(config, directory, options):
    return dataclasses.replace(
        config, output_dir=str(directory), workers=0, engine="beam", beam_options=options
    )


def arguments(config, directory, options):
    return [
        f"--input_dir={config.input_dir}",
        f"--output_dir={directory}",
        f"--train_shards={config.train_shards}",
        f"--test_shards={config.test_shards}",
        "--engine=beam",
        f"--beam_options={options}",
    ]


def temporaries(directory):
    return [path.name for path in pathlib.Path(directory).rglob("*.tmp")]


def names_in(folder):
    return [path.name for path in pathlib.Path(folder).iterdir()]


def assert_one_line(text, pattern):
    assert re.fullmatch(pattern, text), text
    assert "\n" not in text


def log_named_in(text):
    return pathlib.Path(re.search(r"Its log: (\S+)", text)[1])


def test_two_worker_processes_make_the_local_bytes(config, expected, tmp_path, capfd):
    job.run(with_beam(config, tmp_path, FN_API_RUNNER))
    assert contents(tmp_path) == expected
    error = capfd.readouterr().err
    assert "WARNING" not in error
    assert "apache_beam" not in error
    assert not names_in(tempfile.gettempdir())


def test_dask_makes_the_local_bytes(config, expected, tmp_path):
    with dask_cluster() as address:
        job.run(with_beam(config, tmp_path, f"--runner=DaskRunner --dask_client_address={address}"))
    assert contents(tmp_path) == expected


def test_shards_go_to_both_processes_of_dask(config, tmp_path, fault):
    fault("slow")
    with dask_cluster() as address:
        options = f"--runner=DaskRunner --dask_client_address={address} {beam_faults.PLUGIN}"
        job.run(with_beam(config, tmp_path / "data", options))
    assert len(names_in(os.environ[beam_faults.FOLDER_VARIABLE])) == 2


def test_dask_begins_anew_what_a_killed_process_had(config, expected, tmp_path, fault):
    fault("die")
    with dask_cluster() as address:
        options = f"--runner=DaskRunner --dask_client_address={address} {beam_faults.PLUGIN}"
        job.run(with_beam(config, tmp_path / "data", options))
    assert "dead" in names_in(os.environ[beam_faults.FOLDER_VARIABLE])
    assert contents(tmp_path / "data") == expected


def test_the_job_api_of_clusters_makes_the_local_bytes(config, expected, tmp_path):
    """As with Flink and Spark: a job server, and workers from a pool that runs already."""
    with worker_pool() as address:
        options = (
            "--runner=PortableRunner --job_endpoint=embed --environment_type=EXTERNAL "
            f"--environment_config={address}"
        )
        job.run(with_beam(config, tmp_path, options))
    assert contents(tmp_path) == expected


@pytest.mark.slow
def test_killed_worker_ends_the_run_in_one_line(config, expected, tmp_path, fault):
    fault("die")
    directory = tmp_path / "data"
    start = time.monotonic()
    with pytest.raises(WorkerDiedError) as caught:
        job.run(with_beam(config, directory, FN_API_RUNNER))
    assert time.monotonic() - start < 60
    assert_one_line(
        str(caught.value),
        r"a worker process of Beam's runner died \(.*\); out of memory\? \d+ of 12 shards are "
        r"missing\. Run the same command again to continue\. Its log: \S+",
    )
    assert "return code" in log_named_in(str(caught.value)).read_text()
    assert not temporaries(directory)
    # The fault comes only once.
    job.run(with_beam(config, directory, FN_API_RUNNER))
    assert contents(directory) == expected


@pytest.mark.slow
def test_lost_shards_are_noticed(config, expected, tmp_path, fault, monkeypatch):
    fault("lose")
    directory = tmp_path / "data"
    with pytest.raises(EngineError) as caught:
        job.run(with_beam(config, directory, FN_API_RUNNER))
    assert_one_line(
        str(caught.value),
        r"the Beam pipeline ended as if nothing were wrong, but not all was done\. 3 of 12 shards "
        r"are missing\. Run the same command again to continue\. Its log: \S+",
    )
    assert not (directory / "dataset.json").exists()
    monkeypatch.delenv(beam_faults.FAULT_VARIABLE)
    job.run(with_beam(config, directory, FN_API_RUNNER))
    assert contents(directory) == expected


def test_a_shard_made_twice_at_once_is_the_same(config, expected, tmp_path, fault):
    fault("twice")
    directory = tmp_path / "data"
    job.run(with_beam(config, directory, FN_API_RUNNER))
    assert contents(directory) == expected


def test_what_a_worker_raises_is_one_line(config, tmp_path, fault):
    fault("full")
    directory = tmp_path / "data"
    with pytest.raises(EngineError) as caught:
        job.run(with_beam(config, directory, FN_API_RUNNER))
    assert not isinstance(caught.value, WorkerDiedError)
    assert_one_line(
        str(caught.value),
        r"the Beam pipeline failed: OSError: \[Errno 28\] No space left on device: '\S+\.gz'\. "
        r"12 of 12 shards are missing\. Run the same command again to continue\. Its log: \S+",
    )
    assert "Traceback" in log_named_in(str(caught.value)).read_text()


def test_what_a_worker_finds_wrong_with_the_input_is_told_as_such(config, tmp_path, fault):
    fault("changed")
    with pytest.raises(InputError, match=r"^a\.tar: changed since the job began\.$"):
        job.run(with_beam(config, tmp_path / "data", FN_API_RUNNER))


def test_remote_input_and_output(config, expected, tmp_path, monkeypatch):
    monkeypatch.setenv(shared_filesystem.FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "images").symlink_to(config.input_dir)
    options = f"{FN_API_RUNNER} --beam_plugin={shared_filesystem.__name__}.SharedFileSystem"
    remote = dataclasses.replace(
        with_beam(config, "shared://data", options), input_dir="shared://images"
    )
    job.run(remote)
    made = contents(tmp_path / "data")
    assert {name: data for name, data in made.items() if name != "dataset.json"} == {
        name: data for name, data in expected.items() if name != "dataset.json"
    }
    assert b"shared://images" in made["dataset.json"]
    assert not names_in(tempfile.gettempdir())


def is_anything_running(word):
    """Tells whether a process has the word in its environment."""
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if word.encode() in path.read_bytes():
                return True
    return False


def start_slow(config, tmp_path):
    """Starts a job and waits until a worker is at work. Returns it, and a word to find it by."""
    word = f"{beam_faults.FOLDER_VARIABLE}={tmp_path / 'faults'}"
    (tmp_path / "temporary").mkdir()
    process = start_main(
        *arguments(config, tmp_path / "data", FN_API_RUNNER),
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
    )
    wait_until(lambda: process.poll() is not None or names_in(tmp_path / "faults"))
    assert process.poll() is None, process.communicate()
    return process, word


@needs_proc
@pytest.mark.slow
def test_interrupt_ends_all_processes_in_one_line(config, expected, tmp_path, fault, monkeypatch):
    fault("slow")
    process, word = start_slow(config, tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error.endswith("interrupted: run the same command again to continue.\n")
    assert "Traceback" not in error
    wait_until(lambda: not is_anything_running(word))
    assert not temporaries(tmp_path)
    assert not (tmp_path / "data" / ".parts" / "stop").exists()
    monkeypatch.delenv(beam_faults.FAULT_VARIABLE)
    job.run(with_beam(config, tmp_path / "data", FN_API_RUNNER))
    assert contents(tmp_path / "data") == expected


@needs_proc
def test_killed_runner_ends_the_run_in_one_line(config, tmp_path, fault):
    fault("slow")
    process, word = start_slow(config, tmp_path)
    [runner] = children_of(process)
    os.kill(runner, signal.SIGKILL)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert_one_line(
        error.splitlines()[-1],
        r"error: the process of Beam's runner was killed; out of memory\? \d+ of 12 shards are "
        r"missing\. Run the same command again to continue\. Its log: \S+",
    )
    assert "Traceback" not in error
    wait_until(lambda: not is_anything_running(word))
    assert not temporaries(tmp_path)


@needs_proc
def test_all_processes_end_with_a_killed_parent(config, tmp_path, fault):
    fault("slow")
    process, word = start_slow(config, tmp_path)
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: not is_anything_running(word))
    assert not names_in(tmp_path / "temporary")


@pytest.fixture
def tasks(config, tmp_path, monkeypatch):
    """The tasks of a job that has made its plan and no shard."""
    caught = []

    def run(tasks, workers, progress):
        caught.extend(tasks)
        yield from ()

    with monkeypatch.context() as patched:
        patched.setattr(local, "run", run)
        with pytest.raises(EngineError, match="without 12 of 12 shards; the first is train-00000"):
            job.run(dataclasses.replace(config, output_dir=str(tmp_path / "data")))
    return caught


@pytest.mark.slow
def test_a_closed_run_on_a_cluster_leaves_word_to_stop(tasks, expected, tmp_path, fault):
    fault("slow")
    directory = tmp_path / "data"
    with dask_cluster() as address:
        options = f"--runner=DaskRunner --dask_client_address={address} {beam_faults.PLUGIN}"
        run = beam.run(tasks, options, lambda *_: None)
        next(run)
        run.close()
        assert pathlib.Path(stop_path(str(directory))).exists()
        time.sleep(1)
        made = len(list(directory.glob("*.gz")))
        assert made < len(tasks)
        time.sleep(1)
        assert len(list(directory.glob("*.gz"))) == made
        # The same again: what is there is found, the rest is made.
        counts = []
        parts = list(beam.run(tasks, options, lambda *count: counts.append(count)))
    assert sorted(part.file for part in parts) == sorted(task.shard for task in tasks)
    assert counts[-1] == (40, sum(task.size for task in tasks))
    assert counts == sorted(counts)
    shards = {name: data for name, data in contents(directory).items() if name.endswith(".gz")}
    assert shards == {name: data for name, data in expected.items() if name.endswith(".gz")}


def test_workers_begin_no_shard_once_told_to_stop(tasks, tmp_path):
    step, element = WriteShard(tasks[0], ()), encode_tasks(tasks)[1]
    stop = pathlib.Path(stop_path(tasks[0].directory))
    stop.write_text("stop")
    step.process(element)
    assert not (tmp_path / "data" / tasks[1].shard).exists()
    stop.unlink()
    step.process(element)
    assert (tmp_path / "data" / tasks[1].shard).exists()


def test_elements_are_small(tasks):
    """Thousands of them are part of the pipeline's description: Dataflow takes 20 MB of it."""
    coarse = tuple(range(1000))
    opened = {f"a/{index:05d}.tar": f"gs://bucket/a/{index:05d}.tar" for index in range(1000)}
    large = [dataclasses.replace(task, coarse=coarse, opened=dict(opened)) for task in tasks]
    assert max(map(len, encode_tasks(large))) < 500


def test_no_tasks_need_no_runner():
    assert list(beam.run([], "--runner=FnApiRunner", lambda *_: None)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--runer=FnApiRunner", r"Beam knows no option --runer\. Did you mean --runner\?"),
        ("--direct_workers=2", r"no option --direct_workers\. Did you mean --direct_num_workers\?"),
        ("--runner=FnApiRuner", r"no runner 'FnApiRuner'\. Did you mean FnApiRunner\?"),
        ("--runner=nix.da.Runner", r"--runner=nix\.da\.Runner cannot be imported"),
        ("--direct_num_workers=two", r"--direct_num_workers: invalid int value: 'two'"),
        ("--direct_running_mode=fast", r"invalid choice: 'fast'"),
        ("fast", r"'fast' is no option; expected --name=value"),
        ("--runner='FnApiRunner", r"cannot be split: No closing quotation"),
        ("--beam_plugin=nix.da", r"--beam_plugin=nix\.da cannot be imported"),
    ],
)
def test_options_that_beam_does_not_take(options, message, config, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        beam.prepare(options, [])
    assert "\n" not in str(caught.value)
    # The job stops at the same.
    with pytest.raises(InputError, match=message):
        job.run(with_beam(config, tmp_path / "data", options))


def test_options_in_the_documentation():
    pytest.importorskip("distributed", reason="needs dask and distributed")
    text = (ROOT / "docs" / "beam.md").read_text("utf-8")
    commands = re.findall(r'--beam_options="(--[^"…]*)"', text)
    parsed = [parse_options(command) for command in commands]
    assert [options.runner for options in parsed] == [
        "FnApiRunner",
        "DaskRunner",
        "DataflowRunner",
        "FlinkRunner",
        "PortableRunner",
    ]
    assert not any(options.unknown for options in parsed)


def test_misspelt_option_is_one_line_of_the_command(config, tmp_path, capfd):
    assert run_main(*arguments(config, tmp_path / "data", "--runer=FnApiRunner")) == 1
    assert capfd.readouterr().err.endswith(
        "error: --beam_options: Beam knows no option --runer. Did you mean --runner?\n"
    )


def test_without_a_runner_it_is_this_machine_with_all_cores():
    options = parse_options("")
    assert options.runner == "FnApiRunner"
    assert options.here
    assert "--direct_running_mode=multi_processing" in options.arguments
    one = parse_options("--direct_num_workers=1")
    assert one.runner == "FnApiRunner"
    assert one.arguments == ("--direct_num_workers=1", "--runner=FnApiRunner")


def test_dask_gives_a_worker_one_shard_at_a_time():
    pytest.importorskip("distributed", reason="needs dask and distributed")
    assert parse_options("--runner=DaskRunner").arguments[-1] == "--dask_partition_size=1"
    given = parse_options("--runner=DaskRunner --dask_npartitions=3").arguments
    assert given[-1] == "--dask_npartitions=3"


def test_a_job_server_may_know_more_options(capfd):
    beam.prepare("--runner=FlinkRunner --new_parallelism=3", [])
    assert capfd.readouterr().err == (
        "warning: --beam_options: Beam knows no option --new_parallelism. Did you mean "
        "--parallelism? It is handed on to the job server.\n"
    )


def test_workers_elsewhere_do_not_see_these_disks(capfd):
    with pytest.raises(InputError, match="the workers of Dataflow cannot see this machine's disks"):
        beam.prepare("--runner=DataflowRunner", ["gs://bucket/images", "records"])
    beam.prepare("--runner=DataflowRunner", ["gs://bucket/images", "gs://bucket/records"])
    assert not capfd.readouterr().err
    beam.prepare("--runner=FlinkRunner", ["/images", "/records"])
    assert capfd.readouterr().err == (
        "warning: /images must be a disk that the workers of FlinkRunner share, under the same "
        "path.\n"
    )
    beam.prepare("--runner=FnApiRunner", ["/images", "/records"])
    assert not capfd.readouterr().err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            RuntimeError(
                "Traceback (most recent call last):\n  File …\nKeyError: 'a'\n\nDuring handling of "
                "the above exception, another exception occurred:\n\nTraceback (most recent call "
                "last):\n  File …\nOSError: [Errno 28] No space left on device: 'x' [while running "
                "'WriteShard-ptransform-12']\n"
            ),
            "OSError: [Errno 28] No space left on device: 'x'",
        ),
        (OSError(28, "No space left", "x"), "OSError: [Errno 28] No space left: 'x'"),
        (RuntimeError("a.b.SomeError: x [while running 'y']"), "a.b.SomeError: x"),
        (ValueError(), "ValueError"),
        (ValueError("two\nlines"), "ValueError: two"),
        (type("KilledWorker", (Exception,), {})("died"), "KilledWorker: died"),
    ],
)
def test_describe_error(error, line):
    assert describe_error(error).removeprefix("tests.preprocess.test_beam.") == line
