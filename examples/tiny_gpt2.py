"""A tiny GPT-2 with random weights, and a tokeniser of its own for some texts, as a folder.

python examples/tiny_gpt2.py TEXTS FOLDER

TEXTS: a folder of parquet files with a text and a class in each row, or hf:NAME of the hub.
"""

import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast, logging

import rootbound as rb

VOCABULARY, CONTEXT, END = 512, 16, "<|endoftext|>"


def main(name: str, folder: str) -> None:
    logging.disable_progress_bar()
    texts = rb.datasets.hugging_face(name.removeprefix("hf:"))
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
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=32, n_layer=2, n_head=2,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    GPT2LMHeadModel(config).save_pretrained(folder)


if __name__ == "__main__":
    main(*sys.argv[1:3])
