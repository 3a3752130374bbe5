"""Networks for point cloud completion, and `BACKBONES`, the table of them."""

from keras_wcd.models.atlasnet import AtlasNet as AtlasNet
from keras_wcd.models.base import CompletionModel as CompletionModel
from keras_wcd.models.crn import CRN as CRN
from keras_wcd.models.crn_discriminator import PatchDiscriminator as PatchDiscriminator
from keras_wcd.models.fbnet import FBNet as FBNet
from keras_wcd.models.foldingnet import FoldingNet as FoldingNet
from keras_wcd.models.grnet import GRNet as GRNet
from keras_wcd.models.mirrornet import MirrorNet as MirrorNet
from keras_wcd.models.nsfa import NSFA as NSFA
from keras_wcd.models.pcn import PCN as PCN
from keras_wcd.models.pmpnet import PMPNet as PMPNet
from keras_wcd.models.pointattn import PointAttN as PointAttN
from keras_wcd.models.pointr import PoinTr as PoinTr
from keras_wcd.models.presets import PRESETS as PRESETS
from keras_wcd.models.seedformer import SeedFormer as SeedFormer
from keras_wcd.models.snowflakenet import SnowflakeNet as SnowflakeNet
from keras_wcd.models.topnet import TopNet as TopNet
from keras_wcd.models.weights.convert import load_official_weights as load_official_weights

BACKBONES: dict[str, type[CompletionModel]] = {
    "atlasnet": AtlasNet,
    "crn": CRN,
    "fbnet": FBNet,
    "foldingnet": FoldingNet,
    "grnet": GRNet,
    "nsfa": NSFA,
    "pcn": PCN,
    "pmpnet": PMPNet,
    "pointattn": PointAttN,
    "pointr": PoinTr,
    "seedformer": SeedFormer,
    "snowflakenet": SnowflakeNet,
    "topnet": TopNet,
}
"""Every network by its key; `BACKBONES[key]()` is its configuration for PCN's data (16384 points)."""
NETWORKS = {**BACKBONES, "mirrornet": MirrorNet}
"""The published networks and our own."""
