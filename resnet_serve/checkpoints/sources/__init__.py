"""Where checkpoints come from, and what is mistaken for one.

| module | role |
|---|---|
| `hub` | files of the Hugging Face Hub, by commit |
| `other_formats` | files of other formats that are given as weights, by name and with a remedy |
"""
