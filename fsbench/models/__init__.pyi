from .backbones import BACKBONES as BACKBONES
from .backbones import Architecture as Architecture
from .backbones import Backbone as Backbone
from .backbones import build as build
from .checkpoint import Provenance as Provenance
from .checkpoint import load_backbone as load_backbone
from .checkpoint import load_network as load_network
from .checkpoint import load_provenance as load_provenance
from .classifiers import CLASSIFIERS as CLASSIFIERS
from .classifiers import CosineClassifier as CosineClassifier
from .classifiers import Network as Network
from .classifiers import assemble as assemble

__all__ = [
    "BACKBONES",
    "CLASSIFIERS",
    "Architecture",
    "Backbone",
    "CosineClassifier",
    "Network",
    "Provenance",
    "assemble",
    "build",
    "load_backbone",
    "load_network",
    "load_provenance",
]
