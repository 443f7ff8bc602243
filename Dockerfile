# `cpu` is built and run by `make image-test`, with buildah. The stages for GPUs were never built here: no
# machine of ours has a Docker engine. tests/test_dockerfile.py checks the text of all of them.
#
#   docker build --target cpu --tag resnet-serve-cpu .
#   docker run --rm --shm-size 256m --publish 127.0.0.1:8000-8002:8000-8002 \
#       --volume "$PWD/model_repository:/models:ro" \
#       --volume "$PWD/model_repository.images:/models.images:ro" resnet-serve-cpu
#
#   docker build --target convert --tag resnet-convert .
#   docker run --rm --gpus all --volume "$PWD:/workspace" resnet-convert --arch resnet50 --target tensorrt …
#   docker build --tag resnet-serve .
#   docker run --rm --gpus all --shm-size 256m --publish 8000-8002:8000-8002 \
#       --volume "$PWD/model_repository:/models:ro" \
#       --volume "$PWD/model_repository.images:/models.images:ro" resnet-serve
#
# Another Triton is two arguments, from one row of resnet_serve/triton/releases.py: a plan loads only in
# the TensorRT that built it.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG TRITON_TAG=26.09

# --- cpu-build: this project with the tritonserver of the nvidia-pytriton wheel and both CPU runtimes
FROM ${PYTHON_IMAGE} AS cpu-build
WORKDIR /source
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY resnet_serve ./resnet_serve
COPY convert ./convert
COPY clients/python ./clients/python
RUN python3 -m venv /opt/resnet-serve \
    && /opt/resnet-serve/bin/pip install --no-cache-dir --constraint constraints.txt \
        '.[server,openvino]'

# --- cpu: `resnet-serve up` without a GPU
FROM ${PYTHON_IMAGE} AS cpu
COPY --from=cpu-build /opt/resnet-serve /opt/resnet-serve
RUN install --directory --owner=1000 --group=1000 /var/cache/resnet-serve /var/lib/resnet-serve
# What is running here is noted under XDG_STATE_HOME: `resnet-serve health` and `list` read it.
ENV PATH=/opt/resnet-serve/bin:${PATH} \
    XDG_CACHE_HOME=/var/cache/resnet-serve \
    XDG_STATE_HOME=/var/lib/resnet-serve \
    MODEL_REPOSITORY=/models
LABEL org.opencontainers.image.title="resnet-serve-cpu" \
    org.opencontainers.image.description="Triton serving the classifiers of resnet-convert, without a GPU" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="Apache-2.0"
VOLUME /var/cache/resnet-serve
WORKDIR /tmp
USER 1000:1000
EXPOSE 8000 8001 8002
HEALTHCHECK --interval=10s --timeout=10s --start-period=2m --retries=3 \
    CMD ["resnet-serve", "health", "--timeout", "4"]
ENTRYPOINT ["resnet-serve", "up", "--repository", "/models"]
# A container's loopback cannot be reached from outside: `--publish` and the network decide who reaches
# it. There is neither TLS nor authentication; give --tls-cert and --tls-key in place of --insecure.
CMD ["--listen", "0.0.0.0", "--insecure"]

# --- build: this project as a wheel, and what the serving side needs for the image's own Python
FROM nvcr.io/nvidia/tritonserver:${TRITON_TAG}-py3 AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY resnet_serve ./resnet_serve
COPY convert ./convert
COPY clients/python ./clients/python
# --target: the distribution's Python is externally managed, and must stay as Triton knows it.
RUN python3 -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
    && python3 -m pip install --no-cache-dir --target /opt/resnet-serve \
        --constraint constraints.txt /wheels/*.whl

# --- convert: resnet-convert with the TensorRT that the serving image has
FROM nvcr.io/nvidia/tritonserver:${TRITON_TAG}-py3 AS convert
ARG TENSORRT_VERSION=11.3.0.99
ARG CUDA_BINDINGS_VERSION=13.4.4
# The reference runs on the CPU. With PyTorch's own CPU index here, the image is spared the several
# GB of CUDA that its default package brings.
ARG TORCH_INDEX_URL=
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN if [[ -n "${TRT_VERSION:-}" && "${TRT_VERSION%%+*}" != "${TENSORRT_VERSION}" ]]; then \
        echo "this image has TensorRT ${TRT_VERSION%%+*}:" \
            "pass --build-arg TENSORRT_VERSION=${TRT_VERSION%%+*}" >&2; \
        exit 1; \
    fi
COPY --from=build /source/constraints.txt /wheels/
COPY --from=build /wheels/*.whl /wheels/
# One call for everything: pip then knows that numpy and torch have to suit all of it.
RUN python3 -m pip install --no-cache-dir --target /opt/resnet-convert \
        --constraint /wheels/constraints.txt \
        ${TORCH_INDEX_URL:+--extra-index-url "${TORCH_INDEX_URL}"} \
        "$(echo /wheels/*.whl)[convert,digits,tensorrt]" \
        "tensorrt-cu13==${TENSORRT_VERSION}" "cuda-bindings==${CUDA_BINDINGS_VERSION}" \
    && install --directory --owner=1000 --group=1000 /workspace /var/cache/resnet-serve
ENV PATH=/opt/resnet-convert/bin:${PATH} \
    PYTHONPATH=/opt/resnet-convert \
    XDG_CACHE_HOME=/var/cache/resnet-serve
LABEL org.opencontainers.image.title="resnet-convert" \
    org.opencontainers.image.description="From a trained ResNet to a proved TensorRT plan" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /workspace
# triton-server, as a number: Kubernetes can only check a number for being non-root.
USER 1000:1000
ENTRYPOINT ["/opt/nvidia/nvidia_entrypoint.sh", "resnet-convert"]
CMD ["--help"]

# --- serve: Triton with our `image` and `canary` backends; neither PyTorch nor a compiler
FROM nvcr.io/nvidia/tritonserver:${TRITON_TAG}-py3 AS serve
COPY --from=build /opt/resnet-serve /opt/resnet-serve
COPY --chmod=755 deploy/serve.sh /opt/resnet-serve/serve.sh
# Triton's Python stub reads no PYTHONPATH: the backend has to say where its package is.
RUN for backend in image canary; do \
        install --directory "/opt/tritonserver/backends/${backend}" \
        && printf '%s\n' 'import sys' 'sys.path.insert(0, "/opt/resnet-serve")' \
            "from resnet_serve.triton.backends.${backend}.model import TritonPythonModel" \
            > "/opt/tritonserver/backends/${backend}/model.py" \
        && python3 "/opt/tritonserver/backends/${backend}/model.py" \
        || exit 1; \
    done \
    && install --directory --owner=1000 --group=1000 /var/cache/resnet-serve
# For `docker exec … python3 -m resnet_serve.cli verify --host --repository /models`.
ENV PYTHONPATH=/opt/resnet-serve \
    MODEL_REPOSITORY=/models
LABEL org.opencontainers.image.title="resnet-serve" \
    org.opencontainers.image.description="Triton serving the classifiers of resnet-convert" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="Apache-2.0"
# Engines that ONNX Runtime builds while a model loads; without a volume each start builds them.
VOLUME /var/cache/resnet-serve
WORKDIR /tmp
USER 1000:1000
EXPOSE 8000 8001 8002
# The long start: an engine may have to be built first.
HEALTHCHECK --interval=10s --timeout=10s --start-period=10m --retries=3 \
    CMD ["python3", "-m", "resnet_serve.cli", "health", "--timeout", "4"]
ENTRYPOINT ["/opt/nvidia/nvidia_entrypoint.sh", "/opt/resnet-serve/serve.sh"]
CMD []
