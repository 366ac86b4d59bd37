"""A tiny GPT-2 or Llama with random weights, and a tokeniser for some texts, as a folder.

python examples/tiny_language_model.py TEXTS FOLDER [gpt2|llama] [COLUMN]

TEXTS: a folder of parquet files with a text and a class in each row, or hf:NAME of the hub. COLUMN:
the column of the class, where that is text.
"""

import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    logging,
)

import rootbound as rb

VOCABULARY, CONTEXT, END = 512, 16, "<|endoftext|>"
CONFIGURATIONS = {
    "gpt2": GPT2Config(
        vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=32, n_layer=2, n_head=2,
        bos_token_id=0, eos_token_id=0,
    ),
    "llama": LlamaConfig(
        vocab_size=VOCABULARY, max_position_embeddings=CONTEXT, hidden_size=32,
        intermediate_size=64, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=1,
        bos_token_id=0, eos_token_id=0, pad_token_id=0,
    ),
}  # fmt: skip


def main(name: str, folder: str, kind: str = "gpt2", label: str | None = None) -> None:
    logging.disable_progress_bar()
    layout = rb.datasets.Layout(label=label)
    texts = rb.datasets.hugging_face(name.removeprefix("hf:"), layout)
    assert isinstance(texts, rb.datasets.Texts), "images have no next token"
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel()
    pieces.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[END], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    pieces.train_from_iterator(texts.train.texts, trainer)
    PreTrainedTokenizerFast(tokenizer_object=pieces, eos_token=END).save_pretrained(folder)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(CONFIGURATIONS[kind]).save_pretrained(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
