"""Networks measured on data sets: figures of every sample, tables, pictures, and the published table beside them."""

from keras_wcd.evaluation.evaluator import evaluate as evaluate
from keras_wcd.evaluation.published import PAPER_ROWS as PAPER_ROWS
from keras_wcd.evaluation.published import paper_rows as paper_rows
from keras_wcd.evaluation.published import paper_table as paper_table
from keras_wcd.evaluation.results import Evaluation as Evaluation
from keras_wcd.evaluation.results import Measured as Measured
