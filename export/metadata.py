"""What a LiteRT file says about itself: written here, read by `keras_wcd.export.runtime` alone."""

import hashlib
import json

import flatbuffers
import keras
import numpy as np
from ai_edge_litert import schema_py_generated as schema

import keras_wcd
from keras_wcd.export.runtime import BLANK, METADATA, checksum_entry
from keras_wcd.frames import SEEN


def describe(model: keras.Model, points_in: int, points_out: int | None, quantization: str | None) -> dict:
    """The record of an export; the frame is the one that the networks are trained in."""
    return {
        "format": 2,
        "version": keras_wcd.__version__,
        "points_in": points_in,
        "points_out": points_out,
        "normalization": {"rule": "partial", "seen": SEEN},
        "frame": {"center": "bounding box", "diagonal": 1.0, "up": "+y", "front": "+x", **_trained_in(model)},
        "backbone": type(model).__name__,
        "name": model.name,
        "loss": _loss(getattr(model, "loss", None)),
        "quantization": quantization,
    }


def _trained_in(model: keras.Model) -> dict:
    """The frame that a network says it was trained in, which may be none."""
    frame = getattr(model, "frame", None)
    return {"trained_in": frame if isinstance(frame, str) else None}


def embed(content: bytes, record: dict) -> bytes:
    """The bytes of a LiteRT model with `record` and a checksum added to its metadata, under the library's name.

    The checksum, SHA-256, is that of all bytes of the file, with zeros in the place of the checksum itself.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    text = json.dumps({**record, "sha256": BLANK}, default=str).encode()
    model.buffers.append(schema.BufferT(data=np.frombuffer(text, np.uint8)))
    model.metadata = [*(model.metadata or []), schema.MetadataT(name=METADATA, buffer=len(model.buffers) - 1)]
    builder = flatbuffers.Builder(len(content) + len(text) + 4096)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    blank = bytes(builder.Output())
    return blank.replace(checksum_entry(BLANK), checksum_entry(hashlib.sha256(blank).hexdigest()), 1)


def _loss(loss) -> dict | str | list | None:
    """A compiled loss as JSON: its class and configuration, or its name."""
    if isinstance(loss, keras.losses.Loss):
        return {"class": type(loss).__name__, "config": keras.saving.serialize_keras_object(loss)["config"]}
    if isinstance(loss, dict):
        return {key: _loss(value) for key, value in loss.items()}
    if isinstance(loss, (list, tuple)):
        return [_loss(value) for value in loss]
    return getattr(loss, "__name__", loss)
