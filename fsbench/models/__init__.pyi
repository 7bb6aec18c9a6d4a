from .backbones import BACKBONES as BACKBONES
from .backbones import Architecture as Architecture
from .backbones import Backbone as Backbone
from .backbones import build as build
from .checkpoint import Provenance as Provenance
from .checkpoint import load_network as load_network
from .checkpoint import load_provenance as load_provenance
from .classifiers import CLASSIFIERS as CLASSIFIERS
from .classifiers import CosineClassifier as CosineClassifier
from .classifiers import Network as Network
from .classifiers import assemble as assemble
from .identity import Model as Model
from .pretrained import find as find
from .pretrained.extractor import FeatureExtractor as FeatureExtractor
from .pretrained.transform import Transform as Transform

__all__ = [
    "BACKBONES",
    "CLASSIFIERS",
    "Architecture",
    "Backbone",
    "CosineClassifier",
    "FeatureExtractor",
    "Model",
    "Network",
    "Provenance",
    "Transform",
    "assemble",
    "build",
    "find",
    "load_network",
    "load_provenance",
]
