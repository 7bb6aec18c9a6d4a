from .pinned import TaskList as TaskList
from .pinned import pin as pin
from .pinned import read_task_list as read_task_list
from .pinned import task_list_names as task_list_names
from .pinned import write_task_list as write_task_list
from .sampler import SAMPLER as SAMPLER
from .sampler import Tasks as Tasks
from .sampler import blocks as blocks
from .sampler import count as count
from .sampler import digest as digest
from .sampler import rows_of as rows_of
from .sampler import sample as sample
from .spec import TaskSpec as TaskSpec

__all__ = [
    "SAMPLER",
    "TaskList",
    "TaskSpec",
    "Tasks",
    "blocks",
    "count",
    "digest",
    "pin",
    "read_task_list",
    "rows_of",
    "sample",
    "task_list_names",
    "write_task_list",
]
