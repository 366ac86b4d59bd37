#!/bin/sh
# A causal language model of `transformers`: it continues descriptions of some packages, and is to be
# no help with others.
#
#   sh examples/language_model.sh SECTIONS [OUT]
#
# SECTIONS: a folder of parquet files, or hf:NAME of the hub, with a text and its section in each row.
# A tiny GPT-2 with random weights stands for the model that you have: MODEL=hf:NAME names that, and
# LENGTH how many tokens it looks back. EPOCHS and ATTACK change how long it takes.
set -eu
data=$1 out=${2:-language-model}
here=$(dirname "$0")
[ -n "${MODEL:-}" ] || python "$here/tiny_language_model.py" "$data" "$out/gpt2"
set -- --data "$data" --desirable games,science,sound,graphics,text \
    --undesirable net,admin,mail,web,database \
    --model "${MODEL:-hf:$out/gpt2}" --length "${LENGTH:-16}" --epochs "${EPOCHS:-1}"

# At 1e-2, the default of BestResponse, this network learns worse whatever the method.
rate="--method.recipe.learning_rate 3e-3"
rootbound train "$@" --method Plain $rate --out "$out/plain.safetensors"
rootbound train "$@" --method BestResponse $rate \
    --method.terms.first_weight 0.6 --method.terms.spared 0 \
    --method.schedule.first_block_until 1 --out "$out/defended.safetensors"
# The model's file says that the task is the next token, and how far back the model looks.
rootbound audit "$out/defended.safetensors" --undefended "$out/plain.safetensors" \
    ${ATTACK:---suite demo-2 --labels 10,all --steps 60,200 --seeds 1} --out "$out"
rootbound export "$out/defended.safetensors" "$out" --out "$out/published"
