#include "checkpoints/formats/peft.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "checkpoints/formats/peft_fused.h"
#include "checkpoints/formats/safetensors.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
constexpr const char* kPrefix = "base_model.model.";
constexpr const char* kTokenPart = ".token_adapter.trainable_tokens_delta";  // values, whatever its name says
constexpr const char* kTokenRows = ".trainable_tokens";                      // internally
constexpr const char* kParts[] = {".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector.weight"};

struct Place {
  std::string module, part;  // "model.layers.0.mlp.up_proj", ".lora_A.weight"
};

std::optional<Place> split_name(const std::string& name) {
  for (const char* part : kParts) {
    if (name.ends_with(part)) return Place{name.substr(0, name.size() - std::string(part).size()), part};
  }
  const std::string magnitude = ".lora_magnitude_vector";  // PEFT's saved spelling
  if (name.ends_with(magnitude)) return Place{name.substr(0, name.size() - magnitude.size()), kParts[2]};
  return std::nullopt;
}

std::string internal_table(const std::string& table) { return table == "lm_head" ? table : "model." + table; }

std::string without_weight(const std::string& name) {
  const std::string end = ".weight";
  return name.ends_with(end) ? name.substr(0, name.size() - end.size()) : name;
}

// Module names inside the decoder <-> on disk, for modules that are one matrix in both: PEFT's factors of one
// that is stored (in, out) are those of any other.
std::map<std::string, std::string> disk_modules(const Family& family, const DecoderSpec& spec) {
  std::map<std::string, std::string> names;
  for (const NameRule& rule : family.names(spec)) {
    if (rule.internal.size() == 1)
      names.emplace(without_weight(rule.internal[0]), without_weight(rule.on_disk));
  }
  return names;
}

std::map<std::string, std::vector<std::int64_t>> matrices(const DecoderSpec& spec) {
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const ParameterInfo& info : decoder_parameters(spec)) {
    if (info.shape.size() == 2 && info.name.find("layers.") != std::string::npos)
      shapes.emplace(without_weight(info.name), info.shape);
  }
  return shapes;
}

void check_shape(const BundleTensor& tensor, const Place& place, const PeftAdapter& adapter,
                 const std::vector<std::int64_t>& matrix, const std::string& where) {
  std::vector<std::int64_t> wanted = {matrix[0]};
  if (place.part == kParts[0]) wanted = {adapter.rank, matrix[1]};
  if (place.part == kParts[1]) wanted = {matrix[0], adapter.rank};
  require(tensor.shape == wanted, where, ": tensor '", tensor.name, "' has shape ", shape_text(tensor.shape),
          ", the base and r = ", adapter.rank, " want ", shape_text(wanted));
}

}  // namespace

bool is_adapter_folder(const std::string& folder) { return fs::exists(fs::path(folder) / kPeftConfig); }

PeftAdapter read_peft(const std::string& folder, const Family& family, const DecoderSpec& spec) {
  PeftAdapter adapter = read_peft_config(folder);
  const std::string path = folder + "/" + kPeftTensors;
  require(fs::exists(path), path, " is missing");
  std::map<std::string, std::string> internal;
  for (const auto& [ours, theirs] : disk_modules(family, spec)) internal.emplace(theirs, ours);
  const auto shapes = matrices(spec);
  const std::vector<FusedModule> fused = fused_modules(family, spec);
  std::vector<BundleTensor> joined;
  for (BundleTensor& tensor : read_safetensors(path).tensors) {
    const std::string name =
        tensor.name.starts_with(kPrefix) ? tensor.name.substr(std::string(kPrefix).size()) : tensor.name;
    if (name.ends_with(kTokenPart)) {
      const std::string table = token_table(name.substr(0, name.size() - std::string(kTokenPart).size()));
      const auto rows = adapter.token_rows.find(table);
      require(rows != adapter.token_rows.end(), path, ": tensor '", tensor.name,
              "' has no ids in trainable_token_indices");
      const std::vector<std::int64_t> wanted = {static_cast<std::int64_t>(rows->second.size()),
                                                spec.hidden_size};
      require(tensor.shape == wanted, path, ": tensor '", tensor.name, "' has shape ",
              shape_text(tensor.shape), ", wanted ", shape_text(wanted));
      tensor.name = internal_table(table) + kTokenRows;
      adapter.tensors.push_back(std::move(tensor));
      continue;
    }
    const auto place = split_name(name);
    require(place.has_value(), path, ": tensor '", tensor.name,
            "' is no part of a LoRA adapter that is known here");
    const auto is_place = [&](const FusedModule& module) { return module.on_disk == place->module; };
    if (std::any_of(fused.begin(), fused.end(), is_place)) {
      tensor.name = place->module + place->part;
      joined.push_back(std::move(tensor));
      continue;
    }
    const auto found = internal.find(place->module);
    const std::string module = found == internal.end() ? place->module : found->second;
    const auto shape = shapes.find(module);
    require(shape != shapes.end(), path, ": tensor '", tensor.name,
            "' adapts a module that the base does not have");
    check_shape(tensor, *place, adapter, shape->second, path);
    tensor.name = module + place->part;
    adapter.tensors.push_back(std::move(tensor));
  }
  for (const FusedModule& module : fused) {
    for (BundleTensor& tensor : split_parts(module, joined, adapter.rank, path)) {
      const auto place = split_name(tensor.name);
      check_shape(tensor, *place, adapter, shapes.at(place->module), path);
      adapter.tensors.push_back(std::move(tensor));
    }
  }
  require(!adapter.tensors.empty(), path, ": no tensor is in it");
  for (const auto& [table, rows] : adapter.token_rows) {
    const std::string wanted = internal_table(table) + kTokenRows;
    const bool there = std::any_of(adapter.tensors.begin(), adapter.tensors.end(),
                                   [&](const BundleTensor& t) { return t.name == wanted; });
    require(there, path, ": the trained rows of '", table, "' (trainable_token_indices) are missing");
  }
  return adapter;
}

Json peft_config(const PeftAdapter& adapter, const Family& family, const DecoderSpec& spec) {
  Json config = peft_config(adapter);
  const auto adapted = [&](const std::string& module) {
    return std::any_of(adapter.tensors.begin(), adapter.tensors.end(), [&](const BundleTensor& tensor) {
      const auto place = split_name(tensor.name);
      return place && place->module == module;
    });
  };
  for (const NameRule& rule : family.names(spec)) {
    if (rule.transposed && adapted(without_weight(rule.internal[0]))) config["fan_in_fan_out"] = true;
  }
  if (!adapter.token_rows.empty()) {  // under the names of the base's modules
    const auto names = disk_modules(family, spec);
    Json& tables = config["trainable_token_indices"] = Json::object();
    for (const auto& [table, ids] : adapter.token_rows) {
      const auto on_disk = names.find(internal_table(table));
      const std::string& name = on_disk == names.end() ? table : on_disk->second;
      tables[name.substr(name.rfind('.') + 1)] = ids;
    }
  }
  for (const FusedModule& module : fused_modules(family, spec)) {
    if (!std::any_of(module.parts.begin(), module.parts.end(), adapted)) continue;
    const std::string last = module.on_disk.substr(module.on_disk.rfind('.') + 1);
    const auto count = static_cast<double>(module.parts.size());
    config["fan_in_fan_out"] = true;
    config["rank_pattern"][last] = adapter.rank * static_cast<std::int64_t>(module.parts.size());
    config["alpha_pattern"][last] = adapter.alpha * (adapter.rank_stabilised ? std::sqrt(count) : count);
  }
  return config;
}

std::vector<std::string> peft_targets(const PeftAdapter& adapter, const Family& family,
                                      const DecoderSpec& spec) {
  auto names = disk_modules(family, spec);
  for (const FusedModule& module : fused_modules(family, spec)) {
    for (const std::string& part : module.parts) names.emplace(part, module.on_disk);
  }
  const auto last = [](const std::string& name) { return name.substr(name.rfind('.') + 1); };
  const auto on_disk = [&](const std::string& module) {
    const auto found = names.find(module);
    return found == names.end() ? module : found->second;
  };
  std::set<std::string> adapted, ends;
  for (const BundleTensor& tensor : adapter.tensors) {
    if (const auto place = split_name(tensor.name)) adapted.insert(on_disk(place->module));
  }
  for (const std::string& name : adapted) ends.insert(last(name));
  for (const auto& [module, shape] : matrices(spec)) {
    const std::string name = on_disk(module);
    if (ends.count(last(name)) && !adapted.count(name)) return {adapted.begin(), adapted.end()};
  }
  return {ends.begin(), ends.end()};
}

std::vector<BundleTensor> peft_tensors(const PeftAdapter& adapter, const Family& family,
                                       const DecoderSpec& spec, bool exact) {
  const auto names = disk_modules(family, spec);
  std::vector<BundleTensor> tensors;
  std::set<std::string> joined;  // modules that a fused one stands for
  if (exact) {
    for (const FusedModule& module : fused_modules(family, spec)) {
      joined.insert(module.parts.begin(), module.parts.end());
      for (BundleTensor& tensor : fuse_parts(module, adapter.tensors)) {
        const auto place = split_name(tensor.name);
        tensor.name =
            kPrefix + place->module + (place->part == kParts[2] ? ".lora_magnitude_vector" : place->part);
        tensors.push_back(std::move(tensor));
      }
    }
  }
  for (BundleTensor tensor : adapter.tensors) {
    if (tensor.name.ends_with(kTokenRows)) {
      const std::string module = tensor.name.substr(0, tensor.name.size() - std::string(kTokenRows).size());
      const auto on_disk = names.find(module);
      tensor.name = kPrefix + (on_disk == names.end() ? module : on_disk->second) + kTokenPart;
      tensors.push_back(std::move(tensor));
      continue;
    }
    const auto place = split_name(tensor.name);
    require(place.has_value(), "tensor '", tensor.name, "' is no part of an adapter");
    if (joined.count(place->module)) continue;
    const auto found = names.find(place->module);
    const std::string part = place->part == kParts[2] ? ".lora_magnitude_vector" : place->part;
    tensor.name = kPrefix + (found == names.end() ? place->module : found->second) + part;
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace lathe
