// Bundles of every family as GGUF: names, layouts, types by tensor, tables, and the way back from the file
// alone.
#include <cmath>
#include <set>

#include "checkpoints/bundle/gguf_bundle.h"
#include "checkpoints/bundle/stop_tokens.h"
#include "checkpoints/exporters/exporter.h"
#include "checkpoints/exporters/gguf_model.h"
#include "checkpoints/exporters/gguf_tokenizer.h"
#include "checkpoints/formats/block_rows.h"
#include "data/tokenizers/byte_alphabet.h"
#include "data/tokenizers/load.h"
#include "tests/unit/checkpoints/support.h"

namespace lathe {
namespace {

// A token a byte, three merges, an end token and a user's token; the pre-tokenizer is GPT-2's unless told
// otherwise.
Json byte_tokenizer(const Json& pre = {
                        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}) {
  Json vocabulary = {{"<|end|>", 0}};
  for (const std::string& character : byte_characters()) vocabulary[character] = vocabulary.size();
  for (const char* text : {"th", "the", "in"}) vocabulary[text] = vocabulary.size();
  const Json added = Json::array({{{"id", 0}, {"content", "<|end|>"}, {"special", true}},
                                  {{"id", 260}, {"content", "<tool>"}, {"special", false}}});
  return {{"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer", pre},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model",
           {{"type", "BPE"},
            {"vocab", vocabulary},
            {"merges", Json::array({"t h", Json::array({"th", "e"}), "i n"})}}}};
}

std::shared_ptr<const Tokenizer> tokenizer_of(const Json& json) {
  Companions companions;
  companions.config = {{"eos_token", "<|end|>"}, {"chat_template", "{{ messages }}"}};
  companions.files.push_back({"tokenizer_config.json", companions.config.dump()});
  return tokenizer_from_json(json.dump(), companions, "test");
}

Bundle bundle_of(const std::string& family, const Json& changes = Json::object()) {
  Bundle bundle;
  bundle.family = &family_by_name(family);
  std::vector<RecipeProblem> problems;
  bundle.config = bundle.family->from_recipe({nullptr, "1m", 270, 64, -1, 0, -1}, problems);
  REQUIRE(problems.empty());
  bundle.config.update(changes);
  bundle.spec = bundle.family->describe(bundle.config, "test");
  float start = 0;
  for (const ParameterInfo& info : decoder_parameters(bundle.spec)) {
    std::vector<float> values = lathe::values_of(counting(info.name, info.shape, start++));
    for (float& value : values) value = std::sin(value * 0.37F);
    bundle.tensors.push_back(floats(info.name, info.shape, values));
  }
  bundle.tokenizer = tokenizer_of(byte_tokenizer());
  return bundle;
}

std::vector<Bundle> every_family() {
  return {bundle_of("llama", {{"num_key_value_heads", 1}, {"attention_bias", true}, {"mlp_bias", true}}),
          bundle_of("llama", {{"tie_word_embeddings", false},
                              {"rope_scaling",
                               {{"rope_type", "llama3"},
                                {"factor", 8.0},
                                {"low_freq_factor", 1.0},
                                {"high_freq_factor", 4.0},
                                {"original_max_position_embeddings", 16}}}}),
          bundle_of("llama", {{"rope_scaling",
                               {{"rope_type", "yarn"},
                                {"factor", 4.0},
                                {"attention_factor", 1.3},
                                {"original_max_position_embeddings", 16}}}}),
          bundle_of("mistral", {{"sliding_window", 24}}),
          bundle_of("qwen2", {{"rope_scaling", {{"rope_type", "linear"}, {"factor", 2.0}}}}),
          bundle_of("qwen3"),
          bundle_of("gemma2", {{"attn_logit_softcapping", 30.0}}),
          bundle_of("gemma3", {{"final_logit_softcapping", 12.0}, {"sliding_window", 8}}),
          bundle_of("gpt2")};
}

void export_to(const Bundle& bundle, const std::string& folder, const std::string& quantize) {
  ExportOptions options;
  options.directory = folder;
  options.quantize = quantize;
  export_gguf(bundle, options);
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return largest;
}

TEST_CASE("every family comes back from its own file: spec, tensors, tokenizer") {
  for (const Bundle& bundle : every_family()) {
    INFO(bundle.config.dump());
    TemporaryFolder folder;
    export_to(bundle, folder / "out", "f32");
    const Bundle back = read_gguf_bundle(folder / "out/model-F32.gguf");
    REQUIRE(back.tensors.size() == bundle.tensors.size());
    for (std::size_t i = 0; i < back.tensors.size(); ++i) {
      INFO(back.tensors[i].name);
      CHECK(back.tensors[i].name == bundle.tensors[i].name);
      CHECK(back.tensors[i].shape == bundle.tensors[i].shape);
      CHECK(largest_difference(lathe::values_of(back.tensors[i]), lathe::values_of(bundle.tensors[i])) <
            2e-7);
    }
    const DecoderSpec &found = back.spec, &wanted = bundle.spec;
    CHECK(found.windows == wanted.windows);
    CHECK(found.norm_eps == Approx(wanted.norm_eps));
    CHECK(found.rotary.theta == wanted.rotary.theta);
    CHECK(found.local_rotary.has_value() == wanted.local_rotary.has_value());
    CHECK(found.final_softcap == wanted.final_softcap);
    CHECK(found.qk_norm == wanted.qk_norm);
    CHECK(found.tie_embeddings == wanted.tie_embeddings);
    CHECK(found.activation == wanted.activation);
    CHECK(back.tokenizer->ids("the thin <tool>x") == bundle.tokenizer->ids("the thin <tool>x"));
    CHECK(back.tokenizer->decode(back.tokenizer->ids("the \xC3\xA9")) == "the \xC3\xA9");
    CHECK(back.tokenizer->special().eos == bundle.tokenizer->special().eos);
  }
}

TEST_CASE("in a mix the values are those that gguf_values promises") {
  const Bundle bundle = bundle_of("llama", {{"hidden_size", 256},
                                            {"intermediate_size", 512},
                                            {"num_attention_heads", 4},
                                            {"num_key_value_heads", 2},
                                            {"head_dim", 64},
                                            {"num_hidden_layers", 8}});
  for (const char* quantize : {"f16", "bf16", "q8_0", "q4_k_m"}) {
    TemporaryFolder folder;
    export_to(bundle, folder / "out", quantize);
    const std::string file = gguf_in_folder(folder / "out");
    const Bundle back = read_gguf_bundle(file);
    const std::vector<BundleTensor> promised = gguf_values(bundle, gguf_mix(quantize));
    double changed = 0;
    for (std::size_t i = 0; i < promised.size(); ++i) {
      INFO(quantize << " " << promised[i].name);
      const auto values = lathe::values_of(convert_tensor(back.tensors[i], DType::F32));
      CHECK(values == lathe::values_of(convert_tensor(promised[i], DType::F32)));
      const bool matrix = promised[i].shape.size() == 2, blocks = quantize[0] == 'q';
      CHECK((block_rows(promised[i]) != nullptr) == (matrix && blocks));  // not widened until they are used
      CHECK((block_rows(back.tensors[i]) != nullptr) == (matrix && blocks));
      changed = std::max(changed, largest_difference(values, lathe::values_of(bundle.tensors[i])));
    }
    CHECK(changed > 1e-5);
    CHECK(changed < 0.15);
  }
}

TEST_CASE("rows of queries and keys are stored in pairs for llama, as they are for qwen") {
  Bundle bundle = bundle_of("llama", {{"num_attention_heads", 2},
                                      {"num_key_value_heads", 1},
                                      {"head_dim", 4},
                                      {"hidden_size", 8},
                                      {"num_hidden_layers", 1},
                                      {"intermediate_size", 16}});
  const auto first_of_rows = [](const Bundle& b, const char* name) {
    for (const GgufTensor& tensor : gguf_tensors(b, GgufMix::F32)) {
      if (tensor.name != name) continue;
      const std::vector<float> values = lathe::values_of(widen_gguf(tensor));
      std::vector<int> rows;
      for (std::size_t i = 0; i < values.size(); i += 8) rows.push_back(static_cast<int>(values[i]));
      return rows;
    }
    return std::vector<int>{};
  };
  for (BundleTensor& tensor : bundle.tensors)
    if (tensor.name.ends_with("q_proj.weight")) tensor = counting(tensor.name, tensor.shape);
  CHECK(first_of_rows(bundle, "blk.0.attn_q.weight") == std::vector<int>{0, 16, 8, 24, 32, 48, 40, 56});
  bundle.family = &family_by_name("qwen3");
  CHECK(first_of_rows(bundle, "blk.0.attn_q.weight") == std::vector<int>{0, 8, 16, 24, 32, 40, 48, 56});
}

TEST_CASE("Q4_K_M gives each tensor the type that llama.cpp gives it") {
  const auto type = [](const std::string& name, std::int64_t layer, std::int64_t columns, bool tied = false,
                       std::int64_t layers = 32) {
    return gguf_type(GgufMix::Q4_K_M, {name, {64, columns}, layer, layers, tied});
  };
  CHECK(type("token_embd.weight", -1, 512) == GgmlType::Q4_K);
  CHECK(type("token_embd.weight", -1, 512, true) == GgmlType::Q6_K);
  CHECK(type("output.weight", -1, 512) == GgmlType::Q6_K);
  CHECK(type("output.weight", -1, 96) == GgmlType::Q8_0);
  CHECK(type("blk.5.attn_q.weight", 5, 512) == GgmlType::Q4_K);
  CHECK(type("blk.5.attn_qkv.weight", 5, 512) == GgmlType::Q5_K);
  CHECK(type("blk.5.attn_qkv.weight", 5, 96) == GgmlType::Q5_1);
  CHECK(type("blk.5.ffn_up.weight", 5, 96) == GgmlType::Q5_0);
  CHECK(type("blk.5.ffn_up.weight", 5, 40) == GgmlType::F16);
  std::set<std::int64_t> more;
  for (std::int64_t layer = 0; layer < 32; ++layer) {
    CHECK(type("x.attn_v.weight", layer, 512) == type("x.ffn_down.weight", layer, 512));
    if (type("x.ffn_down.weight", layer, 512) == GgmlType::Q6_K) more.insert(layer);
  }
  CHECK(more == std::set<std::int64_t>{0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31});
  CHECK(type("x.ffn_down.weight", 0, 96) == GgmlType::Q8_0);  // Q6_K's neighbour
  CHECK(gguf_type(GgufMix::Q4_K_M, {"blk.0.attn_norm.weight", {512}, 0, 32, false}) == GgmlType::F32);
  CHECK(gguf_type(GgufMix::F16, {"position_embd.weight", {64, 512}, -1, 32, false}) == GgmlType::F32);
  CHECK(gguf_type(GgufMix::Q8_0, {"token_embd.weight", {64, 512}, -1, 32, true}) == GgmlType::Q8_0);
}

TEST_CASE("the metadata says what llama.cpp reads") {
  const Bundle bundle =
      bundle_of("gemma3", {{"sliding_window", 8},
                           {"num_hidden_layers", 3},
                           {"layer_types", {"sliding_attention", "full_attention", "sliding_attention"}}});
  GgufMetadata metadata = gguf_model_metadata(bundle, GgufMix::Q8_0);
  const auto value = [&](const char* key) {
    const GgufValue* found = find_gguf(metadata, key);
    return found ? found->value : Json();
  };
  CHECK(value("general.architecture") == "gemma3");
  CHECK(value("general.file_type") == 7);
  CHECK(value("gemma3.attention.sliding_window") == 8);
  CHECK(value("gemma3.attention.sliding_window_pattern") == Json::array({true, false, true}));
  CHECK(value("gemma3.rope.freq_base") == 1e6F);
  CHECK(value("gemma3.rope.freq_base_swa") == 1e4F);
  CHECK(value("gemma3.context_length") == 64);
  add_gguf_tokenizer(bundle, metadata);
  CHECK(value("tokenizer.ggml.model") == "gpt2");
  CHECK(value("tokenizer.ggml.pre") == "gpt-2");
  CHECK(value("tokenizer.ggml.merges") == Json::array({"t h", "th e", "i n"}));
  CHECK(value("tokenizer.ggml.tokens").size() == 270);  // a row each, padded
  CHECK(value("tokenizer.ggml.tokens")[269] == "[PAD269]");
  CHECK(value("tokenizer.ggml.token_type")[0] == 3);
  CHECK(value("tokenizer.ggml.token_type")[1] == 1);
  CHECK(value("tokenizer.ggml.token_type")[260] == 4);
  CHECK(value("tokenizer.ggml.token_type")[269] == 5);
  CHECK(value("tokenizer.ggml.eos_token_id") == 0);
  CHECK(value("tokenizer.ggml.add_bos_token") == false);
  CHECK(value("tokenizer.chat_template") == "{{ messages }}");

  metadata = gguf_model_metadata(bundle_of("mistral", {{"sliding_window", 24}}), GgufMix::F16);
  CHECK(value("general.architecture") == "llama");
  CHECK(value("llama.context_length") == 24);  // llama.cpp has no windows there
  metadata = gguf_model_metadata(bundle_of("gemma2"), GgufMix::F16);
  CHECK(value("gemma2.attn_logit_softcapping") == 1e6F);  // absent would mean 50
}

TEST_CASE("the pre-tokenizer has llama.cpp's name, or the export is refused") {
  const auto name = [](const Json& pre, bool ignore_merges = false) {
    Bundle bundle = bundle_of("llama");
    Json json = byte_tokenizer(pre);
    json["model"]["ignore_merges"] = ignore_merges;
    bundle.tokenizer = tokenizer_of(json);
    GgufMetadata metadata;
    add_gguf_tokenizer(bundle, metadata);
    return find_gguf(metadata, "tokenizer.ggml.pre")->value.get<std::string>();
  };
  const auto split = [](const char* regex) {
    const Json first = {
        {"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}};
    const Json last = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
    return Json{{"type", "Sequence"}, {"pretokenizers", Json::array({first, last})}};
  };
  const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
  const Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  const char* llama3 =
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
      "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  const char* qwen2 =
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
      "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  CHECK(name(bytes) == "gpt-2");
  CHECK(name(split(llama3), true) == "llama-bpe");
  CHECK(name(split(llama3), false) == "llama-bpe");  // its merges reach every token, so it is the same
  CHECK(name(split(qwen2)) == "qwen2");
  CHECK(name({{"type", "Sequence"}, {"pretokenizers", Json::array({digits, bytes})}}) == "smollm");
  CHECK(error_of([&] { name(split("[a-z]+")); }).find("no name for the pre-tokenizer") != std::string::npos);
  CHECK(error_of([&] { name(split(qwen2), true); }).find("ignore_merges") != std::string::npos);
}

// As Llama 2 and Gemma have it in tokenizer.json: BPE over characters, bytes for what it does not know.
Json sentencepiece_tokenizer(bool prefix) {
  const std::string mark = "\xE2\x96\x81";
  Json vocabulary = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
  for (int byte = 0; byte < 256; ++byte) {
    const char* digits = "0123456789ABCDEF";
    vocabulary[std::string("<0x") + digits[byte / 16] + digits[byte % 16] + ">"] = vocabulary.size();
  }
  for (const std::string& text : {mark, std::string("t"), std::string("h"), std::string("e"),
                                  std::string("th"), std::string("he"), std::string("the"), mark + "the"})
    vocabulary[text] = vocabulary.size();
  Json added = Json::array();
  for (const char* text : {"<unk>", "<s>", "</s>"})
    added.push_back({{"id", vocabulary[text]}, {"content", text}, {"special", true}, {"normalized", false}});
  const Json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", mark}};
  Json steps = Json::array({replace});
  if (prefix) steps.insert(steps.begin(), Json{{"type", "Prepend"}, {"prepend", mark}});
  Json decoders = Json::array({Json{{"type", "Replace"}, {"pattern", {{"String", mark}}}, {"content", " "}},
                               Json{{"type", "ByteFallback"}}, Json{{"type", "Fuse"}}});
  if (prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"added_tokens", added},
          {"normalizer", {{"type", "Sequence"}, {"normalizers", steps}}},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", {{"type", "Sequence"}, {"decoders", decoders}}},
          {"model",
           {{"type", "BPE"},
            {"unk_token", "<unk>"},
            {"fuse_unk", true},
            {"byte_fallback", true},
            {"vocab", vocabulary},
            {"merges", Json::array({"h e", "t h", "t he", "th e", mark + " the"})}}}};
}

TEST_CASE("tokenizers of SentencePiece's that llama.cpp cannot run are refused by name") {
  Bundle bundle = bundle_of("llama", {{"eos_token_id", 2}});
  GgufMetadata metadata;
  Json json = sentencepiece_tokenizer(true);
  json["normalizer"]["normalizers"][0] = {
      {"type", "Replace"}, {"pattern", {{"Regex", "\\z"}}}, {"content", "\xE2\x96\x81"}};
  bundle.tokenizer = tokenizer_from_json(json.dump(), {}, "test");
  CHECK(error_of([&] { add_gguf_tokenizer(bundle, metadata); }).find("treat_whitespace_as_suffix") !=
        std::string::npos);
  // <unk> (type 2) and "a", of a model of words (trainer_spec's field 3 = 3): it has no tokenizer.json.
  const std::string words =
      "\x0a\x09\x0a\x05<unk>\x18\x02\x0a\x03\x0a\x01"
      "a\x12\x02\x18\x03";
  bundle.tokenizer = tokenizer_from_sentencepiece(words, {}, "test");
  CHECK(error_of([&] { add_gguf_tokenizer(bundle, metadata); }).find("whole words") != std::string::npos);
}

TEST_CASE("a SentencePiece-like tokenizer has scores, types and its prefix, and comes back") {
  for (const bool prefix : {true, false}) {
    Companions companions;
    companions.config = {{"eos_token", "</s>"}, {"bos_token", "<s>"}, {"unk_token", "<unk>"}};
    companions.files.push_back({"tokenizer_config.json", companions.config.dump()});
    Bundle bundle = bundle_of("llama", {{"eos_token_id", 2}});
    bundle.tokenizer = tokenizer_from_json(sentencepiece_tokenizer(prefix).dump(), companions, "test");
    GgufMetadata metadata;
    add_gguf_tokenizer(bundle, metadata);
    const auto value = [&](const char* key) {
      return find_gguf(metadata, std::string("tokenizer.ggml.") + key)->value;
    };
    CHECK(value("model") == "llama");
    CHECK(value("add_space_prefix") == prefix);
    CHECK(value("token_type")[0] == 2);  // unknown
    CHECK(value("token_type")[1] == 3);  // control
    CHECK(value("token_type")[3] == 6);  // <0x00>
    CHECK(value("token_type")[260] == 1);
    CHECK(value("scores")[264] == 0);     // "he": the first merge
    CHECK(value("scores")[263] == -1);    // "th"
    CHECK(value("scores")[265] == -2);    // "the": the first of its two
    CHECK(value("scores")[260] < -1000);  // "t": no merge makes it
    TemporaryFolder folder;
    export_to(bundle, folder / "out", "f32");
    const auto back = read_gguf_bundle(folder / "out/model-F32.gguf").tokenizer;
    for (const char* text : {"the the", " he thé x", "ththe", ""}) {
      CHECK(back->ids(text) == bundle.tokenizer->ids(text));
      CHECK(back->decode(back->ids(text)) == text);
    }
    CHECK(back->ids("the")[0] == (prefix ? 266U : 265U));
  }
}

TEST_CASE("what llama.cpp cannot run is refused with the reason") {
  const auto refused = [](const std::string& family, const Json& changes) {
    return error_of([&] { check_gguf_model(bundle_of(family, changes)); });
  };
  CHECK(refused("llama", {{"rope_scaling", {{"rope_type", "dynamic"}, {"factor", 2.0}}}}).find("dynamic") !=
        std::string::npos);
  const Json exact = {{"rope_type", "yarn"}, {"factor", 2.0}, {"truncate", false}};
  const Json halves = std::vector<double>(16, 1.5);
  const Json longrope = {{"rope_type", "longrope"}, {"short_factor", halves}, {"long_factor", halves}};
  for (const char* family : {"llama", "mistral", "qwen2", "qwen3", "gemma2"}) {
    CHECK(refused(family, {{"rope_scaling", exact}}).find("truncate") != std::string::npos);
    CHECK(refused(family, {{"rope_scaling", longrope}}).find("longrope") != std::string::npos);
  }
  CHECK(refused("gemma3", {{"rope_scaling", longrope}}).find("longrope") != std::string::npos);
  CHECK(refused("qwen3", {{"attention_bias", true}}).find("attention_bias") != std::string::npos);
  CHECK(refused("gpt2", {{"activation_function", "relu"}}).find("gelu_new") != std::string::npos);
  CHECK(refused("gemma2", {{"tie_word_embeddings", false}}).find("tie_word_embeddings") != std::string::npos);
  CHECK(refused("gemma3", {{"query_pre_attn_scalar", 99}}).find("query_pre_attn_scalar") !=
        std::string::npos);
  CHECK(error_of([] { gguf_mix("q2_k"); }).find("known are f32") != std::string::npos);
  Bundle broken = bundle_of("llama");
  for (BundleTensor& tensor : broken.tensors)
    if (tensor.name.ends_with("o_proj.weight")) {
      auto values = lathe::values_of(tensor);
      values[3] = 1e6F;
      tensor = floats(tensor.name, tensor.shape, values);
    }
  TemporaryFolder folder;
  CHECK(error_of([&] { export_to(broken, folder / "out", "f16"); }).find("use bf16") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder / "out"));
  Bundle bare = bundle_of("llama");
  bare.tokenizer = nullptr;
  CHECK(error_of([&] { export_to(bare, folder / "out", "f16"); }).find("has no tokenizer") !=
        std::string::npos);
}

TEST_CASE("the folder holds a Modelfile with the stops") {
  TemporaryFolder folder;
  Bundle bundle = bundle_of("llama");
  bundle.generation_config = {{"eos_token_id", {0, 260}}};
  export_to(bundle, folder / "out", "q8_0");
  const std::string modelfile = read_bytes(folder / "out/Modelfile");
  CHECK(modelfile.find("FROM ./model-Q8_0.gguf\n") != std::string::npos);
  CHECK(modelfile.find("PARAMETER stop \"<|end|>\"\n") != std::string::npos);
  CHECK(modelfile.find("PARAMETER stop \"<tool>\"\n") != std::string::npos);
  CHECK(modelfile.find("PARAMETER num_ctx 64\n") != std::string::npos);
  CHECK(modelfile.find("TEMPLATE") == std::string::npos);  // the file has a chat template
  CHECK(read_gguf_bundle(folder / "out/model-Q8_0.gguf").generation_config ==
        Json{{"eos_token_id", {0, 260}}});
}

TEST_CASE("every export names the token that the template closes a turn with") {
  // Phi's and Gemma's folders name the end of a text alone.
  Json json = byte_tokenizer();
  json["added_tokens"][1]["special"] = true;  // <tool>
  Companions companions;
  companions.config = {{"eos_token", "<|end|>"},
                       {"chat_template",
                        "{% for m in messages %}{{ m.role + ':' + m.content }}<tool>{% endfor %}"
                        "{% if add_generation_prompt %}assistant:{% endif %}"}};
  companions.files.push_back({"tokenizer_config.json", companions.config.dump()});
  Bundle bundle = bundle_of("llama");
  bundle.tokenizer = tokenizer_from_json(json.dump(), companions, "test");
  bundle.config["eos_token_id"] = 0;
  bundle.generation_config = {{"eos_token_id", 0}, {"temperature", 0.5}};
  CHECK(turn_end_of(bundle) == TokenId{260});
  CHECK(stop_ids_of(bundle) == std::vector<TokenId>{0, 260});
  CHECK(stop_objection(bundle).find("closes an answer with <tool> (260)") != std::string::npos);
  TemporaryFolder folder;
  ExportOptions options;
  options.directory = folder / "hf";
  export_huggingface(bundle, options);
  CHECK(Json::parse(read_bytes(folder / "hf/generation_config.json")) ==
        Json{{"eos_token_id", {0, 260}}, {"temperature", 0.5}});
  CHECK(stop_objection(read_bundle(folder / "hf")).empty());
  bundle.generation_config = {
      {"eos_token_id", {0, 1}}};  // of two others GGUF has room for one: the template's
  export_to(bundle, folder / "gguf", "q8_0");
  const Bundle back = read_gguf_bundle(folder / "gguf/model-Q8_0.gguf");
  CHECK(back.generation_config == Json{{"eos_token_id", {0, 260}}});
  CHECK(stop_objection(back).empty());
  CHECK(read_bytes(folder / "gguf/Modelfile").find("PARAMETER stop \"<tool>\"\n") != std::string::npos);
}

}  // namespace
}  // namespace lathe
