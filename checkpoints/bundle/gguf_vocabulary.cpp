// tokenizer.json from GGUF's tables, so that the tokenizer of an exported file is built from that file alone.
#include <map>
#include <optional>

#include "checkpoints/bundle/gguf_bundle.h"
#include "data/io/utf8.h"
#include "data/tokenizers/load.h"
#include "data/tokenizers/patterns.h"
#include "data/tokenizers/sentencepiece_model.h"
#include "data/tokenizers/tokenizer_json.h"

namespace lathe {

namespace {

class Tables {
 public:
  Tables(const GgufFile& file, std::string where) : file_(file), where_(std::move(where)) {}

  const Json& list(const char* name, GgufKind element, std::optional<std::size_t> size) const {
    const GgufValue* value = find(name);
    require(value && value->kind == GgufKind::Array && value->element == element, where_,
            ": 'tokenizer.ggml.", name, "' should be an array of ", gguf_kind_name(element));
    require(!size || value->value.size() == *size, where_, ": 'tokenizer.ggml.", name, "' has ",
            value->value.size(), " entries for ", size.value_or(0), " tokens");
    if (element == GgufKind::String)
      for (const Json& text : value->value) check_utf8(text, name);
    return value->value;
  }
  std::string text(const char* name, const std::string& absent) const {
    const GgufValue* value = find(name);
    if (!value) return absent;
    require(value->value.is_string(), where_, ": 'tokenizer.ggml.", name, "' should be a string");
    check_utf8(value->value, name);
    return value->value.get<std::string>();
  }
  bool flag(const char* name, bool absent) const {
    const GgufValue* value = find(name);
    return value && value->kind == GgufKind::Bool ? value->value.get<bool>() : absent;
  }
  std::optional<TokenId> id(const char* name, std::size_t tokens) const {
    const GgufValue* value = find(name);
    if (!value) return {};
    require(value->value.is_number_integer() && value->value >= 0 && value->value < tokens, where_,
            ": 'tokenizer.ggml.", name, "' is outside the vocabulary");
    return value->value.get<TokenId>();
  }
  const std::string& where() const { return where_; }
  std::string chat_template() const {
    const GgufValue* value = find_gguf(file_.metadata, "tokenizer.chat_template");
    if (!value || !value->value.is_string()) return "";
    check_utf8(value->value, "chat_template");
    return value->value.get<std::string>();
  }

 private:
  void check_utf8(const Json& text, const char* name) const {
    require(!first_invalid_utf8(text.get_ref<const std::string&>()), where_, ": 'tokenizer.ggml.", name,
            "' holds a string that is not UTF-8");
  }
  const GgufValue* find(const char* name) const {
    return find_gguf(file_.metadata, std::string("tokenizer.ggml.") + name);
  }
  const GgufFile& file_;
  std::string where_;
};

constexpr int kNormal = 1, kUnknown = 2, kControl = 3, kUser = 4, kUnused = 5;

Json byte_level(bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

Json split_then_bytes(KnownPattern pattern) {
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", std::string(pattern_text(pattern))}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level(false)})}};
}

Json pre_tokenizer(const std::string& name, const std::string& where) {
  if (name == "gpt-2") return byte_level(true);
  if (name == "llama-bpe") return split_then_bytes(KnownPattern::Llama3);
  if (name == "qwen2") return split_then_bytes(KnownPattern::Qwen2);
  if (name == "smollm")
    return {{"type", "Sequence"},
            {"pretokenizers",
             Json::array({Json{{"type", "Digits"}, {"individual_digits", true}}, byte_level(true)})}};
  fail(where, ": pre-tokenizer '", name,
       "' is not supported; supported are gpt-2, llama-bpe, qwen2 and smollm");
}

Json post_processor(const Json& tokens, const std::vector<TokenId>& before,
                    const std::vector<TokenId>& after) {
  Json single = Json::array(), specials = Json::object();
  const auto add = [&](TokenId id) {
    const std::string text = tokens[id].get<std::string>();
    single.push_back({{"SpecialToken", {{"id", text}, {"type_id", 0}}}});
    specials[text] = {{"id", text}, {"ids", {id}}, {"tokens", {text}}};
  };
  for (const TokenId id : before) add(id);
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  for (const TokenId id : after) add(id);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", single}, {"special_tokens", specials}};
}

Json added_token(std::size_t id, const Json& text, bool special) {
  return {{"id", id},        {"content", text},     {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

struct Around {
  std::vector<TokenId> before, after;
};

std::string byte_level_json(const Tables& tables, const Json& tokens, const Json& types,
                            const Around& around) {
  const std::string pre = tables.text("pre", "gpt-2");
  Json vocabulary = Json::object(), added = Json::array(), merges = Json::array();
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    const int type = types[id].get<int>();
    if (type == kControl || type == kUser || type == kUnknown)
      added.push_back(added_token(id, tokens[id], type != kUser));
    if (type != kUnused) append_key(vocabulary, tokens[id].get<std::string>(), id);
  }
  for (const Json& merge : tables.list("merges", GgufKind::String, {})) merges.push_back(merge);
  Json json = {{"version", "1.0"},
               {"truncation", nullptr},
               {"padding", nullptr},
               {"added_tokens", added},
               {"normalizer", nullptr},
               {"pre_tokenizer", pre_tokenizer(pre, tables.where())},
               {"post_processor", post_processor(tokens, around.before, around.after)},
               {"decoder", byte_level(true)}};
  Json model = {{"type", "BPE"},     {"dropout", nullptr},     {"unk_token", nullptr},
                {"fuse_unk", false}, {"byte_fallback", false}, {"ignore_merges", pre == "llama-bpe"}};
  append_key(model, "vocab", std::move(vocabulary));
  append_key(model, "merges", std::move(merges));
  append_key(json, "model", std::move(model));
  return json.dump();
}

std::string sentencepiece_like_json(const Tables& tables, const Json& tokens, const Json& types,
                                    const Around& around) {
  const Json& scores = tables.list("scores", GgufKind::F32, tokens.size());
  SentencePieceModel model;
  model.kind = SentencePieceModel::Kind::Bpe;
  model.add_dummy_prefix = tables.flag("add_space_prefix", true);
  model.remove_extra_whitespaces = false;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    const int type = types[id].get<int>();
    require(type >= kNormal && type <= 6, tables.where(), ": token ", id, " has the unknown type ", type);
    model.pieces.push_back(
        {tokens[id].get<std::string>(), scores[id].get<float>(), static_cast<PieceType>(type)});
    model.byte_fallback = model.byte_fallback || model.pieces.back().type == PieceType::Byte;
  }
  return sentencepiece_json(model, around.before, around.after, false);
}

}  // namespace

std::shared_ptr<const Tokenizer> gguf_tokenizer(const GgufFile& file, const std::string& where) {
  const Tables tables(file, where);
  const std::string model = tables.text("model", "");
  const Json& tokens = tables.list("tokens", GgufKind::String, {});
  const Json& types = tables.list("token_type", GgufKind::I32, tokens.size());
  const auto bos = tables.id("bos_token_id", tokens.size()), eos = tables.id("eos_token_id", tokens.size());
  Around around;
  if (bos && tables.flag("add_bos_token", model == "llama")) around.before.push_back(*bos);
  if (eos && tables.flag("add_eos_token", false)) around.after.push_back(*eos);
  require(model == "gpt2" || model == "llama", where, ": tokenizer.ggml.model '", model,
          "' is not supported; supported are gpt2 and llama");
  std::string json = model == "gpt2" ? byte_level_json(tables, tokens, types, around)
                                     : sentencepiece_like_json(tables, tokens, types, around);
  Companions companions;
  companions.config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                       {"clean_up_tokenization_spaces", false}};
  const auto name = [&](const char* key, std::optional<TokenId> id) {
    if (id) companions.config[key] = tokens[*id];
  };
  name("bos_token", bos);
  name("eos_token", eos);
  name("unk_token", tables.id("unknown_token_id", tokens.size()));
  name("pad_token", tables.id("padding_token_id", tokens.size()));
  if (const std::string chat = tables.chat_template(); !chat.empty())
    companions.config["chat_template"] = chat;
  companions.files.push_back({"tokenizer_config.json", companions.config.dump(2) + "\n"});
  return tokenizer_from_json(std::move(json), companions, where);
}

}  // namespace lathe
