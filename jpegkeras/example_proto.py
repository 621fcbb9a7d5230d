"""The protocol buffer messages of tf.train.Example, without TensorFlow.

Loading TensorFlow takes seconds and hundreds of megabytes, which a process that only writes records
can do without. The messages are declared here as tensorflow/core/example/{example,feature}.proto
declare them, in a pool of their own, so that they do not clash with TensorFlow's where both are
loaded.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "jpegkeras"


def _declare() -> type:
    file = descriptor_pb2.FileDescriptorProto(
        name="jpegkeras/example.proto", package=_PACKAGE, syntax="proto3"
    )
    _add(file.message_type, "BytesList", value=(1, _FIELD.TYPE_BYTES, True))
    _add(file.message_type, "FloatList", value=(1, _FIELD.TYPE_FLOAT, True))
    _add(file.message_type, "Int64List", value=(1, _FIELD.TYPE_INT64, True))
    feature = _add(
        file.message_type,
        "Feature",
        bytes_list=(1, "BytesList", False),
        float_list=(2, "FloatList", False),
        int64_list=(3, "Int64List", False),
    )
    feature.oneof_decl.add(name="kind")
    for field in feature.field:
        field.oneof_index = 0
    features = _add(file.message_type, "Features", feature=(1, "Features.FeatureEntry", True))
    entry = _add(
        features.nested_type,
        "FeatureEntry",
        key=(1, _FIELD.TYPE_STRING, False),
        value=(2, "Feature", False),
    )
    entry.options.map_entry = True
    _add(file.message_type, "Example", features=(1, "Features", False))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Example"))


def _add(
    messages: object, name: str, **fields: tuple[int, object, bool]
) -> descriptor_pb2.DescriptorProto:
    """Adds a message with fields of (number, type or the message's name, repeated)."""
    message = messages.add(name=name)
    for field_name, (number, kind, repeated) in fields.items():
        label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
        field = message.field.add(name=field_name, number=number, label=label)
        if isinstance(kind, str):
            field.type = _FIELD.TYPE_MESSAGE
            field.type_name = f".{_PACKAGE}.{kind}"
        else:
            field.type = kind
    return message


#: The message class, with the interface of tf.train.Example.
Example = _declare()
