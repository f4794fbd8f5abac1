#include "checkpoints/diffusion/lora_spelling.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "checkpoints/diffusion/original_names.h"
#include "checkpoints/formats/safetensors.h"

namespace lathe {

namespace {

struct Matrix {
  std::int64_t rows = 0, columns = 0;  // of a kernel (rows, in, side, side): columns = in * side * side
  std::vector<float> values;
  std::vector<std::int64_t> kernel;  // its shape behind the rows; empty: a matrix
};

struct Factors {
  Matrix a, b;  // (r, in), (out, r)
};

Matrix matrix_of(const BundleTensor& tensor) {
  require(tensor.shape.size() == 2 || tensor.shape.size() == 4, "tensor '", tensor.name,
          "' is no matrix and no kernel");
  const ByteBlock block = convert_tensor(tensor, DType::F32).bytes();
  const std::int64_t rows = tensor.shape[0], count = static_cast<std::int64_t>(tensor.element_count());
  Matrix matrix{rows, rows > 0 ? count / rows : 0, std::vector<float>(tensor.element_count()), {}};
  if (tensor.shape.size() == 4) matrix.kernel.assign(tensor.shape.begin() + 1, tensor.shape.end());
  std::memcpy(matrix.values.data(), block.bytes.data(), block.bytes.size());
  return matrix;
}

BundleTensor tensor_of(const std::string& name, const Matrix& matrix) {
  const auto values = std::make_shared<std::vector<float>>(matrix.values);
  std::vector<std::int64_t> shape{matrix.rows};
  if (matrix.kernel.empty()) shape.push_back(matrix.columns);
  shape.insert(shape.end(), matrix.kernel.begin(), matrix.kernel.end());
  return memory_tensor(name, DType::F32, shape, {std::as_bytes(std::span(*values)), values});
}

BundleTensor number(const std::string& name, double value) {
  const auto values = std::make_shared<std::vector<float>>(1, static_cast<float>(value));
  return memory_tensor(name, DType::F32, {}, {std::as_bytes(std::span(*values)), values});
}

std::map<std::string, Factors> factors_of(const PeftAdapter& adapter) {
  std::map<std::string, Factors> factors;
  for (const BundleTensor& tensor : adapter.tensors) {
    const auto cut = tensor.name.rfind(".lora_");
    require(cut != std::string::npos, "tensor '", tensor.name, "' is no factor of an adapter");
    if (tensor.name.ends_with(".lora_magnitude_vector.weight")) continue;
    Factors& entry = factors[tensor.name.substr(0, cut)];
    (tensor.name.ends_with("lora_A.weight") ? entry.a : entry.b) = matrix_of(tensor);
  }
  return factors;
}

// Where a module of a block stands in SD3's own layout; a third of a fused matrix, or all of one.
struct NativePlace {
  std::string module;
  std::int64_t part = 0, parts = 1;
  bool swapped = false;  // its two halves of rows, scale and shift, are the other way round
};

NativePlace sd3_place(const std::string& module, const JointTransformerSpec& spec) {
  static const std::map<std::string, NativePlace> kPlaces{
      {"attn.to_q", {"x_block.attn.qkv", 0, 3}},
      {"attn.to_k", {"x_block.attn.qkv", 1, 3}},
      {"attn.to_v", {"x_block.attn.qkv", 2, 3}},
      {"attn.add_q_proj", {"context_block.attn.qkv", 0, 3}},
      {"attn.add_k_proj", {"context_block.attn.qkv", 1, 3}},
      {"attn.add_v_proj", {"context_block.attn.qkv", 2, 3}},
      {"attn.to_out.0", {"x_block.attn.proj"}},
      {"attn.to_add_out", {"context_block.attn.proj"}},
      {"ff.net.0.proj", {"x_block.mlp.fc1"}},
      {"ff.net.2", {"x_block.mlp.fc2"}},
      {"ff_context.net.0.proj", {"context_block.mlp.fc1"}},
      {"ff_context.net.2", {"context_block.mlp.fc2"}},
      {"norm1.linear", {"x_block.adaLN_modulation.1"}},
      {"norm1_context.linear", {"context_block.adaLN_modulation.1"}}};
  const std::string blocks = "transformer_blocks.";
  const auto dot = module.starts_with(blocks) ? module.find('.', blocks.size()) : std::string::npos;
  const auto found = dot == std::string::npos ? kPlaces.end() : kPlaces.find(module.substr(dot + 1));
  require(found != kPlaces.end(), "'", module, "' has no name in SD3's own layout; export format peft");
  const std::string layer = module.substr(blocks.size(), dot - blocks.size());
  NativePlace place = found->second;
  place.swapped = found->first == "norm1_context.linear" && layer == std::to_string(spec.num_layers - 1);
  place.module = "joint_blocks." + layer + "." + place.module;
  return place;
}

// kohya keeps diffusers' names of a UNet, ComfyUI the original ones.
NativePlace native_place(const std::string& module, const PictureModel& base, LoraSpelling spelling) {
  if (!base.unet) return sd3_place(module, base.transformer);
  if (spelling == LoraSpelling::Kohya) return {module};
  const std::string end = ".weight", original = original_unet_name(module + end, *base.unet);
  return {original.substr(0, original.size() - end.size())};
}

void swap_halves(Matrix& b) {
  std::rotate(b.values.begin(), b.values.begin() + static_cast<std::ptrdiff_t>(b.values.size() / 2),
              b.values.end());
}

// Puts one part's factors into the fused ones: A below what is there, B in the part's rows and columns of its
// own.
void add_part(Factors& fused, const Factors& factors, const NativePlace& place) {
  const std::int64_t rank = fused.a.rows, more = factors.a.rows, out = factors.b.rows;
  Factors joined;
  joined.a = {rank + more, factors.a.columns, fused.a.values, {}};
  joined.a.values.insert(joined.a.values.end(), factors.a.values.begin(), factors.a.values.end());
  joined.b = {place.parts * out,
              rank + more,
              std::vector<float>(static_cast<std::size_t>(place.parts * out * (rank + more))),
              {}};
  const auto copy = [&](const Matrix& from, std::int64_t first_row, std::int64_t first_column) {
    for (std::int64_t row = 0; row < from.rows; ++row)
      std::copy_n(from.values.begin() + row * from.columns, from.columns,
                  joined.b.values.begin() + (first_row + row) * joined.b.columns + first_column);
  };
  if (rank > 0) copy(fused.b, 0, 0);
  copy(factors.b, place.part * out, rank);
  fused = std::move(joined);
}

// Under the module names of the spelling.
std::map<std::string, Factors> native_factors(const std::map<std::string, Factors>& factors,
                                              const PictureModel& base, LoraSpelling spelling) {
  std::map<std::string, Factors> native;
  const std::string part = network_part(base);
  for (const auto& [name, entry] : factors) {
    if (!name.starts_with(part)) continue;
    const NativePlace place = native_place(name.substr(part.size()), base, spelling);
    Factors own = entry;
    if (place.swapped) swap_halves(own.b);
    if (place.parts == 1)
      native[place.module] = std::move(own);
    else
      add_part(native[place.module], own, place);
  }
  return native;
}

// PEFT finds a target by the end of a module's name; a CLIPTextModel's lost their "text_model." in
// transformers 5.
std::string target_module(const std::string& name) {
  const std::string front = "text_model.";
  return name.starts_with(front) ? name.substr(front.size()) : name;
}

Json adapter_metadata(const PeftAdapter& adapter, const PictureModel& base) {
  Json all = Json::object();
  std::map<std::string, std::set<std::string>> modules;
  for (const BundleTensor& tensor : adapter.tensors) {
    const auto dot = tensor.name.find('.'), cut = tensor.name.rfind(".lora_");
    modules[tensor.name.substr(0, dot)].insert(target_module(tensor.name.substr(dot + 1, cut - dot - 1)));
  }
  for (const auto& [part, names] : modules)
    for (const std::string& prefix : part == "text_encoder" && !base.unet
                                         ? std::vector<std::string>{part, part + "_2"}
                                         : std::vector{part}) {
      all[prefix + ".peft_type"] = "LORA";
      all[prefix + ".r"] = adapter.rank;
      all[prefix + ".lora_alpha"] = adapter.rank;
      all[prefix + ".lora_dropout"] = 0.0;
      all[prefix + ".bias"] = "none";
      all[prefix + ".use_dora"] = adapter.kind == "dora";
      all[prefix + ".use_rslora"] = false;
      all[prefix + ".target_modules"] = names;
    }
  return all;
}

std::string underscored(std::string name) {
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

void add_spelled(LoraFile& file, const std::string& name, const Factors& factors, double scale, bool kohya) {
  file.tensors.push_back(tensor_of(name + (kohya ? ".lora_down.weight" : ".lora_A.weight"), factors.a));
  file.tensors.push_back(tensor_of(name + (kohya ? ".lora_up.weight" : ".lora_B.weight"), factors.b));
  file.tensors.push_back(number(name + ".alpha", scale * static_cast<double>(factors.a.rows)));
}

// Of the model spec that model browsers read (github.com/Stability-AI/ModelSpec).
std::map<std::string, std::string> browser_metadata(const LoraLabel& label, const PictureModel& base) {
  const bool second = base.unet && base.text_encoder.activation == ClipActivation::Gelu;
  const std::string architecture = !base.unet ? "stable-diffusion-3"
                                   : second   ? "stable-diffusion-v2"
                                              : "stable-diffusion-v1";
  std::map<std::string, std::string> all{{"format", "pt"},
                                         {"modelspec.sai_model_spec", "1.0.1"},
                                         {"modelspec.architecture", architecture + "/lora"},
                                         {"modelspec.title", label.title}};
  if (base.prediction == Prediction::Epsilon) all["modelspec.prediction_type"] = "epsilon";
  if (base.prediction == Prediction::Velocity) all["modelspec.prediction_type"] = "v";
  if (!label.resolution.empty()) all["modelspec.resolution"] = label.resolution;
  if (!label.trigger.empty()) all["modelspec.trigger_phrase"] = label.trigger;
  return all;
}

// What kohya's own files say beside it.
void add_kohya_metadata(std::map<std::string, std::string>& all, const PeftAdapter& adapter,
                        const PictureModel& base, const LoraLabel& label) {
  all["ss_network_module"] = base.unet ? "networks.lora" : "networks.lora_sd3";
  all["ss_network_dim"] = std::to_string(adapter.rank);
  all["ss_network_alpha"] = Json(lora_scale(adapter) * static_cast<double>(adapter.rank)).dump();
  all["ss_output_name"] = label.title;
  if (!base.unet) return;
  const bool second = base.text_encoder.activation == ClipActivation::Gelu;
  const bool velocity = base.prediction == Prediction::Velocity;
  all["ss_v2"] = second ? "True" : "False";
  all["ss_base_model_version"] = !second ? "sd_v1" : velocity ? "sd_v2_v" : "sd_v2";
}

// scale * B A of rows [first, first + rows) of B, (rows, in), fp64.
std::vector<double> change_of(const Factors& factors, double scale, std::int64_t first, std::int64_t rows) {
  const std::int64_t r = factors.a.rows, in = factors.a.columns;
  std::vector<double> change(static_cast<std::size_t>(rows * in));
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t k = 0; k < r; ++k) {
      const double b =
          scale * static_cast<double>(factors.b.values[static_cast<std::size_t>((first + row) * r + k)]);
      for (std::int64_t i = 0; i < in; ++i)
        change[static_cast<std::size_t>(row * in + i)] +=
            b * static_cast<double>(factors.a.values[static_cast<std::size_t>(k * in + i)]);
    }
  return change;
}

// Where a module of the adapter is in a file of the spelling: a name for each place that it is written to.
std::vector<std::string> spelled_names(const std::string& module, const NativePlace& place,
                                       LoraSpelling spelling, const PictureModel& base) {
  const std::string text = kTextEncoderPart;
  const bool encoder = module.starts_with(text);
  const std::string rest = encoder ? module.substr(text.size()) : "";
  if (encoder && base.unet) {  // one encoder
    const bool second = base.text_encoder.activation == ClipActivation::Gelu;
    if (spelling == LoraSpelling::Diffusers) return {module};
    if (spelling == LoraSpelling::Kohya) return {"lora_te_" + underscored(rest)};
    return {std::string("text_encoders.clip_") + (second ? "h" : "l") + ".transformer." + rest};
  }
  if (spelling == LoraSpelling::Diffusers)
    return encoder ? std::vector{module, "text_encoder_2." + rest} : std::vector{module};
  if (spelling == LoraSpelling::Kohya)
    return encoder ? std::vector{"lora_te1_" + underscored(rest), "lora_te2_" + underscored(rest)}
                   : std::vector{"lora_unet_" + underscored(place.module)};
  return encoder ? std::vector{"text_encoders.clip_l.transformer." + rest,
                               "text_encoders.clip_g.transformer." + rest}
                 : std::vector{"diffusion_model." + place.module};
}

}  // namespace

std::vector<std::string> spelled_modules(const std::string& module, const PictureModel& base,
                                         LoraSpelling spelling) {
  NativePlace place;
  if (spelling != LoraSpelling::Diffusers && !module.starts_with(kTextEncoderPart))
    place = native_place(module.substr(network_part(base).size()), base, spelling);
  return spelled_names(module, place, spelling, base);
}

LoraSpelling lora_spelling(const std::string& format) {
  if (format == "peft") return LoraSpelling::Diffusers;
  if (format == "kohya") return LoraSpelling::Kohya;
  if (format == "comfyui") return LoraSpelling::ComfyUi;
  fail_usage("'", format, "' is no spelling of an adapter; wanted peft, kohya or comfyui");
}

double lora_scale(const PeftAdapter& adapter) {
  const auto r = static_cast<double>(adapter.rank);
  return adapter.alpha / (adapter.rank_stabilised ? std::sqrt(r) : r);
}

PeftAdapter folded(PeftAdapter adapter) {
  const double scale = lora_scale(adapter);
  for (BundleTensor& tensor : adapter.tensors) {
    if (!tensor.name.ends_with(".lora_B.weight")) continue;
    Matrix b = matrix_of(tensor);
    for (float& value : b.values) value = static_cast<float>(value * scale);
    tensor = tensor_of(tensor.name, b);
  }
  adapter.alpha = static_cast<double>(adapter.rank);
  adapter.rank_stabilised = false;
  return adapter;
}

LoraFile spell_lora(const PeftAdapter& adapter, const PictureModel& base, LoraSpelling spelling,
                    const LoraLabel& label) {
  LoraFile file{{}, browser_metadata(label, base)};
  if (spelling == LoraSpelling::Diffusers) {
    for (const CheckpointFile& part : picture_adapter_files(folded(adapter), base))
      for (const BundleTensor& tensor : part.tensors)
        file.tensors.push_back(convert_tensor(tensor, DType::F32));
    file.metadata["lora_adapter_metadata"] = adapter_metadata(adapter, base).dump();
    return file;
  }
  if (adapter.kind == "dora")
    fail_usage("DoRA has no kohya or comfyui spelling here: export it as peft, or merged as diffusers");
  const bool kohya = spelling == LoraSpelling::Kohya;
  const double scale = lora_scale(adapter);
  const auto factors = factors_of(adapter);
  for (const auto& [module, entry] : native_factors(factors, base, spelling))
    add_spelled(file, kohya ? "lora_unet_" + underscored(module) : "diffusion_model." + module, entry, scale,
                kohya);
  for (const auto& [name, entry] : factors)
    if (name.starts_with(kTextEncoderPart))
      for (const std::string& spelled : spelled_names(name, {}, spelling, base))
        add_spelled(file, spelled, entry, scale, kohya);
  if (kohya) add_kohya_metadata(file.metadata, adapter, base, label);
  return file;
}

double spelling_error(const std::string& path, const PeftAdapter& adapter, const PictureModel& base,
                      LoraSpelling spelling) {
  std::map<std::string, BundleTensor> file;
  for (BundleTensor& tensor : read_safetensors(path).tensors) file.emplace(tensor.name, std::move(tensor));
  const auto at = [&](const std::string& name) -> const BundleTensor& {
    const auto found = file.find(name);
    require(found != file.end(), path, ": lacks '", name, "'");
    return found->second;
  };
  const bool kohya = spelling == LoraSpelling::Kohya, native = spelling != LoraSpelling::Diffusers;
  std::set<std::string> used;
  double error = 0, size = 0;  // squared norms
  for (const auto& [module, entry] : factors_of(adapter)) {
    const bool encoder = module.starts_with(kTextEncoderPart);
    NativePlace place;
    if (native && !encoder) place = native_place(module.substr(network_part(base).size()), base, spelling);
    Factors own = entry;
    if (place.swapped) swap_halves(own.b);
    const std::int64_t out = own.b.rows;
    const std::vector<double> wanted = change_of(own, lora_scale(adapter), 0, out);
    for (const std::string& name : spelled_names(module, place, spelling, base)) {
      const std::string a = name + (kohya ? ".lora_down.weight" : ".lora_A.weight"),
                        b = name + (kohya ? ".lora_up.weight" : ".lora_B.weight");
      const Factors written{matrix_of(at(a)), matrix_of(at(b))};
      require(written.b.rows == place.parts * out && written.b.columns == written.a.rows &&
                  written.a.columns == own.a.columns,
              path, ": '", name, "' has factors of another size than the module");
      double scale = 1;
      if (const std::string alpha = name + ".alpha"; native) {
        float value = 0;
        std::memcpy(&value, convert_tensor(at(alpha), DType::F32).bytes().bytes.data(), sizeof value);
        scale = static_cast<double>(value) / static_cast<double>(written.a.rows);
        used.insert(alpha);
      }
      used.insert({a, b});
      const std::vector<double> found = change_of(written, scale, place.part * out, out);
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        error += (found[i] - wanted[i]) * (found[i] - wanted[i]);
        size += wanted[i] * wanted[i];
      }
    }
  }
  for (const auto& [name, tensor] : file)
    require(used.count(name) || name.find(".lora_magnitude_vector") != std::string::npos, path, ": '", name,
            "' is nothing of the adapter");
  return std::sqrt(error / std::max(size, 1e-60));
}

}  // namespace lathe
