"""The table of losses: one becomes known to every part of the library, and to `keras_wcd` itself, by its rows here."""

from keras_wcd.losses.chamfer import CD as CD
from keras_wcd.losses.density import DCD as DCD
from keras_wcd.losses.hyper import HyperCD as HyperCD
from keras_wcd.losses.info import InfoCD as InfoCD
from keras_wcd.losses.weighted import ChiSquaredCD as ChiSquaredCD
from keras_wcd.losses.weighted import ExtremeValueCD as ExtremeValueCD
from keras_wcd.losses.weighted import GammaCD as GammaCD
from keras_wcd.losses.weighted import LandauCD as LandauCD
from keras_wcd.losses.weighted import LogisticCD as LogisticCD
from keras_wcd.losses.weighted import LogLogisticCD as LogLogisticCD
from keras_wcd.losses.weighted import NormalCD as NormalCD
from keras_wcd.losses.weighted import WeibullCD as WeibullCD
from keras_wcd.losses.weighted import WeightedCD as WeightedCD

LOSSES = {
    "cd": CD,
    "hyper_cd": HyperCD,
    "info_cd": InfoCD,
    "dcd": DCD,
    "weighted_cd": WeightedCD,
    "landau_cd": LandauCD,
    "extreme_value_cd": ExtremeValueCD,
    "chi_squared_cd": ChiSquaredCD,
    "log_logistic_cd": LogLogisticCD,
    "gamma_cd": GammaCD,
    "weibull_cd": WeibullCD,
    "logistic_cd": LogisticCD,
    "normal_cd": NormalCD,
}
"""Every loss by its name."""
