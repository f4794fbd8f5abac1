// adapter_config.json of PEFT: reading, where what is not supported is refused by name, and writing.
#include <cmath>
#include <set>

#include "checkpoints/formats/peft.h"

namespace lathe {
namespace {

std::map<std::string, std::vector<std::int64_t>> read_token_rows(const Json& config,
                                                                 const std::string& where) {
  std::map<std::string, std::vector<std::int64_t>> rows;
  const char* key = "trainable_token_indices";
  if (!config.contains(key) || config.at(key).is_null()) return rows;
  Json tables = config.at(key);
  if (tables.is_array()) tables = Json{{"embed_tokens", tables}};
  require(tables.is_object(), where, ": '", key, "' is neither a list of ids nor lists by module");
  for (const auto& [module, ids] : tables.items()) {
    const std::string table = token_table(module);
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

// A key that changes the maths must have its neutral value.
void must_be(const Json& config, const char* key, const std::vector<Json>& neutral,
             const std::string& where) {
  if (!config.contains(key) || config.at(key).is_null()) return;
  for (const Json& value : neutral) {
    if (config.at(key) == value) return;
  }
  fail(where, ": '", key, "' is ", config.at(key).dump().substr(0, 80),
       ", which is not supported; merge the adapter with PEFT first");
}

double scale_of(double alpha, double rank, bool rank_stabilised) {
  return alpha / (rank_stabilised ? std::sqrt(rank) : rank);
}

// Patterns give some modules another rank. Supported where the scale stays the same, as fused modules need
// it.
void check_patterns(const Json& config, const PeftAdapter& adapter, const std::string& where) {
  const auto pattern = [&](const char* key) {
    const Json found = config.value(key, Json(nullptr));
    return found.is_object() ? found : Json::object();
  };
  const Json ranks = pattern("rank_pattern"), alphas = pattern("alpha_pattern");
  const auto number = [](const Json& given, const std::string& key, double otherwise) {
    if (!given.contains(key)) return otherwise;
    return given[key].is_number() ? given[key].get<double>() : std::nan("");
  };
  const double wanted = scale_of(adapter.alpha, static_cast<double>(adapter.rank), adapter.rank_stabilised);
  const auto check = [&](const Json& keys, const char* name) {
    for (const auto& [key, value] : keys.items()) {
      const double rank = number(ranks, key, static_cast<double>(adapter.rank)),
                   alpha = number(alphas, key, adapter.alpha);
      const double found = scale_of(alpha, rank, adapter.rank_stabilised);
      if (!(std::abs(found - wanted) <= 1e-9 * std::abs(wanted)))
        must_be(config, name, {Json::object()}, where);
    }
  };
  check(ranks, "rank_pattern");
  check(alphas, "alpha_pattern");
}

}  // namespace

std::string token_table(const std::string& module) {
  const std::string last = module.substr(module.rfind('.') + 1);
  return last == "embed_tokens" || last == "wte" ? "embed_tokens" : last == "lm_head" ? "lm_head" : "";
}

PeftAdapter read_peft_config(const std::string& folder) {
  const std::string path = folder + "/" + kPeftConfig;
  const Json config = read_json(path);
  require(json_get_or<std::string>(config, "peft_type", "LORA", path) == "LORA", path,
          ": wanted peft_type LORA, found ", config.value("peft_type", std::string()));
  must_be(config, "bias", {"none"}, path);
  must_be(config, "modules_to_save", {Json::array()}, path);
  must_be(config, "layer_replication", {Json::array()}, path);
  must_be(config, "lora_bias", {false}, path);
  must_be(config, "target_parameters", {Json::array()}, path);
  must_be(config, "alora_invocation_tokens", {Json::array()}, path);
  must_be(config, "use_qalora", {false}, path);
  for (const char* key : {"use_bdlora", "arrow_config", "kasa_config", "monteclora_config"})
    must_be(config, key, {false}, path);
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
  check_patterns(config, adapter, path);
  adapter.token_rows = read_token_rows(config, path);
  const Json targets = config.value("target_modules", Json::array());
  if (targets.is_string()) adapter.targets = {targets.get<std::string>()};
  if (targets.is_array()) adapter.targets = targets.get<std::vector<std::string>>();
  return adapter;
}

Json peft_config(const PeftAdapter& adapter) {
  Json config = Json::object();
  config["peft_type"] = "LORA";
  config["task_type"] = "CAUSAL_LM";
  config["base_model_name_or_path"] = adapter.base;
  config["r"] = adapter.rank;
  const bool whole =
      adapter.alpha == std::floor(adapter.alpha) && adapter.alpha < 1e9;  // PEFT declares an integer
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

}  // namespace lathe
