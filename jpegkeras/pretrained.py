"""A network started with the weights of a ResNet-50 that was trained on RGB pixels.

The networks on DCT coefficients have the stages 4 and 5 of ResNet-50 (`jpegkeras.models.resnet`),
layer by layer, so that a trained RGB network can lend them: fewer epochs, or fewer images, then do.
Before them nothing fits, as the input is another one. An RGB network takes everything.

A source is a file of Keras (`.keras`, `.h5`, `.weights.h5`) or a checkpoint of a training of ours.
Its network is `resnet50_rgb` or `keras.applications.ResNet50`, with or without its classifier, also
as a layer of another model. Our networks give it pixels as `keras.applications.resnet`'s
`preprocess_input` does.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import rich.console
import rich.table
import rich.text

import jpegkeras.models  # noqa: F401, registers the layers that a file of ours names
from jpegkeras.errors import InputError
from jpegkeras.models.resnet import STAGE_4, STAGE_5, rgb_stages

IMAGENET = "imagenet"
SUFFIXES = (".keras", ".h5", ".hdf5")
_LONGEST = 200
_CLASSIFIER = "predictions"
_FEATURES = 4 * STAGE_5.width
# What a DCT network has in common with an RGB one.
_SHARED = (f"{STAGE_4.name}_", f"{STAGE_5.name}_")
_TRUNK = re.compile(r"conv[1-5]_")
# What keras.applications names its classes by (keras.applications.imagenet_utils).
_IMAGENET_CLASSES = "imagenet_class_index.json"
_IMAGENET_CLASSES_URL = (
    f"https://storage.googleapis.com/download.tensorflow.org/data/{_IMAGENET_CLASSES}"
)
# What reading a file that is damaged, or no model, raises in Keras, h5py and zipfile.
_DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
    zipfile.BadZipFile,
)

Weights = dict[str, list[np.ndarray]]  # layer → its weights, in the order of Keras


@dataclasses.dataclass(frozen=True)
class InitReport:
    """What a network was started with.

    Attributes:
      taken: the layers whose weights are now the source's.
      left: (layer, reason) of every other layer that has weights.
      source: where the weights come from.
    """

    taken: tuple[str, ...]
    left: tuple[tuple[str, str], ...]
    source: str = ""

    def print(self, console: rich.console.Console | None = None) -> None:
        """Prints a short table: a row for each stage and fate."""
        table = rich.table.Table(
            title=rich.text.Text(f"Weights from {self.source}"), title_justify="left"
        )
        for column in ("part", "layers", "weights"):
            table.add_column(column, justify="right" if column == "layers" else "left")
        fates = [(name, "taken") for name in self.taken]
        fates += [(name, f"left: {reason}") for name, reason in self.left]
        fates = sorted((_part(name), fate) for name, fate in fates)
        for (part, fate), rows in itertools.groupby(fates):
            table.add_row(part, str(len(list(rows))), rich.text.Text(fate))
        (console or rich.console.Console()).print(table)


@dataclasses.dataclass(frozen=True)
class _Source:
    """The weights of a file's network; the names of its classes, where the file tells them."""

    trunk: Weights
    classifier: list[np.ndarray] | None
    class_names: tuple[str, ...] | None = None
    # The same classes in other words.
    readable_names: tuple[str, ...] | None = None
    no_classifier: str = "the source has no classifier"


def init_from(
    model: keras.Model, path: str | os.PathLike, class_names: Sequence[str] | None = None
) -> InitReport:
    """Gives a network the weights of a ResNet-50 on RGB pixels, as far as they fit.

    An RGB network takes all layers, a DCT network those of the stages 4 and 5. Either takes the
    classifier too, if it has as many classes and, where both sides' names are known, the same ones
    in the same order.

    Args:
      model: a network of `jpegkeras.models`; its weights are changed in place.
      path: a `.keras`, `.h5` or `.weights.h5` file, the prefix of a checkpoint, the `workdir` of a
        training (its best checkpoint, or else the latest), or "imagenet": the weights that
        `keras.applications.ResNet50` downloads.
      class_names: what the logits of `model` stand for, if known.

    Returns:
      Which layers were taken and which were not, and why.

    Raises:
      InputError: there is no such file; it is damaged; it holds no ResNet-50 on RGB pixels; it
        cannot be downloaded; nothing of it fits. The network is then as it was.
    """
    source = _read_source(os.fspath(path), class_names)
    _check_trunk(source.trunk, os.fspath(path))
    targets = dict(_layers_with_weights(model))
    on_pixels = "conv1_conv" in targets
    chosen: Weights = {}
    left = []
    for name, layer in targets.items():
        if name == _CLASSIFIER:
            values, reason = _choose_classifier(source, layer, class_names)
        else:
            values, reason = _choose_layer(source, name, layer, on_pixels=on_pixels)
        if values is None:
            left.append((name, reason))
        else:
            chosen[name] = values
    if not chosen:
        raise InputError(
            f"{os.fspath(path)}: no layer of {model.name} can be started with it; give "
            "--init_from to a ResNet-50."
        )
    for name, values in chosen.items():
        targets[name].set_weights(values)
    return InitReport(tuple(chosen), tuple(left), os.fspath(path))


def _choose_layer(
    source: _Source, name: str, layer: keras.Layer, *, on_pixels: bool
) -> tuple[list[np.ndarray] | None, str]:
    """The source's weights for a layer before the classifier, or None and why not."""
    if name not in source.trunk:
        return None, "the RGB network has no such layer"
    if not on_pixels and not name.startswith(_SHARED):
        return None, "stages 4 and 5 alone are taken from RGB"
    values = source.trunk[name]
    theirs, ours = _shapes(values), [tuple(w.shape) for w in layer.weights]
    if theirs != ours:
        return None, f"shapes are {ours}, the source's {theirs}"
    return values, ""


def _choose_classifier(
    source: _Source, layer: keras.Layer, class_names: Sequence[str] | None
) -> tuple[list[np.ndarray] | None, str]:
    """The source's classifier, if it tells the same classes apart, or None and why not."""
    if source.classifier is None:
        return None, source.no_classifier
    theirs, ours = source.classifier[0].shape[-1], layer.weights[0].shape[-1]
    if theirs != ours:
        return None, f"{ours} classes here, {theirs} in the source"
    if class_names is not None and source.class_names is not None:
        names = tuple(class_names)
        if names not in (source.class_names, source.readable_names):
            return None, "the source's classes have other names"
    return source.classifier, ""


# --- The source -----------------------------------------------------------------------------------


def _read_source(path: str, class_names: Sequence[str] | None) -> _Source:
    if path == IMAGENET:
        return _download_imagenet(class_names)
    file = pathlib.Path(path)
    if file.is_dir() or file.suffix == ".index" or pathlib.Path(f"{path}.index").is_file():
        return _read_checkpoint(path)
    if not file.is_file():
        raise InputError(
            f"{path}: no such file. --init_from takes a .keras, .h5 or .weights.h5 file, a "
            f"checkpoint, a --workdir, or {IMAGENET!r}."
        )
    if not path.endswith(SUFFIXES):
        raise InputError(f"{path}: --init_from takes files that end in {', '.join(SUFFIXES)}.")
    try:
        # What Keras warns of, before it fails, is said by the error below.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = _load_weights(path) if _has_weights_alone(path) else _load_model(path)
        return _as_source(model)
    except _DAMAGE as error:
        raise InputError(
            f"{path}: cannot be read as a ResNet-50 of Keras ({_first_line(error)}). It is "
            "damaged, or another network's."
        ) from error


def _load_model(path: str) -> keras.Model:
    return keras.saving.load_model(path, compile=False)


def _load_weights(path: str) -> keras.Model:
    """The ResNet-50 that a file of weights alone is of."""
    classes = _count_classes(path)
    model = keras.applications.ResNet50(
        weights=None,
        include_top=classes is not None,
        input_shape=None if classes is not None else (None, None, 3),
        classes=classes or 1,
        classifier_activation=None,
    )
    model.load_weights(path)
    return model


def _has_weights_alone(path: str) -> bool:
    if path.endswith(".keras"):
        return False
    import h5py  # with Keras, which needs it

    with h5py.File(path, "r") as file:
        return "model_config" not in file.attrs


def _count_classes(path: str) -> int | None:
    """The columns of the classifier's kernel; None where there is none."""
    import h5py

    columns = []

    def visit(_: str, item: object) -> None:
        shape = getattr(item, "shape", ())
        if len(shape) == 2 and shape[0] == _FEATURES:
            columns.append(shape[1])

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return columns[0] if len(columns) == 1 else None


def _read_checkpoint(path: str) -> _Source:
    from jpegkeras import checkpoints  # loads TensorFlow, which writes checkpoints

    if pathlib.Path(path).is_dir():
        best = "best" if pathlib.Path(path, "best").is_dir() else None
        prefix = checkpoints.find_checkpoint(path, best)
    else:
        prefix = checkpoints.find_checkpoint(".", path)
    description, model = checkpoints.restore_network(prefix)
    return dataclasses.replace(_as_source(model), class_names=tuple(description.class_names))


def _download_imagenet(class_names: Sequence[str] | None) -> _Source:
    try:
        model = keras.applications.ResNet50(weights="imagenet")
    # Keras raises a bare Exception where a download fails.
    except Exception as error:
        raise InputError(
            f"--init_from={IMAGENET}: the weights of keras.applications.ResNet50 cannot be "
            f"downloaded ({_first_line(error)}). Download them elsewhere and give the .h5 file."
        ) from error
    source = _as_source(model)
    if class_names is None or len(class_names) != source.classifier[0].shape[-1]:
        return source
    try:
        wordnet_ids, names = _download_imagenet_classes()
    except Exception as error:
        reason = f"the names of its classes cannot be downloaded ({_first_line(error)})"
        return dataclasses.replace(source, classifier=None, no_classifier=reason)
    return dataclasses.replace(source, class_names=wordnet_ids, readable_names=names)


def _download_imagenet_classes() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The WordNet identifiers and the names of ImageNet's classes, in the classifier's order."""
    file = keras.utils.get_file(_IMAGENET_CLASSES, _IMAGENET_CLASSES_URL, cache_subdir="models")
    index = json.loads(pathlib.Path(file).read_text("utf-8"))
    rows = [index[str(number)] for number in range(len(index))]
    return tuple(row[0] for row in rows), tuple(row[1] for row in rows)


def _as_source(model: keras.Model) -> _Source:
    trunk: Weights = {}
    heads = []
    for name, layer in _layers_with_weights(model):
        values = layer.get_weights()
        if not all(np.isfinite(value).all() for value in values):
            raise ValueError(f"the weights of layer {name} are not finite")
        if _TRUNK.match(name):
            trunk[name] = values
        elif _shapes(values[:1]) == [(_FEATURES, values[0].shape[-1])] and len(values) == 2:
            heads.append(values)
    return _Source(trunk, heads[0] if len(heads) == 1 else None)


def _check_trunk(trunk: Weights, path: str) -> None:
    """Raises InputError unless these are the layers of ResNet-50 before its classifier."""
    expected = dict(_resnet50_shapes())
    problem = None
    for name, shapes in expected.items():
        if name not in trunk:
            problem = f"there is no layer {name}"
        elif _shapes(trunk[name]) != shapes:
            problem = f"layer {name} has weights {_shapes(trunk[name])}, not {shapes}"
        if problem:
            break
    else:
        other = sorted(set(trunk) - set(expected))
        if not other:
            return
        problem = f"layer {other[0]} is one too many"
    raise InputError(f"{path}: no ResNet-50 on RGB pixels: {problem}.")


def _resnet50_shapes() -> Iterator[tuple[str, list[tuple[int, ...]]]]:
    """Each layer of ResNet-50 on RGB pixels before its classifier, and its weights' shapes."""

    def convolution(name: str, size: int, channels: int, filters: int) -> Iterator:
        yield f"{name}_conv", [(size, size, channels, filters), (filters,)]
        yield f"{name}_bn", [(filters,)] * 4

    yield from convolution("conv1", 7, 3, 64)
    channels = 64
    for stage in rgb_stages():
        width = stage.width
        for number, size in enumerate(stage.kernel_sizes, start=1):
            block = f"{stage.name}_block{number}"
            if number == 1:
                yield from convolution(f"{block}_0", 1, channels, 4 * width)
            yield from convolution(f"{block}_1", 1, channels, width)
            yield from convolution(f"{block}_2", size, width, width)
            yield from convolution(f"{block}_3", 1, width, 4 * width)
            channels = 4 * width


# --- Helpers --------------------------------------------------------------------------------------


def _layers_with_weights(model: keras.Model) -> Iterator[tuple[str, keras.Layer]]:
    """Each layer that has weights of its own; models inside the model are opened."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers_with_weights(layer)
        elif layer.weights:
            yield layer.name, layer


def _shapes(values: Sequence[np.ndarray]) -> list[tuple[int, ...]]:
    return [tuple(value.shape) for value in values]


def _part(name: str) -> str:
    return name.partition("_")[0] if _TRUNK.match(name) else name


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    # Keras puts whole configurations into some messages.
    return lines[0].strip().rstrip(".:")[:_LONGEST] if lines else type(error).__name__
