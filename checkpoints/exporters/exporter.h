#pragma once
// Exporters write a Bundle for the engines that serve it: one file a format in this folder. The folder is
// published whole.
#include <string>
#include <vector>

#include "checkpoints/bundle/bundle.h"
#include "checkpoints/formats/peft.h"
#include "data/io/file_system.h"

namespace lathe {

struct ExportOptions {
  std::string directory;          // must not exist, or be an export of ours when overwrite is set
  DType dtype = DType::BF16;      // not of gguf
  std::string quantize = "bf16";  // gguf: f32, f16, bf16, q8_0, q4_k_m
  std::uint64_t max_shard_bytes = 5'000'000'000;
  std::string card;                         // README.md, the model card
  std::vector<TokenizerFile> notices = {};  // LICENSE ... of the base: they hold for what is made of it
  // gguf: what Ollama puts around a question to a model without a chat template, {{ .Prompt }} in its place.
  std::string ollama_template = "{{ .Prompt }}";
  // reference.json: prompts, ids, top logits, greedy tokens; of an adapter or a new word alone base_sha256,
  // its base's model_fingerprint; null: none yet
  Json reference;
  bool overwrite = false;
  FileSystem* file_system = nullptr;  // null: the real one
};

// config.json, generation_config.json, model*.safetensors, tokenizer.json + tokenizer_config.json (+
// tokenizer.model), README.md, reference.json, MANIFEST.json (size and SHA-256 of each). Loads in
// transformers 4 and 5. It is written beside the directory, read back and then renamed: after an error
// everything is as it was.
void export_huggingface(const Bundle& bundle, const ExportOptions& options);

// adapter_config.json, adapter_model.safetensors under PEFT's exact names, the base's tokenizer, README.md,
// reference.json, MANIFEST.json: loads in peft, vLLM and llama.cpp's converter on adapter.base. `base` gives
// family and tokenizer; its tensors are not read. Fused matrices (GPT-2's c_attn) get one adapter of several
// times the rank, the same product.
void export_peft(const Bundle& base, const PeftAdapter& adapter, const ExportOptions& options);
// What a card's commands ask: a chat of one turn, or a text to go on from. `question` is what lathe is asked,
// which writes it in the run's own form; `text` is that form, for engines that know nothing of it.
struct CardPrompt {
  bool chat = false;
  std::string question, text;
};
// The card's part on use: exact commands for peft, vLLM, llama.cpp and Ollama; fused: the family is one whose
// adapters only PEFT takes.
std::string peft_commands(const PeftAdapter& adapter, const CardPrompt& prompt, bool fused = false);
// Python lines that ask `model` by `tokenizer`, as cards have them.
std::string generate_lines(const CardPrompt& prompt);
// llama-cli's and lathe's arguments that ask it.
std::string llama_cli_prompt(const CardPrompt& prompt);
std::string lathe_prompt(const CardPrompt& prompt);

// model-<TYPE>.gguf, Modelfile (Ollama), README.md, reference.json, MANIFEST.json. Error for a model or
// tokenizer that llama.cpp would not run as it is meant.
void export_gguf(const Bundle& bundle, const ExportOptions& options);

}  // namespace lathe
