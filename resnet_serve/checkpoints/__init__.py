"""From a checkpoint as people have it to the tensors of one network.

    file ─ files ─► what was saved ─ parts ─► one state dict ─ keys ─► clean names
           (pickled)                                          (metadata)

`files` reads without running code, `parts` finds the network among what a training saved beside
it, `keys` takes wrappers' prefixes off. The digits checkpoint that is shipped lies here too.
"""
