from . import runtime as runtime
from .opcodes import operators as operators
from .savedmodel import to_saved_model as to_saved_model
from .tflite import to_tflite as to_tflite
from .timing import Benchmark as Benchmark
from .timing import benchmark as benchmark
from .verification import Verification as Verification
from .verification import verify as verify
