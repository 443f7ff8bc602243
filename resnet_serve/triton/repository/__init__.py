"""The model repository: versions are added whole, listed, and never half there.

| file | role |
|---|---|
| `repository` | `Repository`: deploy a version of several models, or rewrite one |
| `staging` | one change: built beside the repository, committed by a journal |
| `places` | names that Triton accepts, directories that can be swapped |
| `versions` | which versions there are, with their passports |
"""

from resnet_serve.triton.repository.places import LONGEST_NAME, check_name
from resnet_serve.triton.repository.repository import CONFIG_FILE, ModelFiles, Repository

__all__ = ["CONFIG_FILE", "LONGEST_NAME", "ModelFiles", "Repository", "check_name"]
