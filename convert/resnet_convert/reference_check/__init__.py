"""Whether the PyTorch reference can be believed, on labelled images, before anything is converted.

A proof of parity says that the converted network equals the reference, not that the reference is
right: with a wrong preprocessing or label order both are wrong alike.

| module | role |
|---|---|
| `hypotheses` | other preprocessings that the weights may have been trained with |
| `label_orders` | other orders of the labels, and one read from the confusion matrix |
| `probe` | the reference's decisions under a preprocessing, computed as far as needed |
| `search` | the hypothesis that is clearly better than what was given |
| `findings` | accuracy against chance and expectation: the verdict, in words |
| `label_findings` | the same for labels that are decided one by one |
| `stage` | the stage of the pipeline |
"""
