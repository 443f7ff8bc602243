"""The HTML report of a conversion.

| module | role |
|---|---|
| `report` | rows for the template `report.html.j2`, and the page |
| `compared` | the page of `resnet-convert compare` |
| `page` | a template filled in, and the formats of numbers |
| `decided` | the part of the page on images and classes |
| `pictures`, `classes` | worst and changed images, accuracy and confusion by class |
| `plots` | one function per figure |
| `svg` | a matplotlib figure as an element of the page |

Reads a finished conversion; nothing but `deployment` and the command lines imports it.
"""
