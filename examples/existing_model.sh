#!/bin/sh
# A model that exists already is made resistant: it tells photographs of animals apart, and is to be
# no help in telling clothes apart.
#
#   sh examples/existing_model.sh CIFAR10 FASHION [OUT]
#
# CIFAR10: a folder of parquet files, or hf:uoft-cs/cifar10. FASHION: a folder of IDX files, such as
# Debian's /usr/share/datasets/fashion-mnist; its images are made to fit. MODEL, EPOCHS and ATTACK
# change how long it takes.
set -eu
data=$1 other=$2 out=${3:-existing-model} epochs=${EPOCHS:-3}

# This stands for the model that you have.
rootbound train --data "$data" --desirable bird,cat,deer,dog,frog,horse \
    --undesirable-data "$other" --model "${MODEL:-resnet_20}" \
    --method Plain --epochs "$epochs" --out "$out/plain.safetensors"

# Its architecture, data and classes are in its file.
# A third of the epochs, at a lower rate than from random weights, keeps what was learned.
rootbound train --from "$out/plain.safetensors" --undesirable-data "$other" \
    --method BestResponse --method.recipe.learning_rate 3e-3 \
    --epochs "$(((epochs + 2) / 3))" --out "$out/defended.safetensors"
rootbound audit "$out/defended.safetensors" --undefended "$out/plain.safetensors" \
    ${ATTACK:---suite quick-1 --seeds 1 --minutes 10} --out "$out"
