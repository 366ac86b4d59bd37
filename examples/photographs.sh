#!/bin/sh
# Photographs: a model that tells animals apart, and is to be no help in telling vehicles apart.
#
#   sh examples/photographs.sh CIFAR10 [OUT]
#
# CIFAR10: a folder of parquet files, or hf:uoft-cs/cifar10. What is set below takes half an hour
# on two cores, MODEL=shallow_cnn minutes; EPOCHS=30 ATTACK='--suite standard-1' are for a claim.
set -eu
data=$1 out=${2:-photographs}
set -- --data "$data" --desirable bird,cat,deer,dog,frog,horse \
    --undesirable airplane,automobile,ship,truck --model "${MODEL:-resnet_20}" --epochs "${EPOCHS:-3}"

rootbound train "$@" --method Plain --out "$out/plain.safetensors"
rootbound train "$@" --method BestResponse --out "$out/defended.safetensors"
rootbound audit "$out/defended.safetensors" --undefended "$out/plain.safetensors" \
    ${ATTACK:---suite quick-1 --seeds 1 --minutes 10} --out "$out"
