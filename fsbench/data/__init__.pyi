from .augment import Augment as Augment
from .augment import eval_transform as eval_transform
from .augment import train_augment as train_augment
from .class_lists import class_list as class_list
from .identity import Identity as Identity
from .image_split import ImageSplit as ImageSplit
from .image_split import few_images as few_images
from .label_noise import add_label_noise as add_label_noise
from .listing import SPLITS as SPLITS
from .loading import find_store as find_store
from .loading import load as load
from .loading import splits_of as splits_of
from .preparation import prepare as prepare
from .registry import SOURCES as SOURCES
from .registry import Source as Source
from .summary import Contents as Contents
from .summary import DataSet as DataSet
from .summary import SplitContents as SplitContents
from .summary import contents as contents
from .summary import list_datasets as list_datasets

__all__ = [
    "SOURCES",
    "SPLITS",
    "Augment",
    "Contents",
    "DataSet",
    "Identity",
    "ImageSplit",
    "Source",
    "SplitContents",
    "add_label_noise",
    "class_list",
    "contents",
    "eval_transform",
    "few_images",
    "find_store",
    "list_datasets",
    "load",
    "prepare",
    "splits_of",
    "train_augment",
]
