from .evaluator import evaluate as evaluate
from .published import PAPER_ROWS as PAPER_ROWS
from .published import paper_rows as paper_rows
from .published import paper_table as paper_table
from .results import Evaluation as Evaluation
from .results import Measured as Measured
