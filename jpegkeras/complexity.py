"""Multiply–adds and parameters of a network, read off the network that was built."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import keras
from keras import layers


@dataclasses.dataclass(frozen=True)
class LayerComplexity:
    """One row of the table: what one call of a layer costs.

    Attributes:
      name: the layer's name; within a nested model, "model/layer".
      type: the layer's class.
      output_shape: as Keras gives it, the batch dimension None; of a layer with several outputs,
        one shape each.
      multiply_adds: for one example.
      parameters: moving statistics included; 0 where an earlier row has counted them (a shared
        layer).
    """

    name: str
    type: str
    output_shape: tuple
    multiply_adds: int
    parameters: int


@dataclasses.dataclass(frozen=True)
class Complexity:
    """What `measure` found.

    Attributes:
      multiply_adds: of the convolutions and dense layers, for one example. Half of the
        floating-point operations that TensorFlow's profiler counts; "GFLOPs" of most papers.
      parameters: all, moving statistics of batch normalisation included.
      trainable_parameters: those that training changes.
      per_layer: one row a layer call, in the order of the network.
    """

    multiply_adds: int
    parameters: int
    trainable_parameters: int
    per_layer: tuple[LayerComplexity, ...]


def measure(model: keras.Model) -> Complexity:
    """Counts multiply–adds and parameters of a functional or sequential model.

    Multiply–adds are those of Conv2D (grouped ones included), DepthwiseConv2D, Conv2DTranspose and
    Dense, from the kernels' and outputs' shapes; additions of biases, normalisations, activations
    and fixed layers are not counted.

    Args:
      model: a built model whose shapes are known except for the batch.

    Returns:
      The counts, for one example.

    Raises:
      ValueError: the model has no graph, a shape is unknown, or a layer has a kernel that this
        function does not know how to count.
    """
    rows = []
    counted: set[int] = set()
    for name, layer, node in _calls(model):
        parameters = 0 if id(layer) in counted else layer.count_params()
        counted.add(id(layer))
        rows.append(
            LayerComplexity(
                name=name,
                type=type(layer).__name__,
                output_shape=_shapes(node.output_tensors),
                multiply_adds=_multiply_adds(layer, node),
                parameters=parameters,
            )
        )
    return Complexity(
        multiply_adds=sum(row.multiply_adds for row in rows),
        parameters=model.count_params(),
        trainable_parameters=sum(math.prod(v.shape) for v in model.trainable_variables),
        per_layer=tuple(rows),
    )


def _calls(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.Layer, Any]]:
    """Each call of a layer in the model's graph: (name, layer, node), nested models opened."""
    if isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    # A layer's own list of calls also holds those of other models that share it: only the model's
    # nodes tell what runs in this one. Keras has no public name for them; its own summary() reads
    # them the same way.
    nodes_by_depth = getattr(model, "_nodes_by_depth", None)
    if nodes_by_depth is None:
        raise ValueError(
            f"complexity can be measured of built functional and sequential models only; "
            f"'{model.name}' is a {type(model).__name__} without a graph."
        )
    for depth in sorted(nodes_by_depth, reverse=True):
        for node in nodes_by_depth[depth]:
            operation = node.operation
            if isinstance(operation, keras.Model):
                yield from _calls(operation, f"{prefix}{operation.name}/")
            elif isinstance(operation, keras.Layer):
                yield f"{prefix}{operation.name}", operation, node


def _shapes(tensors: list[Any]) -> tuple:
    shapes = tuple(tuple(t.shape) for t in tensors)
    return shapes[0] if len(shapes) == 1 else shapes


def _multiply_adds(layer: keras.Layer, node: Any) -> int:
    """Multiply–adds of one call: the kernel's elements times the positions it is applied at."""
    if isinstance(layer, layers.Conv2DTranspose):
        # Each input position spreads the whole kernel over the output.
        positions = _spatial(layer, node.input_tensors[0].shape)
    elif isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
        # A grouped or depthwise kernel's shape holds only the channels that one output sees.
        positions = _spatial(layer, node.output_tensors[0].shape)
    elif isinstance(layer, layers.Dense):
        positions = node.output_tensors[0].shape[1:-1]
    else:
        for weight in layer.weights:
            # By the name, or by having more axes than a bias or a scale: a layer not known here
            # must not pass as free.
            if "kernel" in weight.path.rsplit("/", 1)[-1] or len(weight.shape) > 1:
                raise ValueError(
                    f"cannot count the multiply–adds of layer '{layer.name}' "
                    f"({type(layer).__name__}), which has a kernel '{weight.path}' "
                    f"{tuple(weight.shape)}: add its rule to jpegkeras.complexity."
                )
        return 0
    if None in positions:
        raise ValueError(
            f"the shape of layer '{layer.name}' is not known "
            f"({tuple(node.output_tensors[0].shape)}): build the network for a fixed image size."
        )
    return math.prod(positions) * math.prod(layer.kernel.shape)


def _spatial(layer: keras.Layer, shape: tuple) -> tuple:
    return shape[1:-1] if layer.data_format == "channels_last" else shape[2:]
