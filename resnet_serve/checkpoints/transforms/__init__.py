"""Transforms: how other libraries record the preprocessing of weights, read as `Preprocessing`.

    transformers   preprocessor_config.json ─ image_processors
    torchvision    a preset (`Weights.transforms()`), a pickled Compose ─ torchvision_steps
    albumentations a pickled Compose ─ albumentations_steps

    OpenMMLab      the configuration in a checkpoint, as text ─ openmmlab
    plain values   a transform as text ─ written, mean and std in the settings ─ stated

A pickled transform is never run: `recorded` finds its placeholder in a checkpoint, `steps` are the
names and attributes in it. Every step and field has an effect or is refused.
"""
