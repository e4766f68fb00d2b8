#!/bin/bash
# Trains everything on one GPU: the autoencoders side by side, then text encoder and DiT, then packs and measures.
# usage: train_all.sh FOLDER TAE_SECONDS CODEC_SECONDS DIT_SECONDS
# TAE_ARGS, CODEC_ARGS, DIT_ARGS, EVALUATE_ARGS add options; logs and checkpoints are in FOLDER.
set -eu
out=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")"
export PYTHONUNBUFFERED=1
# shellcheck disable=SC2086
{
  python3 train_dit.py --out "$out" --warm-encoders >"$out/warm.log" 2>&1 &
  python3 train_dit.py --out "$out" --seconds "$4" ${DIT_ARGS:-} >"$out/dit.log" 2>&1 &
  dit=$!
  python3 train_codec.py --out "$out" --seconds "$3" ${CODEC_ARGS:-} >"$out/codec.log" 2>&1 &
  codec=$!
  python3 train_tae.py --out "$out" --seconds "$2" ${TAE_ARGS:-} >"$out/tae.log" 2>&1
  wait $codec
  wait $dit
  python3 checkpoint.py pack "$out" "$out/toybox.safetensors"
  python3 evaluate.py "$out/toybox.safetensors" --out "$out/evaluation" ${EVALUATE_ARGS:-} >"$out/evaluate.log" 2>&1
}
