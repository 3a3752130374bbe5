from . import complete as complete
from . import completing as completing
from . import data as data
from . import distill as distill
from . import evaluation as evaluation
from . import export as export
from . import frames as frames
from . import losses as losses
from . import metrics as metrics
from . import models as models
from . import ops as ops
from . import parallel as parallel
from . import pictures as pictures
from . import plotting as plotting
from . import predictors as predictors
from . import training as training
from . import visual as visual
from . import weighting as weighting
from .losses.table import *  # noqa: F403

__version__: str
