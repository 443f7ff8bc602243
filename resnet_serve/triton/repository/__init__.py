"""The model repository: versions are added whole, listed, and never half there.

| file | role |
|---|---|
| `repository` | `Repository`: deploy, serve, remove and rewrite versions of several models |
| `whole` | what a version keeps, and the configuration it is served with |
| `canaries` | a new version with a share of the requests: the files of the split |
| `staging` | one change: built beside the repository, committed by a journal |
| `places` | names that Triton accepts, directories that can be swapped |
| `versions` | which versions there are, with their passports |
"""

from resnet_serve.triton.layout import CONFIG_FILE
from resnet_serve.triton.repository.places import LONGEST_NAME, check_name
from resnet_serve.triton.repository.repository import Repository
from resnet_serve.triton.repository.whole import ModelFiles

__all__ = ["CONFIG_FILE", "LONGEST_NAME", "ModelFiles", "Repository", "check_name"]
