#pragma once
// Shared by the template tests: fixtures, and a tokenizer in which every byte is a token of its own.
#include <string>
#include <vector>

#include "data/io/file_system.h"
#include "data/templates/render_example.h"
#include "data/tokenizers/byte_alphabet.h"
#include "data/tokenizers/load.h"
#include "tests/places.h"

namespace lathe::test {

inline std::string fixture_path(const std::string& name) {
  return test::source_folder() + "/tests/fixtures/templates/" + name;
}
inline std::string fixture_text(const std::string& name) { return read_file(fixture_path(name), 1 << 24); }
inline ChatTemplate fixture_template(const std::string& name) {
  return ChatTemplate::parse(fixture_text(name), name);
}

// Byte b is id b; `merges` join two tokens each, in byte characters; then the markers, all special.
inline std::unique_ptr<Tokenizer> byte_tokenizer(
    const std::vector<std::string>& markers, bool adds_bos = false,
    const std::vector<std::pair<std::string, std::string>>& merges = {}, bool prefix_space = false) {
  Json vocab = Json::object(), list = Json::array(), added = Json::array();
  for (int b = 0; b < 256; ++b) vocab[byte_characters()[static_cast<std::size_t>(b)]] = b;
  for (const auto& [left, right] : merges) {
    vocab[left + right] = vocab.size();
    list.push_back(left + " " + right);
  }
  for (const std::string& marker : markers) {
    const std::size_t id = vocab.size();
    vocab[marker] = id;
    added.push_back({{"id", id},
                     {"content", marker},
                     {"special", true},
                     {"normalized", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"single_word", false}});
  }
  Json file = {{"version", "1.0"}, {"added_tokens", added}, {"normalizer", nullptr}};
  file["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", prefix_space}, {"use_regex", false}};
  file["decoder"] = {{"type", "ByteLevel"}};
  file["post_processor"] = nullptr;
  if (adds_bos) {
    const Json piece = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
    const Json bos = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
    file["post_processor"] = {
        {"type", "TemplateProcessing"}, {"single", {bos, piece}}, {"pair", {bos, piece, bos, piece}}};
    file["post_processor"]["special_tokens"]["<s>"] = {
        {"id", "<s>"}, {"ids", {vocab["<s>"]}}, {"tokens", {"<s>"}}};
  }
  file["model"] = {
      {"type", "BPE"}, {"dropout", nullptr}, {"unk_token", nullptr}, {"vocab", vocab}, {"merges", list}};
  Companions companions;
  companions.config = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  return tokenizer_from_json(file.dump(), companions, "test tokenizer");
}

inline std::unique_ptr<Tokenizer> marked_tokenizer(bool adds_bos = false) {
  return byte_tokenizer(
      {"<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>",
       "<start_of_turn>", "<end_of_turn>", "<|user|>", "<|assistant|>", "<|end|>", "<|START_OF_TURN_TOKEN|>",
       "<|END_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "[INST]", "[/INST]", "[TOOL_CALLS]"},
      adds_bos);
}

// The supervised tokens' texts one after the other, '~' between stretches.
inline std::string trained_text(const TokenExample& example) {
  std::string out;
  bool before = false;
  for (std::size_t i = 0; i < example.ids.size(); ++i) {
    if (example.supervised[i]) {
      if (!before && !out.empty()) out += "~";
      out += example.pieces[i];
    }
    before = example.supervised[i] != 0;
  }
  return out;
}
inline std::string whole_text(const TokenExample& example) {
  std::string out;
  for (const std::string& piece : example.pieces) out += piece;
  return out;
}

template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}
inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

inline std::string render_text(const std::string& source, const Json& variables = Json::object()) {
  ChatInput input{.messages = Json::array(), .tools = nullptr, .documents = nullptr};
  input.variables = variables;
  return ChatTemplate::parse(source, "t").render(input).text;
}

}  // namespace lathe::test
