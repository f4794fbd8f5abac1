#include "checkpoints/formats/peft.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

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

// The key of token_rows for a module as PEFT or the family calls it; "" when it is no table of tokens.
std::string table_of(const std::string& module) {
  const std::string last = module.substr(module.rfind('.') + 1);
  return last == "embed_tokens" || last == "wte" ? "embed_tokens" : last == "lm_head" ? "lm_head" : "";
}
std::string internal_table(const std::string& table) { return table == "lm_head" ? table : "model." + table; }

std::map<std::string, std::vector<std::int64_t>> read_token_rows(const Json& config,
                                                                 const std::string& where) {
  std::map<std::string, std::vector<std::int64_t>> rows;
  const char* key = "trainable_token_indices";
  if (!config.contains(key) || config.at(key).is_null()) return rows;
  Json tables = config.at(key);
  if (tables.is_array()) tables = Json{{"embed_tokens", tables}};
  require(tables.is_object(), where, ": '", key, "' is neither a list of ids nor lists by module");
  for (const auto& [module, ids] : tables.items()) {
    const std::string table = table_of(module);
    require(!table.empty(), where, ": '", key, "' names '", module, "', which is no table of tokens");
    std::vector<std::int64_t>& list = rows[table];
    for (const Json& id : ids) {
      require(id.is_number_integer() && id.get<std::int64_t>() >= 0 &&
                  id.get<std::int64_t>() < (std::int64_t{1} << 24),
              where, ": '", key, "' holds ", id.dump().substr(0, 40), ", which is no token id");
      list.push_back(id.get<std::int64_t>());
    }
    require(std::set<std::int64_t>(list.begin(), list.end()).size() == list.size(), where, ": '", key,
            "' names an id twice");
    if (list.empty()) rows.erase(table);
  }
  return rows;
}

std::string without_weight(const std::string& name) {
  const std::string end = ".weight";
  return name.ends_with(end) ? name.substr(0, name.size() - end.size()) : name;
}

// Module names inside the decoder <-> on disk, for modules that are one matrix in both.
std::map<std::string, std::string> disk_modules(const Family& family, const DecoderSpec& spec) {
  std::map<std::string, std::string> names;
  for (const NameRule& rule : family.names(spec)) {
    if (rule.internal.size() == 1 && !rule.transposed)
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

// A key that changes the maths must have its neutral value.
void must_be(const Json& config, const char* key, const std::vector<Json>& neutral, const std::string& where) {
  if (!config.contains(key) || config.at(key).is_null()) return;
  for (const Json& value : neutral) {
    if (config.at(key) == value) return;
  }
  fail(where, ": '", key, "' is ", config.at(key).dump().substr(0, 80), ", which is not supported; merge the adapter with PEFT first");
}

}  // namespace

bool is_adapter_folder(const std::string& folder) { return fs::exists(fs::path(folder) / kPeftConfig); }

PeftAdapter read_peft_config(const std::string& folder) {
  const std::string path = folder + "/" + kPeftConfig;
  const Json config = read_json(path);
  require(json_get_or<std::string>(config, "peft_type", "LORA", path) == "LORA", path, ": wanted peft_type LORA, found ",
          config.value("peft_type", std::string()));
  must_be(config, "bias", {"none"}, path);
  must_be(config, "rank_pattern", {Json::object()}, path);
  must_be(config, "alpha_pattern", {Json::object()}, path);
  must_be(config, "modules_to_save", {Json::array()}, path);
  must_be(config, "fan_in_fan_out", {false}, path);
  must_be(config, "layer_replication", {Json::array()}, path);
  must_be(config, "lora_bias", {false}, path);
  must_be(config, "target_parameters", {Json::array()}, path);
  must_be(config, "alora_invocation_tokens", {Json::array()}, path);
  must_be(config, "use_qalora", {false}, path);
  for (const char* key : {"use_bdlora", "arrow_config", "kasa_config", "monteclora_config"}) must_be(config, key, {false}, path);
  // pissa, olora, corda, loftq and lora_ga train against a base that they changed.
  must_be(config, "init_lora_weights", {true, false, "gaussian", "eva", "orthogonal"}, path);
  PeftAdapter adapter;
  adapter.kind = json_get_or<bool>(config, "use_dora", false, path) ? "dora" : "lora";
  adapter.rank = json_get<std::int64_t>(config, "r", path);
  adapter.alpha = json_get<double>(config, "lora_alpha", path);
  adapter.dropout = json_get_or<double>(config, "lora_dropout", 0.0, path);
  adapter.rank_stabilised = json_get_or<bool>(config, "use_rslora", false, path);
  adapter.base = json_get_or<std::string>(config, "base_model_name_or_path", "", path);
  require(adapter.rank >= 1 && adapter.rank <= 65536, path, ": r is ", adapter.rank);
  adapter.token_rows = read_token_rows(config, path);
  const Json targets = config.value("target_modules", Json::array());
  if (targets.is_string()) adapter.targets = {targets.get<std::string>()};
  if (targets.is_array()) adapter.targets = targets.get<std::vector<std::string>>();
  return adapter;
}

PeftAdapter read_peft(const std::string& folder, const Family& family, const DecoderSpec& spec) {
  PeftAdapter adapter = read_peft_config(folder);
  const std::string path = folder + "/" + kPeftTensors;
  require(fs::exists(path), path, " is missing");
  std::map<std::string, std::string> internal;
  for (const auto& [ours, theirs] : disk_modules(family, spec)) internal.emplace(theirs, ours);
  const auto shapes = matrices(spec);
  for (BundleTensor& tensor : read_safetensors(path).tensors) {
    const std::string name = tensor.name.starts_with(kPrefix) ? tensor.name.substr(std::string(kPrefix).size()) : tensor.name;
    if (name.ends_with(kTokenPart)) {
      const std::string table = table_of(name.substr(0, name.size() - std::string(kTokenPart).size()));
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
    require(place.has_value(), path, ": tensor '", tensor.name, "' is no part of a LoRA adapter that is known here");
    const auto found = internal.find(place->module);
    const std::string module = found == internal.end() ? place->module : found->second;
    const auto shape = shapes.find(module);
    require(shape != shapes.end(), path, ": tensor '", tensor.name, "' adapts a module that the base does not have");
    check_shape(tensor, *place, adapter, shape->second, path);
    tensor.name = module + place->part;
    adapter.tensors.push_back(std::move(tensor));
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

Json peft_config(const PeftAdapter& adapter) {
  Json config = Json::object();
  config["peft_type"] = "LORA";
  config["task_type"] = "CAUSAL_LM";
  config["base_model_name_or_path"] = adapter.base;
  config["r"] = adapter.rank;
  const bool whole = adapter.alpha == std::floor(adapter.alpha) && adapter.alpha < 1e9;  // PEFT declares an integer
  config["lora_alpha"] = whole ? Json(static_cast<std::int64_t>(adapter.alpha)) : Json(adapter.alpha);
  config["lora_dropout"] = adapter.dropout;
  config["use_rslora"] = adapter.rank_stabilised;
  config["use_dora"] = adapter.kind == "dora";
  config["target_modules"] = adapter.targets;
  config["bias"] = "none";
  config["fan_in_fan_out"] = false;
  config["inference_mode"] = true;
  config["init_lora_weights"] = true;
  config["modules_to_save"] = nullptr;
  config["rank_pattern"] = Json::object();
  config["alpha_pattern"] = Json::object();
  if (!adapter.token_rows.empty()) config["trainable_token_indices"] = adapter.token_rows;
  return config;
}

std::vector<std::string> peft_targets(const PeftAdapter& adapter, const Family& family, const DecoderSpec& spec) {
  const auto names = disk_modules(family, spec);
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

std::vector<BundleTensor> peft_tensors(const PeftAdapter& adapter, const Family& family, const DecoderSpec& spec,
                                       bool exact) {
  const auto names = disk_modules(family, spec);
  std::vector<BundleTensor> tensors;
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
    const auto found = names.find(place->module);
    require(found != names.end() || !exact, "an adapter of a ", family.name, " cannot be written for PEFT: '",
            place->module, "' is stored fused with others or transposed there; export the merged model instead (format: "
            "huggingface)");
    const std::string part = place->part == kParts[2] ? ".lora_magnitude_vector" : place->part;
    tensor.name = kPrefix + (found == names.end() ? place->module : found->second) + part;
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace lathe
