// The keys of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and what llama.cpp reads of each
// architecture.
#include <algorithm>
#include <cmath>

#include "checkpoints/exporters/gguf_model.h"

namespace lathe {

namespace {

struct MixRow {
  GgufMix mix;
  const char *name, *label;
  std::uint32_t file_type;  // llama.cpp's number
};
constexpr MixRow kMixes[] = {{GgufMix::F32, "f32", "F32", 0},
                             {GgufMix::F16, "f16", "F16", 1},
                             {GgufMix::BF16, "bf16", "BF16", 32},
                             {GgufMix::Q8_0, "q8_0", "Q8_0", 7},
                             {GgufMix::Q4_K_M, "q4_k_m", "Q4_K_M", 15}};

const MixRow& row_of(GgufMix mix) {
  return *std::find_if(std::begin(kMixes), std::end(kMixes),
                       [mix](const MixRow& row) { return row.mix == mix; });
}

// llama.cpp has windows in Gemma alone. Elsewhere the file promises the context within which they change
// nothing.
std::int64_t promised_context(const DecoderSpec& spec, bool windows_run) {
  std::int64_t context = spec.max_positions;
  if (!windows_run)
    for (std::int64_t layer = 0; layer < spec.num_layers; ++layer)
      if (const std::int64_t window = spec.window(layer); window > 0) context = std::min(context, window);
  return context;
}

class Keys {
 public:
  Keys(GgufMetadata& out, std::string architecture) : out_(out), architecture_(std::move(architecture)) {}
  void number(const char* key, std::int64_t value) {
    add(key, GgufValue::u32(static_cast<std::uint64_t>(value)));
  }
  void real(const char* key, double value) { add(key, GgufValue::f32(value)); }
  void text(const char* key, const std::string& value) { add(key, GgufValue::string(value)); }
  void flags(const char* key, const std::vector<bool>& values) {
    Json list = Json::array();
    for (const bool value : values) list.push_back(value);
    add(key, GgufValue::array(GgufKind::Bool, std::move(list)));
  }

 private:
  void add(const char* key, GgufValue value) {
    out_.emplace_back(architecture_ + "." + key, std::move(value));
  }
  GgufMetadata& out_;
  std::string architecture_;
};

void add_rotary(const DecoderSpec& spec, Keys& keys) {
  const RotarySpec& rotary = spec.rotary;
  keys.number("rope.dimension_count", spec.head_size);
  keys.real("rope.freq_base", rotary.theta);
  if (spec.local_rotary) keys.real("rope.freq_base_swa", spec.local_rotary->theta);
  if (rotary.scaling == RotaryScaling::Linear) {
    keys.text("rope.scaling.type", "linear");
    keys.real("rope.scaling.factor", rotary.factor);
  }
  if (rotary.scaling != RotaryScaling::Yarn) return;
  keys.text("rope.scaling.type", "yarn");
  keys.real("rope.scaling.factor", rotary.factor);
  keys.number("rope.scaling.original_context_length", rotary.original_max_position_embeddings);
  keys.real("rope.scaling.yarn_beta_fast", rotary.beta_fast);
  keys.real("rope.scaling.yarn_beta_slow", rotary.beta_slow);
  // llama.cpp multiplies with 1 + 0.1 ln(factor) on its own.
  const double usual = rotary.factor <= 1 ? 1 : 0.1 * std::log(rotary.factor) + 1;
  if (rotary.attention_factor > 0) keys.real("rope.scaling.attn_factor", rotary.attention_factor / usual);
}

// llama.cpp caps a Gemma 2's scores with its default when the key is absent: a cap this high changes no
// float.
constexpr double kNoCap = 1e6;

void add_gemma(const DecoderSpec& spec, Keys& keys) {
  if (!spec.windows.empty()) {
    keys.number("attention.sliding_window", *std::max_element(spec.windows.begin(), spec.windows.end()));
    std::vector<bool> local;
    for (const std::int64_t window : spec.windows) local.push_back(window > 0);
    keys.flags("attention.sliding_window_pattern", local);
  } else if (!spec.qk_norm) {
    keys.flags("attention.sliding_window_pattern",
               std::vector<bool>(static_cast<std::size_t>(spec.num_layers), false));
  }
  const auto cap = [&](const char* key, double value, bool has_default) {
    if (value > 0 || has_default) keys.real(key, value > 0 ? value : kNoCap);
  };
  const bool gemma2 = !spec.qk_norm;
  cap("attn_logit_softcapping", spec.attention_softcap, gemma2);
  cap("final_logit_softcapping", spec.final_softcap, gemma2);
}

}  // namespace

GgufMix gguf_mix(const std::string& name) {
  for (const MixRow& row : kMixes)
    if (name == row.name) return row.mix;
  fail_usage("quantize '", name, "' is not known; known are f32, f16, bf16, q8_0 and q4_k_m");
}

const char* gguf_mix_name(GgufMix mix) { return row_of(mix).label; }

void check_gguf_model(const Bundle& bundle) {
  const std::string where = bundle.origin.empty() ? "export" : bundle.origin;
  require(bundle.family != nullptr, where, ": the model has no family");
  const GgufNames& names = bundle.family->gguf;
  require(!names.architecture.empty(), where, ": llama.cpp does not know the family ", bundle.family->name);
  const std::string lacks = names.lacks ? names.lacks(bundle.spec) : "";
  require(lacks.empty(), where, ": cannot be written as GGUF: ", lacks, "; export huggingface instead");
}

GgufMetadata gguf_model_metadata(const Bundle& bundle, GgufMix mix) {
  const DecoderSpec& spec = bundle.spec;
  const std::string& architecture = bundle.family->gguf.architecture;
  const bool gemma = spec.sandwich_norms;
  GgufMetadata metadata;
  metadata.emplace_back("general.architecture", GgufValue::string(architecture));
  metadata.emplace_back("general.type", GgufValue::string("model"));
  metadata.emplace_back("general.file_type", GgufValue::u32(row_of(mix).file_type));
  if (mix == GgufMix::Q8_0 || mix == GgufMix::Q4_K_M)
    metadata.emplace_back("general.quantization_version", GgufValue::u32(2));
  Keys keys(metadata, architecture);
  keys.number("vocab_size", spec.vocab_size);
  keys.number("context_length", promised_context(spec, gemma));
  keys.number("embedding_length", spec.hidden_size);
  keys.number("block_count", spec.num_layers);
  keys.number("feed_forward_length", spec.intermediate_size);
  keys.number("attention.head_count", spec.num_heads);
  keys.number("attention.head_count_kv", spec.num_kv_heads);
  keys.real(
      spec.norm == NormKind::RMSNorm ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon",
      spec.norm_eps);
  if (spec.position == PositionKind::Rotary) {
    keys.number("attention.key_length", spec.head_size);
    keys.number("attention.value_length", spec.head_size);
    add_rotary(spec, keys);
  }
  if (gemma)
    add_gemma(spec, keys);
  else if (!spec.windows.empty())  // not run by llama.cpp; here for readers that do
    keys.number("attention.sliding_window", *std::max_element(spec.windows.begin(), spec.windows.end()));
  return metadata;
}

}  // namespace lathe
