#include "checkpoints/bundle/gguf_config.h"

#include <cmath>
#include <limits>

#include "recipes/schema/error.h"

namespace lathe {

std::int64_t GgufKeys::number(const std::string& key, std::optional<std::int64_t> absent) const {
  const GgufValue* value = find(key);
  if (!value && absent) return *absent;
  const bool good = value && value->value.is_number_integer() && value->value >= 0 &&
                    value->value <= std::numeric_limits<std::int32_t>::max();
  require(good, where_, ": '", architecture_, ".", key, "' should be a whole number from 0 to 2^31, ",
          value ? value->value.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 80)
                : "it is missing");
  return value->value.get<std::int64_t>();
}

double GgufKeys::real(const std::string& key, std::optional<double> absent) const {
  const GgufValue* value = find(key);
  if (!value && absent) return *absent;
  require(value && value->value.is_number() && std::isfinite(value->value.get<double>()), where_, ": '",
          architecture_, ".", key, "' should be a number");
  return value->value.get<double>();
}

std::string GgufKeys::text(const std::string& whole_key) const {
  const GgufValue* value = find_gguf(file_.metadata, whole_key);
  require(value && value->value.is_string(), where_, ": '", whole_key, "' should be a string");
  return value->value.get<std::string>();
}

const GgufTensor* find_gguf_tensor(const GgufFile& file, const std::string& name) {
  for (const GgufTensor& tensor : file.tensors)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

namespace {

Json rope_scaling(const GgufKeys& keys, std::int64_t context) {
  const GgufValue* type = keys.find("rope.scaling.type");
  const std::string kind = type && type->value.is_string() ? type->value.get<std::string>() : "none";
  if (kind == "none") return nullptr;
  Json json = {{"rope_type", kind}, {"factor", keys.real("rope.scaling.factor")}};
  if (kind == "linear") return json;
  require(kind == "yarn", keys.where(), ": rope.scaling.type '", kind, "' is not supported");
  json["original_max_position_embeddings"] = keys.number("rope.scaling.original_context_length", context);
  json["beta_fast"] = keys.real("rope.scaling.yarn_beta_fast", 32);
  json["beta_slow"] = keys.real("rope.scaling.yarn_beta_slow", 1);
  const double factor = json["factor"].get<double>();
  const double usual = factor <= 1 ? 1 : 0.1 * std::log(factor) + 1;
  json["attention_factor"] = keys.real("rope.scaling.attn_factor", 1) * usual;
  return json;
}

Json layer_types(const GgufKeys& keys, std::int64_t layers, std::int64_t period) {
  Json types = Json::array();
  const GgufValue* pattern = keys.find("attention.sliding_window_pattern");
  const bool listed = pattern && pattern->kind == GgufKind::Array;
  if (listed)
    require(pattern->value.size() == static_cast<std::size_t>(layers), keys.where(),
            ": sliding_window_pattern has ", pattern->value.size(), " entries for ", layers, " layers");
  if (pattern && !listed) period = keys.number("attention.sliding_window_pattern");
  require(period > 0, keys.where(), ": sliding_window_pattern must be above 0");
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    const bool local =
        listed ? pattern->value[static_cast<std::size_t>(layer)] == true : (layer + 1) % period != 0;
    types.push_back(local ? "sliding_attention" : "full_attention");
  }
  return types;
}

// What all decoders with rotary positions share, in config.json's words.
Json dense_config(const GgufKeys& keys, const GgufFile& file) {
  const GgufValue* tokens = find_gguf(file.metadata, "tokenizer.ggml.tokens");
  const std::int64_t listed = tokens ? static_cast<std::int64_t>(tokens->value.size()) : 0;
  const std::int64_t context = keys.number("context_length"), heads = keys.number("attention.head_count");
  const std::int64_t hidden = keys.number("embedding_length");
  require(heads > 0, keys.where(), ": attention.head_count must be above 0");
  const std::int64_t head = keys.number("attention.key_length", hidden / heads);
  require(keys.number("attention.value_length", head) == head &&
              keys.number("rope.dimension_count", head) == head,
          keys.where(), ": heads of unequal widths, or turned in part, are not supported");
  return {{"vocab_size", keys.number("vocab_size", listed)},
          {"hidden_size", hidden},
          {"intermediate_size", keys.number("feed_forward_length")},
          {"num_hidden_layers", keys.number("block_count")},
          {"num_attention_heads", heads},
          {"num_key_value_heads", keys.number("attention.head_count_kv", heads)},
          {"head_dim", head},
          {"max_position_embeddings", context},
          {"rms_norm_eps", keys.real("attention.layer_norm_rms_epsilon")},
          {"rope_theta", keys.real("rope.freq_base", 10000)},
          {"rope_scaling", rope_scaling(keys, context)},
          {"tie_word_embeddings", find_gguf_tensor(file, "output.weight") == nullptr}};
}

Json llama_config(const GgufKeys& keys, const GgufFile& file) {
  Json config = dense_config(keys, file);
  const std::int64_t window = keys.number("attention.sliding_window", 0);
  config["model_type"] = window > 0 ? "mistral" : "llama";
  if (window > 0) config["sliding_window"] = window;
  config["attention_bias"] = find_gguf_tensor(file, "blk.0.attn_q.bias") != nullptr;
  config["mlp_bias"] = find_gguf_tensor(file, "blk.0.ffn_up.bias") != nullptr;
  if (window > 0)  // the context was kept inside the window
    for (const char* key : {"attention_bias", "mlp_bias"}) config.erase(key);
  return config;
}

Json qwen_config(const GgufKeys& keys, const GgufFile& file) {
  Json config = dense_config(keys, file);
  config["model_type"] = keys.architecture();
  return config;
}

// A cap this high changes no float: how a file says none where llama.cpp has a default.
Json cap_of(const GgufKeys& keys, const char* key, double absent) {
  constexpr double kNoCap = 1e6;
  const double cap = keys.real(key, absent);
  return cap >= kNoCap ? Json(nullptr) : Json(cap);
}

Json gemma_config(const GgufKeys& keys, const GgufFile& file) {
  const bool third = keys.architecture() == "gemma3";
  Json config = dense_config(keys, file);
  const std::int64_t layers = config["num_hidden_layers"], head = config["head_dim"];
  const std::int64_t hidden = config["hidden_size"], heads = config["num_attention_heads"];
  config["model_type"] = third ? "gemma3_text" : "gemma2";
  config["query_pre_attn_scalar"] = layers == (third ? 62 : 46) ? hidden / heads : head;
  if (!third || keys.has("attention.sliding_window")) {
    config["sliding_window"] = keys.number("attention.sliding_window", 4096);
    config["layer_types"] = layer_types(keys, layers, third ? 6 : 2);
  } else {
    config["layer_types"] =
        Json(std::vector<std::string>(static_cast<std::size_t>(layers), "full_attention"));
  }
  if (third) {
    config["rope_local_base_freq"] = keys.real("rope.freq_base_swa", 10000);
    if (keys.has("final_logit_softcapping"))
      config["final_logit_softcapping"] = keys.real("final_logit_softcapping");
  } else {
    config["attn_logit_softcapping"] = cap_of(keys, "attn_logit_softcapping", 50);
    config["final_logit_softcapping"] = cap_of(keys, "final_logit_softcapping", 30);
  }
  return config;
}

Json gpt2_config(const GgufKeys& keys, const GgufFile& file) {
  const GgufTensor* embedding = find_gguf_tensor(file, "token_embd.weight");
  require(embedding && embedding->shape.size() == 2, keys.where(), ": tensor 'token_embd.weight' is missing");
  return {{"model_type", "gpt2"},
          {"vocab_size", embedding->shape[0]},
          {"n_embd", keys.number("embedding_length")},
          {"n_layer", keys.number("block_count")},
          {"n_head", keys.number("attention.head_count")},
          {"n_inner", keys.number("feed_forward_length")},
          {"n_positions", keys.number("context_length")},
          {"layer_norm_epsilon", keys.real("attention.layer_norm_epsilon")},
          {"tie_word_embeddings", find_gguf_tensor(file, "output.weight") == nullptr}};
}

}  // namespace

Json gguf_config(const GgufKeys& keys, const GgufFile& file) {
  const std::string& architecture = keys.architecture();
  if (architecture == "llama") return llama_config(keys, file);
  if (architecture == "qwen2" || architecture == "qwen3") return qwen_config(keys, file);
  if (architecture == "gemma2" || architecture == "gemma3") return gemma_config(keys, file);
  if (architecture == "gpt2") return gpt2_config(keys, file);
  fail(keys.where(), ": architecture '", architecture,
       "' is not supported; supported are llama, qwen2, qwen3, gemma2, gemma3, gpt2");
}

}  // namespace lathe
