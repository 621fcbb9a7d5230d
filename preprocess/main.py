"""Makes a data set of DCT coefficients from image files, archives or TFRecords of them.

python -m preprocess.main --input_dir=DIR --output_dir=DIR
"""

from __future__ import annotations

import os
import signal

# Loading the modules below takes a second, in which nobody would catch a KeyboardInterrupt. Where
# interrupts are ignored, as in the background of a shell, they stay so.
if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

import errno
import functools
import logging

from absl import flags

from jpegkeras import command_line
from jpegkeras.dataset_info import COMPRESSIONS
from jpegkeras.errors import InputError
from jpegkeras.sampling import SAMPLINGS
from jpegkeras.transcoding import FAST, RESIZES, Transcoding
from preprocess import job, report
from preprocess.config import ENGINES, PreprocessConfig
from preprocess.engines.base import EngineError
from preprocess.reading import raise_file_limit

_CONTINUE = "run the same command again to continue."
_INTERRUPTED = 130
_TOO_MANY_FILES = f". Give fewer --workers, or raise the limit (ulimit -n), and {_CONTINUE}"
_ADVICE = {
    errno.ENOSPC: f". Free some space and {_CONTINUE}",
    errno.EDQUOT: f". Free some space and {_CONTINUE}",
    errno.EMFILE: _TOO_MANY_FILES,
    errno.ENFILE: _TOO_MANY_FILES,
    errno.ENOMEM: f". Give fewer --workers, and {_CONTINUE}",
    errno.EIO: f". The disk or the network failed. Mend that, and {_CONTINUE}",
    errno.EACCES: f". Allow it, or choose another folder, and {_CONTINUE}",
}


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command, with their help."""
    string = functools.partial(flags.DEFINE_string, flag_values=values)
    integer = functools.partial(flags.DEFINE_integer, flag_values=values)
    number = functools.partial(flags.DEFINE_float, flag_values=values)
    boolean = functools.partial(flags.DEFINE_bool, flag_values=values)
    choice = functools.partial(flags.DEFINE_enum, flag_values=values)
    string("input_dir", None, "Folder with one folder a class, or train/ and test/ of such.")
    string("input_csv", None, "CSV: path,label[,split], paths relative to it or --input_dir.")
    string("input_tar", None, "Tar or zip archives of class folders, or of tars a class; a,b,….")
    string("test_tar", None, "Archives of the test split, where --input_tar is the train split.")
    string("test_labels", None, "Classes of a flat test archive: one a line, or file and class.")
    string("input_tfrecords", None, "TFRecords with image/encoded and image/class/label; globs.")
    string("test_tfrecords", None, "TFRecords of the test split; by default by their names.")
    string("output_dir", None, "Folder for the shards and dataset.json.")
    string("labels", None, "CSV with the columns class,name,coarse: titles and coarse classes.")
    integer("smallest_side", None, "Resize the shorter side to so many pixels; default: do not.")
    integer("quality", None, "Re-encode with this quality, 1 to 100; default: the file's tables.")
    choice("subsampling", "4:2:0", list(SAMPLINGS), "Chroma sampling that every record gets.")
    boolean("respect_orientation", False, "Turn pictures as their EXIF orientation says.")
    integer("downscale", 1, "Divide height and width by 1, 2, 4 or 8; not with --smallest_side.")
    choice("resize", FAST, list(RESIZES), "Resize planes, or exactly as a script with Pillow.")
    integer("num_frequencies", 64, "How many of the lowest frequencies to keep, 1 to 64.")
    choice("compression", "gzip", list(COMPRESSIONS), "Compression of the shards.")
    number("test_fraction", 0.2, "Share of each class for test, where the input has no split.")
    integer("train_shards", 0, "Number of train shards; 0: about 1,000 records each.")
    integer("test_shards", 0, "Number of test shards; 0: about 1,000 records each.")
    integer("train_per_class", 0, "At most so many train images of each class; 0: all.")
    integer("test_per_class", 0, "At most so many test images of each class; 0: all.")
    boolean("only_labelled", False, "Leave out the classes that --labels lacks.")
    choice("engine", "local", list(ENGINES), "Where it runs: here, or by an Apache Beam runner.")
    integer("workers", 0, "Number of worker processes of the local engine; 0: one a core.")
    string("beam_options", "", "Options of Apache Beam, as in '--runner=FlinkRunner --…'.")
    integer("seed", 0, "Seed of the split and of the order of records.")
    number("max_rejected", 0.05, "Fail if more than this fraction of the files is rejected.")
    boolean("overwrite", False, "Make it anew if it is there.")


def main(argv: list[str]) -> int:
    """Runs the command line that absl has parsed and returns the exit status."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt_once)
    raise_file_limit()
    logging.getLogger("jpegkeras").setLevel(logging.WARNING)
    return run(argv, flags.FLAGS)


def _interrupt_once(*_: object) -> None:
    """Ignores what follows the first Ctrl-C, so that nothing disturbs its orderly end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def run(argv: list[str], values: flags.FlagValues) -> int:
    """Runs the job and returns the exit status; every error of the user's is one line on stderr."""
    try:
        config = _make_config(argv, values)
        result = job.run(config)
        _tell(config, result)
    except (InputError, EngineError) as error:
        report.say(f"error: {report.printable(str(error))}")
        return 1
    except OSError as error:
        report.say(f"error: {report.printable(str(error))}{_ADVICE.get(error.errno, '')}")
        return 1
    except MemoryError as error:
        what = f" ({report.printable(str(error))})" if str(error) else ""
        report.say(f"error: memory ran out{what}. Give fewer --workers, and {_CONTINUE}")
        return 1
    except KeyboardInterrupt:
        report.say(f"interrupted: {_CONTINUE}")
        return _INTERRUPTED
    return 0


def _tell(config: PreprocessConfig, result: job.Result) -> None:
    if result.finished_before:
        report.say(f"{report.printable(config.output_dir)}: finished already; nothing to do.")
    else:
        report.print_summary(
            result.info,
            images=result.images,
            seconds=result.seconds,
            bytes_in=result.bytes_in,
            bytes_out=result.bytes_out,
        )
    report.print_next_command(config.output_dir, result.info)


def _make_config(argv: list[str], values: flags.FlagValues) -> PreprocessConfig:
    if len(argv) > 1:
        raise InputError(f"unexpected argument {argv[1]!r}; every setting is a --flag=value.")
    try:
        return PreprocessConfig(
            output_dir=values.output_dir,
            input_dir=values.input_dir,
            input_csv=values.input_csv,
            input_tar=values.input_tar,
            test_tar=values.test_tar,
            test_labels=values.test_labels,
            input_tfrecords=values.input_tfrecords,
            test_tfrecords=values.test_tfrecords,
            labels=values.labels,
            transcoding=Transcoding(
                smallest_side=values.smallest_side,
                quality=values.quality,
                subsampling=values.subsampling,
                num_frequencies=values.num_frequencies,
                respect_orientation=values.respect_orientation,
                downscale=values.downscale,
                resize=values.resize,
            ),
            compression=values.compression,
            test_fraction=values.test_fraction,
            train_shards=values.train_shards,
            test_shards=values.test_shards,
            train_per_class=values.train_per_class,
            test_per_class=values.test_per_class,
            only_labelled=values.only_labelled,
            engine=values.engine,
            workers=values.workers,
            beam_options=values.beam_options,
            seed=values.seed,
            max_rejected=values.max_rejected,
            overwrite=values.overwrite,
        )
    except ValueError as error:
        raise InputError(str(error)) from error


# Only as a program: flags are global, and other programs here have some of the same names.
if __name__ == "__main__":
    define_flags(flags.FLAGS)
    command_line.run(main)
