"""Class labels: the names of the classes in files, and the folders named after them.

| module | role |
|---|---|
| `files` | a file of names, in any of its forms, to names in the order of the logits |
| `lines` | text: one name per line, or numbered lines |
| `tables` | CSV: a column of numbers and one of names; calls `lines` for a single one |
| `yaml_names` | the part of YAML in which names are written |
| `numbers` | numbered names, put into order |
| `wordnet` | the three forms of ImageNet's class names |
| `matching` | which label a name stands for |
| `folders` | which class a folder stands for |

`files` calls the readers, which call `numbers`. Nothing is guessed: a file that could be read in
two ways is refused.
"""
