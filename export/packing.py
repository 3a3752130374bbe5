"""A LiteRT file as objects that can be changed, and back as bytes."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema


def unpacked(content: bytes) -> schema.ModelT:
    """A model with its weights among its objects; the LiteRT quantizer appends them to the file, at offsets."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    for buffer in model.buffers:
        if buffer.offset > 1:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
        buffer.offset = buffer.size = 0
    return model


def packed(model: schema.ModelT) -> bytes:
    """The bytes of a model."""
    builder = flatbuffers.Builder(2**20)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def constant(model: schema.ModelT, tensor: schema.TensorT) -> np.ndarray | None:
    """The values of a constant of float32, in one row; None for any other tensor."""
    data = model.buffers[tensor.buffer].data
    if tensor.type != schema.TensorType.FLOAT32 or data is None or not len(data):
        return None
    return np.asarray(data, np.uint8).view(np.float32)
