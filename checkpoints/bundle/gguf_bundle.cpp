#include "checkpoints/bundle/gguf_bundle.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>

#include "checkpoints/bundle/gguf_config.h"
#include "checkpoints/formats/block_rows.h"

namespace lathe {

namespace {

// Which tensor of the file holds a parameter.
std::string stored_name(const std::string& parameter, const DecoderSpec& spec) {
  static const std::map<std::string, std::string> kWhole = {
      {"model.embed_tokens.weight", "token_embd.weight"},
      {"model.position_embeddings.weight", "position_embd.weight"},
      {"model.norm.weight", "output_norm.weight"},
      {"model.norm.bias", "output_norm.bias"},
      {"lm_head.weight", "output.weight"}};
  if (const auto found = kWhole.find(parameter); found != kWhole.end()) return found->second;
  std::string rest = parameter.substr(std::strlen("model.layers."));
  const std::size_t dot = rest.find('.');
  const std::string layer = rest.substr(0, dot);
  rest = rest.substr(dot + 1);
  const std::string kind = rest.substr(rest.rfind('.'));
  const std::string module = rest.substr(0, rest.rfind('.'));
  const auto block = [&](const char* name) { return "blk." + layer + "." + name + kind; };
  if (module == "input_layernorm") return block("attn_norm");
  if (module == "post_attention_layernorm")
    return block(spec.sandwich_norms ? "post_attention_norm" : "ffn_norm");
  if (module == "pre_feedforward_layernorm") return block("ffn_norm");
  if (module == "post_feedforward_layernorm") return block("post_ffw_norm");
  if (module == "self_attn.o_proj") return block("attn_output");
  if (module.starts_with("self_attn.") && module.ends_with("_norm"))
    return block(module[10] == 'q' ? "attn_q_norm" : "attn_k_norm");
  if (module.starts_with("self_attn."))
    return block(module[10] == 'q' ? "attn_q" : module[10] == 'k' ? "attn_k" : "attn_v");
  return block(module == "mlp.gate_proj" ? "ffn_gate" : module == "mlp.up_proj" ? "ffn_up" : "ffn_down");
}

using Rows = std::function<std::int64_t(std::int64_t)>;

// The rows `from(0), from(1) ...` of a tensor as a tensor of that many rows, under another name.
BundleTensor pick_rows(const BundleTensor& source, const ParameterInfo& wanted, const Rows& from) {
  BundleTensor picked{wanted.name, source.dtype, wanted.shape, nullptr};
  if (const BlockRows* kept = block_rows(source)) {
    picked.bytes = BlockRows{kept->type, wanted.shape[0], kept->columns, kept->blocks, from};
    return picked;
  }
  const std::size_t row = picked.byte_size() / static_cast<std::size_t>(wanted.shape[0]);
  picked.bytes = [bytes = source.bytes, rows = wanted.shape[0], row, from] {
    const ByteBlock block = bytes();
    const auto size = row * static_cast<std::size_t>(rows);
    const std::shared_ptr<std::byte[]> out = std::make_shared_for_overwrite<std::byte[]>(size);
    for (std::int64_t i = 0; i < rows; ++i)
      std::memcpy(out.get() + static_cast<std::size_t>(i) * row,
                  block.bytes.data() + static_cast<std::size_t>(from(i)) * row, row);
    return ByteBlock{{out.get(), size}, out};
  };
  return picked;
}

// llama.cpp stores Gemma's norms with their 1 in them.
BundleTensor without_offset(BundleTensor tensor, double offset) {
  tensor = convert_tensor(std::move(tensor), DType::F32);
  tensor.bytes = [bytes = tensor.bytes, offset] {
    const ByteBlock block = bytes();
    const auto values = std::make_shared<std::vector<float>>(block.bytes.size() / sizeof(float));
    std::memcpy(values->data(), block.bytes.data(), block.bytes.size());
    for (float& value : *values) value -= static_cast<float>(offset);
    return ByteBlock{std::as_bytes(std::span(*values)), values};
  };
  return tensor;
}

class TensorReader {
 public:
  TensorReader(const GgufFile& file, const DecoderSpec& spec, std::string architecture, std::string where)
      : spec_(spec), architecture_(std::move(architecture)), where_(std::move(where)) {
    for (const GgufTensor& tensor : file.tensors) tensors_.emplace(tensor.name, tensor);
    tensors_.erase("rope_freqs.weight");
  }

  BundleTensor read(const ParameterInfo& wanted) {
    const std::string name = stored_name(wanted.name, spec_);
    if (architecture_ == "gpt2")
      for (const char* part : {"attn_q", "attn_k", "attn_v"})
        if (name.find(cat(".", part, ".")) != std::string::npos) return from_fused(wanted, name, part);
    BundleTensor tensor = take(name, wanted.shape, true);
    tensor.name = wanted.name;
    const bool query = name.find(".attn_q.") != std::string::npos,
               key = name.find(".attn_k.") != std::string::npos;
    if (architecture_ == "llama" && (query || key)) {
      const std::int64_t head = spec_.head_size;
      return pick_rows(
          tensor, wanted, [head](std::int64_t i) {  // row (half, j) of a head is stored as (j, half)
            const std::int64_t inside = i % head, half = inside / (head / 2), j = inside % (head / 2);
            return i - inside + 2 * j + half;
          });
    }
    const bool norm = name.ends_with("norm.weight") && spec_.norm_offset != 0;
    return norm ? without_offset(std::move(tensor), spec_.norm_offset) : tensor;
  }
  void check_all_used() const {
    for (const auto& [name, tensor] : tensors_)
      require(used_.contains(name), where_, ": tensor '", name, "' is no part of this model");
  }

 private:
  BundleTensor take(const std::string& name, const std::vector<std::int64_t>& shape, bool whole) {
    const auto found = tensors_.find(name);
    require(found != tensors_.end(), where_, ": tensor '", name, "' is missing");
    require(!whole || found->second.shape == shape, where_, ": tensor '", name, "' has shape ",
            shape_text(found->second.shape), ", the metadata wants ", shape_text(shape));
    used_.emplace(name, true);
    return widen_gguf(found->second);
  }
  BundleTensor from_fused(const ParameterInfo& wanted, const std::string& name, const std::string& part) {
    std::vector<std::int64_t> whole = wanted.shape;
    whole[0] *= 3;  // GPT-2 shares no keys
    std::string fused = name;
    fused.replace(fused.find(part), part.size(), "attn_qkv");
    const BundleTensor tensor = take(fused, whole, true);
    const std::int64_t begin = wanted.shape[0] * (part == "attn_q" ? 0 : part == "attn_k" ? 1 : 2);
    return pick_rows(tensor, wanted, [begin](std::int64_t i) { return begin + i; });
  }

  const DecoderSpec& spec_;
  std::string architecture_, where_;
  std::map<std::string, GgufTensor> tensors_;
  std::map<std::string, bool> used_;
};

void read_frequency_factors(const GgufFile& file, DecoderSpec& spec, const std::string& where) {
  const GgufTensor* tensor = find_gguf_tensor(file, "rope_freqs.weight");
  if (!tensor) return;
  require(tensor->shape == std::vector<std::int64_t>{spec.head_size / 2}, where,
          ": tensor 'rope_freqs.weight' has shape ", shape_text(tensor->shape), ", half a head is ",
          spec.head_size / 2);
  const BundleTensor wide = convert_tensor(widen_gguf(*tensor), DType::F32);
  const ByteBlock block = wide.bytes();
  std::vector<float> values(wide.element_count());
  std::memcpy(values.data(), block.bytes.data(), block.bytes.size());
  for (const float value : values)
    require(std::isfinite(value) && value > 0, where, ": rope_freqs.weight holds ", value);
  spec.rotary.frequency_factors.assign(values.begin(), values.end());
}

}  // namespace

Bundle read_gguf_bundle(const std::string& path) {
  const GgufFile file = read_gguf(path);
  const GgufKeys keys(file, path);
  const std::int64_t layers = keys.number("block_count");
  require(layers <= static_cast<std::int64_t>(file.tensors.size()), path, ": ", layers,
          " layers in a file of ", file.tensors.size(), " tensors");
  Bundle bundle;
  bundle.origin = path;
  bundle.config = gguf_config(keys, file);
  bundle.family = &family_of_config(bundle.config, path);
  bundle.config["architectures"] = bundle.family->architectures;
  bundle.spec = bundle.family->describe(bundle.config, path);
  read_frequency_factors(file, bundle.spec, path);
  TensorReader reader(file, bundle.spec, keys.architecture(), path);
  for (const ParameterInfo& info : decoder_parameters(bundle.spec))
    bundle.tensors.push_back(reader.read(info));
  reader.check_all_used();
  bundle.tokenizer = gguf_tokenizer(file, path);
  const SpecialTokens special = bundle.tokenizer->special();
  if (special.eos) bundle.config["eos_token_id"] = *special.eos;
  if (special.bos) bundle.config["bos_token_id"] = *special.bos;
  if (const GgufValue* eot = find_gguf(file.metadata, "tokenizer.ggml.eot_token_id"); eot && special.eos)
    bundle.generation_config = {{"eos_token_id", {*special.eos, eot->value}}};
  return bundle;
}

std::string gguf_in_folder(const std::string& folder) {
  std::string found;
  if (!std::filesystem::is_directory(folder)) return found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".gguf") continue;
    require(found.empty(), folder, ": holds several GGUF files; name one of them");
    found = entry.path().string();
  }
  return found;
}

}  // namespace lathe
