// A GGUF file: what is accepted lies inside the file, every tensor widens to as many values as its shape
// says, and a whole model is read or refused.
#include <cmath>
#include <cstring>

#include "checkpoints/bundle/gguf_bundle.h"
#include "checkpoints/formats/gguf.h"
#include "data/io/file_system.h"
#include "data/tokenizers/byte_alphabet.h"
#include "recipes/schema/error.h"
#include "tests/fuzz/target.h"

namespace lathe::fuzz {
namespace {

void run(std::string_view bytes) {
  static const InputFolder folder;
  const std::string path = folder.put("x.gguf", bytes);
  for (const GgufTensor& tensor : read_gguf(path).tensors) {
    const ByteBlock block = tensor.bytes();
    promise(block.bytes.size() == tensor.byte_size() && block.bytes.size() <= bytes.size());
    if (tensor.element_count() > (1 << 16)) continue;
    const BundleTensor wide = widen_gguf(tensor);
    promise(wide.bytes().bytes.size() == wide.byte_size());
  }
  const Bundle bundle = read_gguf_bundle(path);
  for (const BundleTensor& tensor : bundle.tensors)
    promise(tensor.bytes().bytes.size() == tensor.byte_size());
  bundle.tokenizer->decode(bundle.tokenizer->ids("the cat"));
}

GgufTensor tensor_of(const std::string& name, GgmlType type, std::vector<std::int64_t> shape) {
  GgufTensor tensor{name, type, std::move(shape), nullptr};
  tensor.bytes = [size = tensor.byte_size()] {
    const auto bytes = std::make_shared<std::vector<std::byte>>(size, std::byte{0x11});
    return ByteBlock{*bytes, bytes};
  };
  return tensor;
}

// A whole model of one layer.
std::string tiny_model(GgmlType type) {
  constexpr std::int64_t kWidth = 32, kTokens = 259;
  Json tokens = Json::array({"<|end|>"}), types = Json::array({3});
  for (const std::string& character : byte_characters()) tokens.push_back(character), types.push_back(1);
  tokens.push_back("th"), types.push_back(1);
  tokens.push_back("<tool>"), types.push_back(4);
  GgufMetadata metadata = {{"general.architecture", GgufValue::string("llama")}};
  const auto number = [&](const char* key, std::uint64_t value) {
    metadata.emplace_back(std::string("llama.") + key, GgufValue::u32(value));
  };
  number("vocab_size", kTokens), number("context_length", 64), number("embedding_length", kWidth),
      number("block_count", 1);
  number("feed_forward_length", kWidth), number("attention.head_count", 2),
      number("attention.head_count_kv", 1);
  metadata.emplace_back("llama.attention.layer_norm_rms_epsilon", GgufValue::f32(1e-5));
  metadata.emplace_back("tokenizer.ggml.model", GgufValue::string("gpt2"));
  metadata.emplace_back("tokenizer.ggml.pre", GgufValue::string("gpt-2"));
  metadata.emplace_back("tokenizer.ggml.tokens", GgufValue::array(GgufKind::String, tokens));
  metadata.emplace_back("tokenizer.ggml.token_type", GgufValue::array(GgufKind::I32, types));
  metadata.emplace_back("tokenizer.ggml.merges", GgufValue::array(GgufKind::String, {"t h"}));
  metadata.emplace_back("tokenizer.ggml.eos_token_id", GgufValue::u32(0));
  std::vector<GgufTensor> tensors = {tensor_of("token_embd.weight", type, {kTokens, kWidth}),
                                     tensor_of("output_norm.weight", GgmlType::F32, {kWidth})};
  for (const char* name : {"attn_norm", "ffn_norm"})
    tensors.push_back(tensor_of(std::string("blk.0.") + name + ".weight", GgmlType::F32, {kWidth}));
  for (const char* name : {"attn_q", "attn_output", "ffn_gate", "ffn_up", "ffn_down"})
    tensors.push_back(tensor_of(std::string("blk.0.") + name + ".weight", type, {kWidth, kWidth}));
  for (const char* name : {"attn_k", "attn_v"})
    tensors.push_back(tensor_of(std::string("blk.0.") + name + ".weight", type, {kWidth / 2, kWidth}));
  tensors.push_back(tensor_of("rope_freqs.weight", GgmlType::F32, {kWidth / 4}));
  const InputFolder folder;
  write_gguf(folder.path() + "/seed.gguf", metadata, tensors);
  return read_file(folder.path() + "/seed.gguf");
}

std::vector<std::string> seeds() {
  const std::string whole = tiny_model(GgmlType::F16);
  return {whole,
          tiny_model(GgmlType::Q8_0),
          whole.substr(0, whole.size() / 2),
          whole.substr(0, 400),
          std::string("GGUF\3\0\0\0", 8) + std::string(16, '\0'),
          std::string("GGUF\1\0\0\0", 8) + std::string(16, '\xff')};
}

}  // namespace

Target gguf_target() {
  return {"gguf",
          run,
          seeds,
          {"general.architecture", "general.alignment", "tokenizer.ggml.", "llama.", "gemma3", "gpt2",
           "blk.0.", std::string(8, '\0'), std::string(8, '\xff'), std::string("\x01\0\0\0\0\0\0\0", 8),
           std::string("\x08\0\0\0", 4), std::string("\x09\0\0\0", 4)},
          3000};
}

}  // namespace lathe::fuzz
