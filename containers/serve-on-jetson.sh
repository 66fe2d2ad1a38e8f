#!/bin/sh
# Builds the engine of $MODEL for this board, or takes it from /engines, and serves it. Arguments go to the server.
set -eu
name=$(basename "$MODEL" .onnx)
engine="/engines/$name.trt"
# The cache knows the model, TensorRT, the GPU and the release: after an update of any of them it builds anew.
edgewright build "$MODEL" --precision "$PRECISION" --cache /engines/cache --out "$engine" --overwrite &
trap "kill $!" TERM INT # the first process of a container hears no signal that it does not ask for
wait $!
trap - TERM INT
exec edgewright serve "$name=$engine" "$@"
