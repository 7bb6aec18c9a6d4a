from .exemplar import exemplar_losses as exemplar_losses
from .exemplar import hardest_triplet_loss as hardest_triplet_loss
from .mixing import draw_permutation as draw_permutation
from .mixing import draw_weight as draw_weight
from .mixing import manifold_mixup as manifold_mixup
from .mixing import mix as mix
from .mixing import mixed_cross_entropy as mixed_cross_entropy
from .rotation import N_ROTATIONS as N_ROTATIONS
from .rotation import all_rotations as all_rotations
from .rotation import halved_rotation_losses as halved_rotation_losses
from .rotation import random_rotation_losses as random_rotation_losses
from .rotation import rotated as rotated
from .rotation import rotation_losses as rotation_losses
from .terms import halved as halved

__all__ = [
    "N_ROTATIONS",
    "all_rotations",
    "draw_permutation",
    "draw_weight",
    "exemplar_losses",
    "halved",
    "halved_rotation_losses",
    "hardest_triplet_loss",
    "manifold_mixup",
    "mix",
    "mixed_cross_entropy",
    "random_rotation_losses",
    "rotated",
    "rotation_losses",
]
