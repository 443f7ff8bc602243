"""`resnet-serve doctor`.

`examination` checks this host, `onnxruntime_builds` the builds of ONNX Runtime on it, and
`rtx_library` the packages of TensorRT-RTX; `diagnosis` holds the findings and prints them.
"""
