// An adapter folder for peft, and for every engine that reads theirs.
#include <algorithm>

#include "checkpoints/exporters/export_folder.h"
#include "checkpoints/exporters/exporter.h"
#include "checkpoints/exporters/gguf_tokenizer.h"
#include "checkpoints/formats/safetensors.h"
#include "data/io/shell_word.h"

namespace lathe {

namespace {

// From the written files alone: the same settings, as many tensors, each with its dtype.
void read_back(const std::string& folder, const Bundle& base, const PeftAdapter& adapter, DType dtype) {
  const PeftAdapter found = read_peft(folder, *base.family, base.spec);
  require(found.tensors.size() == adapter.tensors.size() && peft_config(found) == peft_config(adapter),
          folder, ": the adapter was read back with other settings or tensors than were written");
  for (const BundleTensor& tensor : found.tensors)
    require(tensor.dtype == dtype, folder, ": tensor '", tensor.name, "' was read back as ",
            dtype_name(tensor.dtype));
}

// vLLM takes ranks of this list only; a larger one serves a smaller adapter.
std::int64_t served_rank(std::int64_t rank) {
  for (const std::int64_t size : {8, 16, 32, 64, 128, 256, 320, 512}) {
    if (rank <= size) return size;
  }
  return rank;
}

}  // namespace

void export_peft(const Bundle& base, const PeftAdapter& adapter, const ExportOptions& options) {
  require(base.family != nullptr, options.directory, ": the adapter's base has no family");
  require(!adapter.base.empty(), options.directory, ": the adapter names no base (base_model_name_or_path)");
  std::vector<BundleTensor> tensors = peft_tensors(adapter, *base.family, base.spec, /*exact=*/true);
  for (BundleTensor& tensor : tensors) tensor = convert_tensor(std::move(tensor), options.dtype);
  PeftAdapter written = adapter;
  written.targets = peft_targets(adapter, *base.family, base.spec);

  FileSystem& fs = options.file_system ? *options.file_system : real_file_system();
  ExportFolder folder(options.directory, options.overwrite, fs);
  folder.add_text(kPeftConfig, peft_config(written, *base.family, base.spec).dump(2) + "\n");
  write_safetensors(folder.path() + "/" + kPeftTensors, tensors, {{"format", "pt"}}, fs);
  folder.add_written(kPeftTensors);
  if (base.tokenizer)
    for (const TokenizerFile& file : tokenizer_files_of(*base.tokenizer))
      folder.add_text(file.name, file.content);
  folder.add_card(options);
  if (!options.reference.is_null()) folder.add_text("reference.json", options.reference.dump(1) + "\n");
  read_back(folder.path(), base, written, options.dtype);
  folder.publish();
}

namespace {

// Rows for tokens that the base does not have.
std::string resize_command(const PeftAdapter& adapter) {
  std::int64_t rows = 0;
  for (const auto& [table, ids] : adapter.token_rows)
    for (const std::int64_t id : ids) rows = std::max(rows, id + 1);
  if (rows == 0) return "";
  return cat("if base.get_input_embeddings().num_embeddings < ", rows, ":\n    base.resize_token_embeddings(",
             rows, ")\n");
}

}  // namespace

std::string llama_cli_prompt(const CardPrompt& prompt) {
  return prompt.chat ? " --jinja" : " -no-cnv -p " + shell_word(prompt.text);
}
std::string lathe_prompt(const CardPrompt& prompt) { return " --prompt " + shell_word(prompt.question); }

std::string generate_lines(const CardPrompt& prompt) {
  const std::string text = Json(prompt.text).dump();
  const std::string inputs =
      prompt.chat ? cat("inputs = tokenizer.apply_chat_template([{\"role\": \"user\", \"content\": ", text,
                        "}], add_generation_prompt=True,\n",
                        "                                       return_dict=True, return_tensors=\"pt\")\n")
                  : cat("inputs = tokenizer(", text, ", return_tensors=\"pt\")\n");
  return inputs +
         "made = model.generate(**inputs, max_new_tokens=40)\n"
         "print(tokenizer.decode(made[0][inputs[\"input_ids\"].shape[1]:], skip_special_tokens=True))\n";
}

std::string peft_commands(const PeftAdapter& adapter, const CardPrompt& prompt, bool fused) {
  const std::string& base = adapter.base;
  std::string text =
      cat("```python\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM, "
          "AutoTokenizer\n\n",
          "tokenizer = AutoTokenizer.from_pretrained(\".\")\n",
          "base = AutoModelForCausalLM.from_pretrained(\"", base, "\")\n", resize_command(adapter),
          "model = PeftModel.from_pretrained(base, \".\")\n", generate_lines(prompt), "```\n\n");
  if (fused) {
    text +=
        "vLLM and llama.cpp take no adapters of this family: export the merged model for them\n(`lathe "
        "export . --format "
        "huggingface --output merged`, or `--format gguf`, which Ollama runs too).\n\n```\n";
  } else if (adapter.kind == "dora" || !adapter.token_rows.empty()) {
    text += cat("vLLM and llama.cpp do not load ",
                adapter.kind == "dora" ? "DoRA adapters" : "adapters with rows for new tokens",
                ": export the merged model for them\n(`lathe export . --format huggingface --output merged`, "
                "or `--format gguf`, which Ollama "
                "runs too).\n\n```\n");
  } else {
    text += cat("```\nvllm serve ", base, " --enable-lora --max-lora-rank ", served_rank(adapter.rank),
                " --lora-modules tuned=.\n", "python convert_lora_to_gguf.py --base ", base,
                " --outfile adapter.gguf .    # of llama.cpp\n", "llama-cli -m base.gguf --lora adapter.gguf",
                prompt.chat ? "" : llama_cli_prompt(prompt), "\n",
                "lathe export . --format gguf --output gguf && cd gguf && ollama create NAME -f Modelfile && "
                "ollama run NAME\n");
  }
  return text + "lathe generate ." + lathe_prompt(prompt) + "\nlathe verify .\n```\n";
}

}  // namespace lathe
