"""From a checkpoint file to the tensors of one network.

    file ─ files ─► saved object ─ state_dicts ─► one state dict ─ keys ─► clean names ─ naming ─►
           (pickled)                                              (metadata, sidecar_files)

`files` reads without running code, `state_dicts` finds the network in what a training saved,
`keys` removes wrappers' prefixes, and `naming` translates other libraries' names to torchvision's.
`reading` does all of this, but the last step, for one checkpoint. The checkpoints of
the package, `SHIPPED` there, are in this folder too.
"""
