"""`resnet-serve doctor`.

`examination` checks this host, `onnxruntime_builds` the builds of ONNX Runtime on it; `diagnosis`
holds the findings and prints them.
"""
