from .adversarial import AdversarialTraining as AdversarialTraining
from .loop import Fitted as Fitted
from .loop import fit as fit
from .recipes import RECIPES as RECIPES
from .recipes import Recipe as Recipe
