#pragma once
// The recipe's sections on the model: base or architecture, tokenizer, adapter (recipes/schema/recipe.h).
#include <cstdint>
#include <string>
#include <vector>

#include "recipes/schema/constraints.h"
#include "recipes/schema/raw.h"

namespace lathe {

// How the frozen base of an adapter is kept in memory (QLoRA, arXiv 2305.14314); kind empty: in the run's
// precision.
struct QuantizationSection {
  std::string kind;     // nf4
  bool double_ = true;  // key `double`
  static void fields(auto& f, auto& c) {
    f("kind", c.kind, "nf4: the blocks' matrices in 4 bits, bitsandbytes' NF4; absent keeps them as they are",
      choice({"", "nf4"}));
    f("double", c.double_, "the scales of the 4 bits in 8 bits too: 4.13 bits a weight instead of 4.5");
  }
};

struct ModelSection {
  std::string path;                  // a run, a Hugging Face folder; empty: from scratch
  std::string family;                // llama, gpt2 ...; required when path is empty
  std::string size;                  // 1m 5m 15m 60m 125m 350m 1b; fills what is not set below
  std::vector<std::string> freeze;   // parts whose weights stay: embed_tokens, layers.0 ...
  QuantizationSection quantization;  // with an adapter: of its frozen base
  RawSection config;  // every other key of the section, unread: the family decodes it (trainer/checks)
  static void fields(auto& f, auto& c) {
    f("path", c.path, "a run or a Hugging Face folder to start from; empty trains from scratch");
    f("family", c.family,
      "model family when training from scratch: gpt2, llama; task diffusion: sd3 (by text), unet2d, dit (by "
      "class)");
    f("size", c.size, "a preset of widths and depths; keys of the family written here win",
      choice({"", "1m", "5m", "15m", "60m", "125m", "350m", "1b"}));
    f("freeze", c.freeze,
      "with path: parts of the model that are not trained, e.g. [embed_tokens, layers.0]");
    f("quantization", c.quantization, "with an adapter: the frozen base in fewer bits (QLoRA)");
    f.rest(c.config);  // remaining keys belong to the family
  }
};

struct TokenizerSection {
  std::string path;   // tokenizer.json, a folder that has one, or a SentencePiece .model
  std::string train;  // byte_bpe | bpe | unigram | clip_bpe
  std::int64_t vocab_size = 8192;
  std::string pattern = "gpt2";                             // byte_bpe: gpt2 | llama3
  std::vector<std::string> add_tokens, add_special_tokens;  // put behind the vocabulary
  static void fields(auto& f, auto& c) {
    f("path", c.path, "a tokenizer.json, a folder that holds one, or a SentencePiece .model");
    f("train", c.train,
      "train one on the training data: byte_bpe, SentencePiece bpe or unigram; clip_bpe on captions, lossy "
      "by design",
      choice({"", "byte_bpe", "bpe", "unigram", "clip_bpe"}));
    f("vocab_size", c.vocab_size, "size of a trained vocabulary, special tokens included",
      range(258, 1 << 20));
    f("pattern", c.pattern, "pre-tokenizer of byte_bpe", choice({"gpt2", "llama3"}));
    f("add_tokens", c.add_tokens,
      "tokens to add, found in any text; a base's tables grow, and under an adapter only the "
      "new rows of them are trained");
    f("add_special_tokens", c.add_special_tokens,
      "the same for control tokens: only templates and fill-in-the-middle "
      "write them, never a user's text");
  }
};

// Low-rank adapters on a frozen base; kind empty: all weights are trained.
struct AdapterSection {
  std::string kind;  // lora | rslora | dora
  std::int64_t rank = 16;
  double alpha = 32, dropout = 0;
  std::vector<std::string> targets = {"all-linear"};
  bool text_encoder = false;  // pictures: its layers too
  static void fields(auto& f, auto& c) {
    f("kind", c.kind, "lora, rslora (alpha / sqrt(rank)) or dora; absent trains all weights",
      choice({"", "lora", "rslora", "dora"}));
    f("rank", c.rank, "of the two factors", range(1, 4096));
    f("alpha", c.alpha, "the product of the factors counts alpha / rank times", range(0.0, 1e6));
    f("dropout", c.dropout, "on the adapters' input", range(0.0, 0.99));
    f("targets", c.targets,
      "names of linear layers (q_proj, v_proj, attn.to_out.0 ...), or all-linear: every one of the blocks");
    f("text_encoder", c.text_encoder, "pictures: adapters on the text encoder's layers too");
  }
};

}  // namespace lathe
