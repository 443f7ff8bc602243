"""Pickled checkpoints read without running them: tensors and containers, and placeholders.

    archive ─ machine ─► objects, placeholders ─ contents ─► mappings of tensors
    (storages)

| module | role |
|---|---|
| `archive` | the files that `torch.save` and `pickle` write, and the bytes of their storages |
| `machine` | interprets a pickle; imports and calls nothing |
| `rebuilt` | what replaces the functions that rebuild tensors |
| `contents` | placeholders of modules as state dicts |
"""
