#!/usr/bin/env bash
# Installs everything that Sextant is compared with in one folder (default: ~/.cache/sextant-peers):
# a virtual environment with torch for the CPU, transformers and rwkv, and llama.cpp built for this
# processor from the sources in the package llama-cpp-python. Existing parts are kept.
#
#     Benchmarks/peers/build.sh [FOLDER]
#
# `sextant-benchmarks` finds them in that folder: --peers-folder, or the environment variable SEXTANT_PEERS.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(realpath -m "${1:-$HOME/.cache/sextant-peers}")
version=0.3.36
mkdir -p "$folder"

python=$folder/venv/bin/python
if [ ! -x "$python" ]; then python3 -m venv "$folder/venv"; fi
if ! "$python" -c 'import torch, transformers, rwkv' 2>/dev/null; then
  # TORCH_INDEX: an index with builds for the CPU only; by default the package index is used.
  "$python" -m pip install --quiet ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
  "$python" -m pip install --quiet 'transformers>=5.23' rwkv==0.8.32 numpy tokenizers
fi

if [ ! -x "$folder/llama.cpp/build/bin/llama-tokens" ]; then
  "$python" -m pip install --quiet cmake ninja scikit-build-core
  if [ ! -f "$folder/llama.cpp/CMakeLists.txt" ]; then
    "$python" -m pip download --quiet --no-deps --no-build-isolation --no-binary llama-cpp-python \
      "llama-cpp-python==$version" -d "$folder/sdist"
    mkdir -p "$folder/unpacked"
    tar xzf "$folder/sdist/llama_cpp_python-$version.tar.gz" -C "$folder/unpacked" --strip-components=1
    mv "$folder/unpacked/vendor/llama.cpp" "$folder/llama.cpp"
    rm -r "$folder/unpacked"
  fi
  "$folder/venv/bin/cmake" -G Ninja -DCMAKE_MAKE_PROGRAM="$folder/venv/bin/ninja" \
    -S "$here/llama.cpp" -B "$folder/llama.cpp/build" -DLLAMA_SOURCE="$folder/llama.cpp"
  "$folder/venv/bin/ninja" -C "$folder/llama.cpp/build" \
    llama-peer llama-bench llama-logits llama-tokens llama-cvector-generator
fi
echo "ready in $folder"
