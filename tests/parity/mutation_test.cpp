// Each field of config.json that means something moves the logits, or is refused: a decoder that ignored one
// would pass the other parity tests only by luck. Every field of the goldens' configs is named here, in one
// list or the other.
#include <ATen/core/Tensor.h>

#include <optional>
#include <regex>
#include <set>

#include "recipes/schema/error.h"
#include "tests/catch.h"
#include "tests/parity/golden.h"

using namespace lathe;

namespace {

struct Mutation {
  std::string golden, field;
  Json value;
  bool refused = false;                     // the weights no longer fit, or the decoder cannot do it
  double moves = 100 * golden::kTolerance;  // below 0: it must not
};

// The original weights under a changed config; nothing when they do not fit. A tensor that the new config
// lacks is left out.
std::optional<at::Tensor> mutated_logits(const golden::Golden& golden, const Json& config) {
  try {
    const DecoderSpec spec = family_of_config(config, golden.folder).describe(config, golden.folder);
    std::set<std::string> wanted;
    for (const ParameterInfo& info : decoder_parameters(spec)) wanted.insert(info.name);
    std::vector<BundleTensor> tensors;
    for (const BundleTensor& t : golden.bundle.tensors) {
      if (wanted.count(t.name)) tensors.push_back(t);
    }
    Decoder decoder(spec, at::kFloat);
    load_parameters(decoder, tensors);
    return golden::logits_of(decoder, golden.batch());
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::vector<Mutation> mutations() {
  return {
      {"llama_gqa", "/hidden_size", 48, true},
      {"llama_gqa", "/intermediate_size", 64, true},
      {"llama_gqa", "/num_hidden_layers", 1},
      {"llama_gqa", "/num_attention_heads", 2, true},
      {"llama_gqa", "/num_key_value_heads", 4, true},
      {"llama_gqa", "/head_dim", 6, true},
      {"llama_gqa", "/vocab_size", 47, true},
      {"llama_gqa", "/rms_norm_eps", 1e-5},
      {"llama_gqa", "/tie_word_embeddings", true},
      {"llama_gqa", "/hidden_act", "gelu", true},
      {"llama_gqa", "/attention_bias", true, true},
      {"llama_gqa", "/mlp_bias", true, true},
      {"llama_gqa", "/model_type", "gemma", true},
      {"llama_gqa", "/rope_parameters/rope_theta", 400.0},
      {"llama_gqa", "/rope_parameters/rope_type", "proportional", true},
      {"llama_gqa", "/rope_parameters/partial_rotary_factor", 0.5, true},
      {"llama_gqa", "/is_causal", false, true},
      {"llama_gqa", "/is_causal", nullptr, true},  // transformers attends both ways then, too
      {"llama_gqa", "/per_layer_config", {{"0", {{"hidden_act", "gelu"}}}}, true},
      {"llama_gqa", "/compression_config", {{"format", "int-quantized"}}, true},
      {"llama_gqa",
       "/rope_scaling",
       {{"rope_type", "linear"}, {"factor", 2.0}},
       true},  // another theta than the section's
      {"llama_biases", "/attention_bias", false},
      {"llama_biases", "/mlp_bias", false},
      {"llama_linear", "/rope_parameters/factor", 2.5},
      {"llama_linear", "/rope_parameters/rope_type", "dynamic"},
      {"llama_linear", "/rope_parameters/rope_type", "default"},
      {"llama_dynamic", "/rope_parameters/factor", 2.5},
      {"llama_dynamic", "/max_position_embeddings", 20},
      {"llama_tied_llama3", "/rope_parameters/factor", 6.0},
      {"llama_tied_llama3", "/rope_parameters/low_freq_factor", 1.5},
      {"llama_tied_llama3", "/rope_parameters/high_freq_factor", 3.0},
      {"llama_tied_llama3", "/rope_parameters/original_max_position_embeddings", 24},
      {"llama_tied_llama3", "/tie_word_embeddings", false, true},
      {"llama_yarn", "/rope_parameters/factor", 3.0},
      {"llama_yarn", "/rope_parameters/beta_fast", 4.0},
      {"llama_yarn", "/rope_parameters/beta_slow", 0.6},
      {"llama_yarn", "/rope_parameters/original_max_position_embeddings", 12},
      {"llama_yarn", "/rope_parameters/attention_factor", 1.3},
      {"llama_yarn_exact", "/rope_parameters/truncate", true},
      {"llama_yarn_exact", "/rope_parameters/mscale", 1.2},
      {"llama_yarn_exact", "/rope_parameters/mscale_all_dim", 0.9},
      {"llama_yarn_exact", "/rope_parameters/mscale", nullptr},
      {"llama_longrope", "/rope_parameters/rope_type", "default"},
      {"llama_longrope", "/rope_parameters/factor", 5.0},
      {"llama_longrope", "/rope_parameters/factor", nullptr},  // then 64 / 24
      {"llama_longrope", "/rope_parameters/attention_factor", 1.3},
      {"llama_longrope", "/rope_parameters/long_factor", {1.2, 1.9, 2.7, 2.0}},
      {"llama_longrope", "/rope_parameters/long_factor", {1.2, 1.9, 2.7}, true},
      {"llama_longrope", "/rope_parameters/short_factor", {1.0, 1.1, 1.3}, true},
      {"llama_longrope", "/rope_parameters/original_max_position_embeddings", 64},  // now the short factors
      {"llama_longrope", "/original_max_position_embeddings", 64},  // beside the section: it wins
      {"gpt2", "/is_causal", false, true},
      {"gpt2", "/hidden_size", 48, true},  // n_embd says 24
      {"gpt2", "/activation_function", "relu"},
      {"gpt2", "/layer_norm_epsilon", 1e-5},
      {"gpt2", "/n_head", 2},
      {"gpt2", "/n_layer", 1},
      {"gpt2", "/n_embd", 48, true},
      {"gpt2", "/n_positions", 64, true},
      {"gpt2", "/n_inner", 48, true},
      {"gpt2", "/vocab_size", 40, true},
      {"gpt2", "/scale_attn_weights", false},
      {"gpt2", "/scale_attn_by_inverse_layer_idx", true, true},
      {"gpt2", "/add_cross_attention", true, true},
      {"gpt2", "/tie_word_embeddings", false, true},
      {"mistral", "/is_causal", false, true},
      {"mistral", "/sliding_window", 8},
      {"mistral", "/sliding_window", nullptr},
      {"mistral", "/layer_types", {"sliding_attention", "full_attention"}, true},
      {"mistral", "/attention_bias", true, true},
      {"mistral", "/rms_norm_eps", 1e-5},
      {"mistral", "/rope_parameters/rope_theta", 400.0},
      {"mistral", "/hidden_act", "gelu", true},
      {"mistral", "/model_type", "llama", true},
      {"mistral", "/head_dim", 6, true},
      {"qwen2", "/is_causal", false, true},
      {"qwen2", "/sliding_window", 8},
      {"qwen2", "/use_sliding_window", false, true},  // a layer is sliding, but has no window
      {"qwen2", "/layer_types", {"full_attention", "full_attention"}},
      {"qwen2", "/layer_types", {"sliding_attention", "full_attention"}},
      {"qwen2", "/layer_types", {"full_attention", "chunked_attention"}, true},
      {"qwen2", "/layer_types", {"full_attention"}, true},
      {"qwen2", "/rms_norm_eps", 1e-5},
      {"qwen2", "/tie_word_embeddings", true},
      {"qwen2", "/use_mrope", true, true},
      {"qwen2", "/model_type", "llama", true},
      {"qwen3", "/is_causal", false, true},
      {"qwen3", "/sliding_window", 8},
      {"qwen3", "/attention_bias", false},
      {"qwen3", "/rms_norm_eps", 1e-5},
      {"qwen3", "/tie_word_embeddings", false, true},
      {"qwen3", "/layer_types", {"full_attention", "full_attention"}},
      {"qwen3", "/rope_parameters/rope_theta", 400.0},
      {"qwen3", "/model_type", "qwen2"},
      {"gemma2", "/is_causal", false, true},
      {"gemma2", "/attn_logit_softcapping", 1.7},
      {"gemma2", "/attn_logit_softcapping", nullptr},
      {"gemma2", "/final_logit_softcapping", 3.0},
      {"gemma2", "/final_logit_softcapping", nullptr},
      {"gemma2", "/query_pre_attn_scalar", 22},
      {"gemma2", "/sliding_window", 8},
      {"gemma2", "/sliding_window", nullptr, true},
      {"gemma2", "/layer_types", {"full_attention", "sliding_attention"}},
      {"gemma2", "/rms_norm_eps", 1e-5},
      {"gemma2", "/hidden_activation", "gelu", true},
      {"gemma2", "/rope_parameters/rope_theta", 400.0},
      {"gemma2", "/use_bidirectional_attention", true, true},
      {"gemma2", "/attention_bias", true, true},
      {"gemma2", "/tie_word_embeddings", true},
      {"gemma3", "/is_causal", false, true},
      {"gemma3", "/final_logit_softcapping", 7.0},
      {"gemma3", "/attn_logit_softcapping", 50.0, true},  // transformers would not apply it
      {"gemma3", "/query_pre_attn_scalar", 22},
      {"gemma3", "/sliding_window", 8},
      {"gemma3", "/layer_types", {"full_attention", "full_attention", "sliding_attention"}},
      {"gemma3", "/rms_norm_eps", 1e-5},
      {"gemma3", "/attention_bias", false},
      {"gemma3", "/rope_parameters/full_attention/factor", 2.5},
      {"gemma3", "/rope_parameters/full_attention/rope_theta", 120.0},
      {"gemma3", "/rope_parameters/full_attention/rope_type", "default"},
      {"gemma3", "/rope_parameters/sliding_attention/rope_theta", 30.0},
      {"gemma3", "/rope_parameters/sliding_attention/rope_type", "longrope", true},  // without its factors
      {"gemma3", "/tie_word_embeddings", false, true},
      {"gemma3", "/model_type", "gemma2", true},
  };
}

// Fields that no forward pass of a language model reads.
const std::set<std::string> kSilent = {
    "architectures",
    "attention_dropout",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "dtype",
    "initializer_range",
    "pretraining_tp",
    "transformers_version",
    "use_cache",
    "attn_pdrop",
    "embd_pdrop",
    "resid_pdrop",
    "reorder_and_upcast_attn",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "n_ctx",
    "max_window_layers",  // layer_types says it, and wins; see mutations_of_4
    "_sliding_window_pattern"};

}  // namespace

TEST_CASE("a field of config.json that is changed moves the logits") {
  for (const Mutation& mutation : mutations()) {
    INFO(mutation.golden << " " << mutation.field << " = " << mutation.value.dump());
    const golden::Golden golden = golden::load(mutation.golden);
    Json config = golden.bundle.config;
    config[Json::json_pointer(mutation.field)] = mutation.value;
    const auto logits = mutated_logits(golden, config);
    CHECK(logits.has_value() != mutation.refused);
    if (logits) CHECK(golden::error_of(*logits, golden.tensor("logits")) > mutation.moves);
  }
}

TEST_CASE("heads are grouped as the config says") {  // same shapes, other grouping
  const golden::Golden golden = golden::load("llama_gqa");
  Json config = golden.bundle.config;
  config["num_attention_heads"] = 2;
  config["num_key_value_heads"] = 1;
  config["head_dim"] = 16;
  const auto logits = mutated_logits(golden, config);
  REQUIRE(logits.has_value());
  CHECK(golden::error_of(*logits, golden.tensor("logits")) > 100 * golden::kTolerance);
}

TEST_CASE("every field of the goldens' configs is accounted for") {
  std::set<std::string> covered;
  for (const Mutation& mutation : mutations()) covered.insert(mutation.field);
  const auto account = [&](const std::string& pointer, const std::string& name) {
    INFO(pointer);
    CHECK((covered.count(pointer) > 0 || kSilent.count(name) > 0));
  };
  for (const std::string& name : golden::names()) {
    const Json fields = golden::load(name).bundle.config.flatten();
    for (const auto& [pointer, value] : fields.items()) {
      const std::string path =
          std::regex_replace(pointer, std::regex("/[0-9]+$"), "");  // lists count as one field
      account(path, path.substr(path.rfind('/') + 1));
    }
  }
}

namespace {

// The config of a golden as transformers 4 saves it; "layer_types" goes where another key derives them.
Json spelled_as_4(const golden::Golden& golden) {
  Json config = golden.bundle.config;
  config.erase("layer_types");
  if (!config.contains("rope_parameters")) return config;
  Json rope = config["rope_parameters"];
  config.erase("rope_parameters");
  if (rope.contains("sliding_attention")) {
    config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"];
    rope = Json(rope["full_attention"]);
  }
  config["rope_theta"] = rope["rope_theta"];
  rope.erase("rope_theta");
  config["rope_scaling"] = rope["rope_type"] == "default" ? Json(nullptr) : rope;
  return config;
}

// Over that spelling.
std::vector<Mutation> mutations_of_4() {
  return {
      {"llama_gqa", "/rope_theta", 400.0},
      {"llama_gqa", "/rope_scaling", {{"rope_type", "linear"}, {"factor", 2.0}}},
      {"llama_gqa",
       "/rope_scaling",
       {{"type", "dynamic"}, {"factor", 2.0}},
       false,
       -1},  // 64 positions: not beyond
      {"llama_gqa", "/rope_scaling", {{"rope_type", "axial"}}, true},
      {"llama_linear", "/rope_scaling/factor", 2.5},
      {"llama_linear", "/rope_scaling", nullptr},
      {"llama_linear", "/rope_theta", 120.0},
      {"llama_dynamic", "/rope_scaling/factor", 2.5},
      {"llama_tied_llama3", "/rope_scaling/factor", 6.0},
      {"llama_tied_llama3", "/rope_scaling/low_freq_factor", 1.5},
      {"llama_tied_llama3", "/rope_scaling/high_freq_factor", 3.0},
      {"llama_tied_llama3", "/rope_scaling/original_max_position_embeddings", 24},
      {"llama_yarn", "/rope_scaling/beta_fast", 4.0},
      {"llama_yarn", "/rope_scaling/beta_slow", 0.6},
      {"llama_yarn", "/rope_scaling/attention_factor", 1.3},
      {"llama_yarn_exact", "/rope_scaling/truncate", true},
      {"llama_yarn_exact", "/rope_scaling/mscale", 1.2},
      {"llama_yarn_exact", "/rope_scaling/mscale_all_dim", 0.9},
      {"llama_longrope", "/rope_scaling/long_factor", {1.2, 1.9, 2.7, 2.0}},
      {"llama_longrope", "/rope_scaling/original_max_position_embeddings", 64},
      {"mistral", "/sliding_window", 8},
      {"mistral", "/rope_theta", 400.0},
      {"qwen2", "/max_window_layers", 0},
      {"qwen2", "/max_window_layers", 2},
      {"qwen2", "/use_sliding_window", false},
      {"qwen2", "/sliding_window", 8},
      {"qwen2", "/rope_scaling/factor", 3.0},
      {"qwen3", "/max_window_layers", 0},
      {"qwen3", "/max_window_layers", 2},
      {"qwen3", "/use_sliding_window", false},
      {"gemma2", "/sliding_window", 8},
      {"gemma2", "/sliding_window_pattern", 1, false, -1},  // transformers alternates whatever it says
      {"gemma2", "/rope_theta", 400.0},
      {"gemma3", "/sliding_window_pattern", 1},
      {"gemma3", "/sliding_window_pattern", 3},
      {"gemma3", "/rope_local_base_freq", 30.0},
      {"gemma3", "/rope_theta", 120.0},
      {"gemma3", "/rope_scaling/factor", 2.5},
      {"gemma3", "/rope_scaling", nullptr},
  };
}

}  // namespace

TEST_CASE("the spelling of transformers 4 means the same, and each of its fields moves the logits") {
  for (const std::string& name : golden::names()) {
    INFO(name);
    const golden::Golden golden = golden::load(name);
    Json config = spelled_as_4(golden);
    if (name == "gemma3")
      config["sliding_window_pattern"] = 2;  // of its three layers the second has no window
    const auto logits = mutated_logits(golden, config);
    REQUIRE(logits.has_value());
    CHECK(golden::error_of(*logits, golden.tensor("logits")) < golden::kTolerance);
  }
  for (const Mutation& mutation : mutations_of_4()) {
    INFO(mutation.golden << " " << mutation.field << " = " << mutation.value.dump());
    const golden::Golden golden = golden::load(mutation.golden);
    Json config = spelled_as_4(golden);
    if (mutation.golden == "gemma3") config["sliding_window_pattern"] = 2;
    config[Json::json_pointer(mutation.field)] = mutation.value;
    const auto logits = mutated_logits(golden, config);
    CHECK(logits.has_value() != mutation.refused);
    if (!logits) continue;
    const double error = golden::error_of(*logits, golden.tensor("logits"));
    CHECK((mutation.moves < 0 ? error < golden::kTolerance : error > mutation.moves));
  }
}

TEST_CASE("a silent field is silent") {
  const golden::Golden golden = golden::load("llama_gqa");
  Json config = golden.bundle.config;
  config["initializer_range"] = 0.5;
  config["use_cache"] = false;
  const auto logits = mutated_logits(golden, config);
  REQUIRE(logits.has_value());
  CHECK(golden::error_of(*logits, golden.tensor("logits")) < golden::kTolerance);
}
