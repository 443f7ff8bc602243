"""What other libraries write beside their weights, in little."""

from __future__ import annotations

import json
from pathlib import Path

# What matters of the config.json of timm/resnet18.a1_in1k on the hub.
A1 = {
    "architecture": "resnet18",
    "num_classes": 1000,
    "pretrained_cfg": {
        "input_size": [3, 224, 224],
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "crop_mode": "center",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    },
}
# What matters of the files of microsoft/resnet-50 on the hub.
RESNET_50 = {
    "architectures": ["ResNetForImageClassification"],
    "model_type": "resnet",
    "layer_type": "bottleneck",
    "id2label": {"0": "tench", "1": "gold  fish"},
}
CONVNEXT = {
    "feature_extractor_type": "ConvNextFeatureExtractor",
    "do_resize": True,
    "do_normalize": True,
    "crop_pct": 0.875,
    "size": 224,
    "resample": 3,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
VIT = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 96, "width": 128},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
}


def written(folder: Path, data: object, name: str = "config.json") -> Path:
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path
