"""Image files → class names and probabilities."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import keras
import numpy as np
import tensorflow as tf

from jpegkeras import transforms
from jpegkeras.description import NetworkDescription
from jpegkeras.errors import InputError
from jpegkeras.evaluation import TOP_K
from jpegkeras.jpeg import JpegCoefficients, JpegError
from jpegkeras.sampling import COMPONENTS
from jpegkeras.transcoding import Transcoding, UnreadableImageError, transcode


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one image, most probable first, and the route its bytes took."""

    path: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    route: str


def predict_file(
    path: str | os.PathLike, model: keras.Model, description: NetworkDescription
) -> Prediction:
    """Classifies one image file. Raises InputError for one that is missing or unreadable."""
    features, route = load_features(path, description)
    batch = {key: value[np.newaxis] for key, value in features.items()}
    probabilities = tf.nn.softmax(model(batch, training=False)).numpy()[0]
    likeliest = np.argsort(-probabilities, kind="stable")[:TOP_K]
    return Prediction(
        path=str(path),
        classes=tuple(description.class_names[index] for index in likeliest),
        probabilities=tuple(float(probabilities[index]) for index in likeliest),
        route=route,
    )


def load_features(
    path: str | os.PathLike, description: NetworkDescription
) -> tuple[dict[str, np.ndarray], str]:
    """Returns a file's central crop as the network's inputs (without batch axis), and its route.

    The file goes through the data set's own transcoding. An image still smaller than the crop is
    enlarged to it, which no image of the data set needed.
    """
    settings = Transcoding.recorded(description.transcoding)
    try:
        data = pathlib.Path(path).read_bytes()
        result = transcode(data, settings)
        if not _fits(result.image, description):
            enlarged = dataclasses.replace(
                settings, smallest_side=description.image_size, downscale=1
            )
            result = transcode(data, enlarged)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except JpegError as error:
        raise InputError(f"{path}: byte {error.offset}: {error.problem}") from error
    except UnreadableImageError as error:
        raise InputError(f"{path}: {error}") from error
    return central_features(result.image, description), result.route


def central_features(
    image: JpegCoefficients, description: NetworkDescription
) -> dict[str, np.ndarray]:
    """Returns the central crop as the network's inputs, without a batch axis."""
    size, sampling = description.image_size, description.sampling
    planes = {key: component.coefficients for key, component in zip(COMPONENTS, image.components)}
    top, left = transforms.center_offsets(image.height, image.width, size, sampling)
    features = transforms.crop(planes, top, left, size, sampling)
    features["quantization"] = np.stack([c.quantization for c in image.components])
    return features


def _fits(image: JpegCoefficients, description: NetworkDescription) -> bool:
    offsets = transforms.center_offsets(
        image.height, image.width, description.image_size, description.sampling
    )
    return min(offsets) >= 0
