#!/bin/sh
# tests/gpu on a GPU host without a network, with the CUDA PyTorch that it has:
#   sh tests/gpu/bare_host.sh WHEELS RESULTS
# WHEELS holds what is missing there (pydantic, tritonclient, onnxruntime-gpu, …) as wheels, or as
# .tar.xz of installed packages; RESULTS gets the CSV, the JSON and the log. Run it in the checkout.
set -e
wheels=$1 results=$2
site=$(mktemp -d)
mkdir -p "$results"
for wheel in "$wheels"/*.whl; do
    [ -e "$wheel" ] && python3 -m pip install -q --no-index --no-deps --no-compile --target "$site" "$wheel"
done
for packed in "$wheels"/*.tar.xz; do
    [ -e "$packed" ] && python3 -c "import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter='data')" "$packed" "$site"
done
export PYTHONPATH="$site:$PWD:$PWD/convert:$PWD/clients/python" PYTHONUNBUFFERED=1
set +e
python3 -c "import sys, torch; print(sys.version, torch.__version__, torch.cuda.get_device_name(0))"
python3 -m pytest tests/gpu -p no:cacheprovider --gpu-results "$results" > "$results/log.txt" 2>&1
code=$?
tail -n 60 "$results/log.txt"
exit $code
