#!/bin/sh
# Triton on the mounted repository; arguments of `docker run` are further options of tritonserver.
# Its supervisor restarts it when it crashes or no longer answers, and ends it on SIGTERM.
set -eu

# All models are loaded when it starts, and later only what the holder of the key loads, as with
# `resnet-serve up`. The protocols that change the server or reveal its state need that key: the one
# in RESNET_SERVE_KEY, or a random one; it is not among these arguments, which the process list shows.

# 0.0.0.0: a container's loopback cannot be reached from outside. `--publish` and the network decide
# who reaches the container; there is neither TLS nor authentication here.
exec python3 -m resnet_serve.cli.servers.container tritonserver \
    --model-repository="${MODEL_REPOSITORY:-/models}" \
    --model-control-mode=explicit \
    --load-model='*' \
    --exit-on-error=true \
    --strict-readiness=true \
    --http-address=0.0.0.0 \
    --grpc-address=0.0.0.0 \
    --metrics-address=0.0.0.0 \
    "$@"
