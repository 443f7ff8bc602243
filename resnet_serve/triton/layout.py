"""The names in a model repository, for all who read one: some start without Triton's libraries.

net/  config.pbtxt  labels.txt  4/        net_preprocess/  net_image/  net_average/
"""

from __future__ import annotations

CONFIG_FILE = "config.pbtxt"
LABELS_FILE = "labels.txt"
# How the names of the models end that a deployment of `net` may have beside `net`.
COMPANIONS = ("_preprocess", "_image", "_average")


def of_the_system(name: str) -> bool:
    """Whether a directory belongs to the file system or is hidden: it may not be readable."""
    return name.startswith(".") or name == "lost+found"
