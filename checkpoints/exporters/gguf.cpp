// One GGUF file for llama.cpp and what is built on it, with a Modelfile for Ollama.
#include <filesystem>

#include "checkpoints/bundle/gguf_bundle.h"
#include "checkpoints/bundle/stop_tokens.h"
#include "checkpoints/exporters/export_folder.h"
#include "checkpoints/exporters/exporter.h"
#include "checkpoints/exporters/gguf_model.h"
#include "checkpoints/exporters/gguf_tokenizer.h"

namespace lathe {

namespace {

// A string in a Modelfile.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out + "\"";
}

// https://github.com/ollama/ollama/blob/main/docs/modelfile.md. Ollama finds known chat templates in the file
// itself; a model without one continues the prompt as it is.
std::string modelfile(const Bundle& bundle, const std::string& file, const GgufMetadata& metadata,
                      const std::string& around) {
  std::string text = cat("# ollama create NAME -f Modelfile && ollama run NAME\nFROM ./", file, "\n");
  const GgufValue* context = find_gguf(metadata, bundle.family->gguf.architecture + ".context_length");
  text += cat("PARAMETER num_ctx ", std::min<std::int64_t>(context->value.get<std::int64_t>(), 8192), "\n");
  for (const TokenId stop : stop_ids_of(bundle))
    if (const std::string name = bundle.tokenizer->token_text(stop); !name.empty())
      text += cat("PARAMETER stop ", quoted(name), "\n");
  if (chat_template_of(*bundle.tokenizer).empty()) text += cat("TEMPLATE \"\"\"", around, "\"\"\"\n");
  return text;
}

// The whole file through the reader that other people's files go through.
void read_back(const std::string& path, const std::vector<GgufTensor>& tensors) {
  const Bundle bundle = read_gguf_bundle(path);
  require(bundle.tokenizer != nullptr, path, ": its tokenizer was not read back");
  const GgufFile file = read_gguf(path);
  require(file.tensors.size() == tensors.size(), path, ": ", file.tensors.size(), " of ", tensors.size(),
          " tensors were read back");
}

}  // namespace

void export_gguf(const Bundle& bundle, const ExportOptions& options) {
  const GgufMix mix = gguf_mix(options.quantize);
  check_gguf_model(bundle);
  FileSystem& fs = options.file_system ? *options.file_system : real_file_system();
  GgufMetadata metadata = gguf_model_metadata(bundle, mix);
  add_gguf_tokenizer(bundle, metadata);
  const std::vector<GgufTensor> tensors = gguf_tensors(bundle, mix);
  ExportFolder folder(options.directory, options.overwrite, fs);
  const std::string name = cat("model-", gguf_mix_name(mix), ".gguf");
  write_gguf(folder.path() + "/" + name, metadata, tensors, fs);
  folder.add_written(name);
  folder.add_text("Modelfile", modelfile(bundle, name, metadata, options.ollama_template));
  folder.add_card(options);
  if (!options.reference.is_null()) folder.add_text("reference.json", options.reference.dump(1) + "\n");
  read_back(folder.path() + "/" + name, tensors);
  folder.publish();
}

}  // namespace lathe
