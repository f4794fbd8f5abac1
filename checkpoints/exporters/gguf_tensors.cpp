// Tensors of a decoder under llama.cpp's names. A quantised row never leaves its tensor, so moving rows
// (rotary pairs, fused projections) and quantising commute, and gguf_values() can follow each value alone.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "checkpoints/exporters/gguf_model.h"

namespace lathe {

namespace {

constexpr std::int64_t kPieceBytes = 1 << 23;  // of a tensor that is packed at once

struct NameRow {
  const char *ours, *theirs;
};
constexpr NameRow kLayerNames[] = {
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"pre_feedforward_layernorm", "ffn_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
};

bool ends_with_any(const std::string& name, std::initializer_list<const char*> ends) {
  return std::any_of(ends.begin(), ends.end(), [&](const char* end) { return name.ends_with(end); });
}

// "model.layers.3.self_attn.q_proj.weight" -> {3, "self_attn.q_proj", ".weight"}; layer -1 outside the
// layers.
struct ParsedName {
  std::int64_t layer = -1;
  std::string module, kind;
};
ParsedName parse(const std::string& name) {
  ParsedName parsed;
  const std::size_t dot = name.rfind('.');
  parsed.kind = name.substr(dot);
  parsed.module = name.substr(0, dot);
  const std::string layers = "model.layers.";
  if (!parsed.module.starts_with(layers)) return parsed;
  const std::size_t after = parsed.module.find('.', layers.size());
  parsed.layer = std::stoll(parsed.module.substr(layers.size(), after - layers.size()));
  parsed.module = parsed.module.substr(after + 1);
  return parsed;
}

std::string file_name(const ParsedName& name, const DecoderSpec& spec) {
  if (name.layer < 0) {
    if (name.module == "model.embed_tokens") return "token_embd" + name.kind;
    if (name.module == "model.position_embeddings") return "position_embd" + name.kind;
    if (name.module == "model.norm") return "output_norm" + name.kind;
    return "output" + name.kind;
  }
  const std::string layer = cat("blk.", name.layer, ".");
  if (name.module == "post_attention_layernorm")
    return layer + (spec.sandwich_norms ? "post_attention_norm" : "ffn_norm") + name.kind;
  for (const NameRow& row : kLayerNames)
    if (name.module == row.ours) return layer + row.theirs + name.kind;
  fail("tensor '", name.module, "' has no name in GGUF");
}

// Some of the bundle's tensors, rows one after the other, as one of the file.
struct Plan {
  GgufPlace place;
  std::vector<BundleTensor> parts;
  std::int64_t interleaved_heads = 0;  // > 0: rotary pairs side by side
  double offset = 0;                   // added to every value
};

// `size` bytes from `offset` on of what the tensor's source gave, as floats.
std::vector<float> floats_of(const BundleTensor& tensor, const ByteBlock& block, std::size_t offset,
                             std::size_t size) {
  const auto count = static_cast<std::int64_t>(size / dtype_size(tensor.dtype));
  const BundleTensor wide = convert_tensor(
      memory_tensor(tensor.name, tensor.dtype, {count}, {block.bytes.subspan(offset, size), block.owner}),
      DType::F32);
  const ByteBlock floats = wide.bytes();
  std::vector<float> values(wide.element_count());
  std::memcpy(values.data(), floats.bytes.data(), floats.bytes.size());
  return values;
}

// Of each head rows 0, D/2, 1, D/2 + 1 ...: llama.cpp turns neighbours, Hugging Face's layout the two halves.
std::vector<float> interleave(const std::vector<float>& values, std::int64_t rows, std::int64_t heads) {
  const std::int64_t head = rows / heads, half = head / 2;
  const std::size_t width = values.size() / static_cast<std::size_t>(rows);
  std::vector<float> result(values.size());
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t in_head = row % head;
    const std::int64_t from = row - in_head + in_head / 2 + (in_head % 2) * half;
    std::copy_n(values.begin() + from * static_cast<std::int64_t>(width), width,
                result.begin() + row * static_cast<std::int64_t>(width));
  }
  return result;
}

GgmlType smaller_blocks(GgmlType type) {
  switch (type) {
    case GgmlType::Q4_K:
      return GgmlType::Q5_0;
    case GgmlType::Q5_K:
      return GgmlType::Q5_1;
    case GgmlType::Q6_K:
      return GgmlType::Q8_0;
    default:
      return GgmlType::F16;
  }
}

// The layers that Q4_K_M gives more bits: the first and last eighth and every third between.
bool more_bits(std::int64_t layer, std::int64_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

GgmlType wanted_type(GgufMix mix, const GgufPlace& place) {
  switch (mix) {
    case GgufMix::F32:
      return GgmlType::F32;
    case GgufMix::F16:
      return GgmlType::F16;
    case GgufMix::BF16:
      return GgmlType::BF16;
    case GgufMix::Q8_0:
      return GgmlType::Q8_0;
    case GgufMix::Q4_K_M:
      break;
  }
  const std::string& name = place.name;
  const bool head = name == "output.weight" || (place.tied && name == "token_embd.weight");
  if (head) return place.shape.back() % 256 == 0 ? GgmlType::Q6_K : GgmlType::Q8_0;
  if (name.ends_with("attn_qkv.weight")) return GgmlType::Q5_K;
  const bool sensitive = ends_with_any(name, {"attn_v.weight", "ffn_down.weight"});
  return sensitive && more_bits(place.layer, place.layers) ? GgmlType::Q6_K : GgmlType::Q4_K;
}

}  // namespace

GgmlType gguf_type(GgufMix mix, const GgufPlace& place) {
  const bool vector =
      place.shape.size() < 2 || place.name.ends_with("_norm.weight") || place.name == "position_embd.weight";
  if (vector) return GgmlType::F32;
  GgmlType type = wanted_type(mix, place);
  const auto fits = [&] {
    return static_cast<std::uint64_t>(place.shape.back()) % ggml_type_info(type)->block == 0;
  };
  if (!fits()) type = smaller_blocks(type);
  if (!fits()) type = GgmlType::F16;
  return type;
}

namespace {

bool is_norm(const std::string& name) { return name.find("norm.") != std::string::npos; }

// In the order of decoder_parameters; a fused tensor stands where its first part does.
std::vector<Plan> make_plans(const Bundle& bundle) {
  const DecoderSpec& spec = bundle.spec;
  const GgufNames& names = bundle.family->gguf;
  std::vector<Plan> plans;
  for (const BundleTensor& tensor : bundle.tensors) {
    const ParsedName name = parse(tensor.name);
    const bool query = name.module == "self_attn.q_proj", key = name.module == "self_attn.k_proj";
    if (names.fused_qkv && (key || name.module == "self_attn.v_proj")) {
      const std::string fused = cat("blk.", name.layer, ".attn_qkv", name.kind);
      const auto plan =
          std::find_if(plans.begin(), plans.end(), [&](const Plan& p) { return p.place.name == fused; });
      require(plan != plans.end(), "tensor '", tensor.name, "' stands before its queries");
      plan->parts.push_back(tensor);
      plan->place.shape[0] += tensor.shape[0];
      continue;
    }
    Plan plan{{file_name(name, spec), tensor.shape, name.layer, spec.num_layers, spec.tie_embeddings},
              {tensor},
              0,
              0};
    if (names.fused_qkv && query) plan.place.name = cat("blk.", name.layer, ".attn_qkv", name.kind);
    if (names.interleaved_rotary && (query || key))
      plan.interleaved_heads = query ? spec.num_heads : spec.num_kv_heads;
    if (is_norm(tensor.name) && name.kind == ".weight") plan.offset = spec.norm_offset;
    plans.push_back(std::move(plan));
  }
  return plans;
}

void check_values(GgmlType type, const std::vector<float>& values, const std::string& name) {
  for (const float value : values)
    require(std::isfinite(value) && (type != GgmlType::F16 || std::fabs(value) < 65520.0F), "tensor '", name,
            "' holds ", value, ", which ", ggml_type_info(type)->name, " cannot; ",
            std::isfinite(value) ? "use bf16" : "the model is broken");
}

// The tensor's blocks, made of some rows at a time: in fp32 a table of embeddings outweighs several layers.
ByteBlock pack(const Plan& plan, GgmlType type) {
  std::size_t count = 0;
  for (const BundleTensor& part : plan.parts) count += part.element_count();
  const std::uint64_t size = ggml_bytes(type, count);
  const std::shared_ptr<std::byte[]> bytes = std::make_shared_for_overwrite<std::byte[]>(size);
  std::byte* out = bytes.get();
  for (const BundleTensor& part : plan.parts) {
    const ByteBlock block = part.bytes();
    require(block.bytes.size() == part.byte_size(), "tensor '", part.name, "': its source gave ",
            block.bytes.size(), " bytes, wanted ", part.byte_size());
    const std::size_t row = part.byte_size() / static_cast<std::size_t>(part.shape[0]);
    const std::int64_t head = plan.interleaved_heads > 0 ? part.shape[0] / plan.interleaved_heads : 1;
    const std::int64_t some =
        std::max<std::int64_t>(1, kPieceBytes / (static_cast<std::int64_t>(row) * head)) * head;
    for (std::int64_t begin = 0; begin < part.shape[0]; begin += some) {
      const std::int64_t rows = std::min(some, part.shape[0] - begin);
      std::vector<float> values =
          floats_of(part, block, static_cast<std::size_t>(begin) * row, static_cast<std::size_t>(rows) * row);
      for (float& value : values) value += static_cast<float>(plan.offset);
      if (plan.interleaved_heads > 0) values = interleave(values, rows, rows / head);
      check_values(type, values, plan.place.name);
      ggml_quantize(type, values, out);
      out += ggml_bytes(type, values.size());
    }
  }
  return {{bytes.get(), size}, bytes};
}

// What llama.cpp divides each frequency by under Llama 3's scaling (arXiv 2407.21783, and rope_freqs of
// GGUF).
std::vector<double> llama3_factors(const DecoderSpec& spec) {
  const RotarySpec& rotary = spec.rotary;
  const auto original = static_cast<double>(rotary.original_max_position_embeddings);
  std::vector<double> factors;
  for (std::int64_t i = 0; i < spec.head_size; i += 2) {
    const double wavelength =
        2 * std::numbers::pi *
        std::pow(rotary.theta, static_cast<double>(i) / static_cast<double>(spec.head_size));
    const double smooth = std::clamp(
        (original / wavelength - rotary.low_freq_factor) / (rotary.high_freq_factor - rotary.low_freq_factor),
        0.0, 1.0);
    factors.push_back(1 / ((1 - smooth) / rotary.factor + smooth));
  }
  return factors;
}

void add_frequency_factors(const DecoderSpec& spec, std::vector<GgufTensor>& tensors) {
  std::vector<double> factors = spec.rotary.frequency_factors;
  if (spec.rotary.scaling == RotaryScaling::Llama3) {
    const std::vector<double> scaling = llama3_factors(spec);
    factors.resize(scaling.size(), 1.0);
    for (std::size_t i = 0; i < scaling.size(); ++i) factors[i] *= scaling[i];
  }
  if (factors.empty()) return;
  const auto values = std::make_shared<const std::vector<float>>(factors.begin(), factors.end());
  check_values(GgmlType::F32, *values, "rope_freqs.weight");
  tensors.push_back(
      {"rope_freqs.weight", GgmlType::F32, {static_cast<std::int64_t>(values->size())}, [values] {
         return ByteBlock{std::as_bytes(std::span(*values)), values};
       }});
}

}  // namespace

std::vector<GgufTensor> gguf_tensors(const Bundle& bundle, GgufMix mix) {
  std::vector<GgufTensor> tensors;
  for (const Plan& plan : make_plans(bundle)) {
    const GgmlType type = gguf_type(mix, plan.place);
    tensors.push_back({plan.place.name, type, plan.place.shape, [plan, type] { return pack(plan, type); }});
  }
  add_frequency_factors(bundle.spec, tensors);
  return tensors;
}

std::vector<BundleTensor> gguf_values(const Bundle& bundle, GgufMix mix) {
  std::vector<BundleTensor> tensors;
  for (const Plan& plan : make_plans(bundle)) {
    const GgmlType type = gguf_type(mix, plan.place);
    for (const BundleTensor& part : plan.parts) {
      const Plan alone{plan.place, {part}, 0, plan.offset};
      if (plan.offset == 0) {  // its blocks, read as a file's are
        tensors.push_back(
            widen_gguf({part.name, type, part.shape, [alone, type] { return pack(alone, type); }}));
        continue;
      }
      BundleTensor tensor{part.name, DType::F32, part.shape, nullptr};
      tensor.bytes = [alone, type] {
        const ByteBlock packed = pack(alone, type);
        const auto values = std::make_shared<std::vector<float>>(alone.parts[0].element_count());
        ggml_dequantize(type, packed.bytes.data(), *values);
        for (float& value : *values) value -= static_cast<float>(alone.offset);
        return ByteBlock{std::as_bytes(std::span(*values)), values};
      };
      tensors.push_back(std::move(tensor));
    }
  }
  return tensors;
}

}  // namespace lathe
