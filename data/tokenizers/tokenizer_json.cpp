#include "data/tokenizers/tokenizer_json.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "data/tokenizers/bpe_model.h"
#include "data/tokenizers/unigram_model.h"

namespace lathe {
namespace {

constexpr std::size_t kMaxAddedBytes = 4096;

Json section(const Json& json, const char* key) { return json.contains(key) ? json.at(key) : Json(nullptr); }

TokenId as_id(const Json& value, const std::string& text, const std::string& where) {
  require(value.is_number_unsigned() && value.get<std::uint64_t>() < (std::uint64_t{1} << 24), where,
          ": token '", text, "': wanted an id from 0 to 2^24, found ", value.dump());
  return value.get<TokenId>();
}

Vocabulary read_vocabulary(const Json& model, const std::string& where) {
  require(model.contains("vocab") && model["vocab"].is_object(), where, ": model: wanted an object 'vocab'");
  Vocabulary vocabulary;
  for (const auto& [text, id] : model["vocab"].get_ref<const Json::object_t&>()) {
    vocabulary.add(text, as_id(id, text, where), where);
  }
  return vocabulary;
}

std::pair<std::string, std::string> read_merge(const Json& merge, std::size_t index,
                                               const std::string& where) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  if (merge.is_string()) {
    const auto& text = merge.get_ref<const std::string&>();
    const std::size_t space = text.find(' ');
    if (space != text.npos && text.find(' ', space + 1) == text.npos) {
      return {text.substr(0, space), text.substr(space + 1)};
    }
  }
  fail(where, ": merge ", index, ": wanted \"left right\" or [\"left\", \"right\"], found ", merge.dump());
}

MergeTable read_merges(const Json& model, const Vocabulary& vocabulary, const std::string& prefix,
                       const std::string& where) {
  require(model.contains("merges") && model["merges"].is_array(), where, ": model: wanted an array 'merges'");
  MergeTable table;
  table.reserve(model["merges"].size());
  std::uint32_t rank = 0;
  for (const Json& merge : model["merges"]) {
    const auto [left, right] = read_merge(merge, rank, where);
    const bool has_prefix = !prefix.empty() && right.compare(0, prefix.size(), prefix) == 0;
    const auto left_id = vocabulary.find(left), right_id = vocabulary.find(right);
    const auto id = vocabulary.find(left + (has_prefix ? right.substr(prefix.size()) : right));
    require(left_id && right_id && id, where, ": merge ", rank, " ('", left, "' '", right,
            "') names a token that is not in the vocabulary");
    table.insert(*left_id, *right_id, {rank, *id});
    ++rank;
  }
  return table;
}

std::unique_ptr<TokenModel> read_bpe(const Json& model, bool bytes, const std::string& where) {
  BpeOptions options;
  options.bytes = bytes;
  options.ignore_merges = json_get_or<bool>(model, "ignore_merges", false, where);
  options.byte_fallback = json_get_or<bool>(model, "byte_fallback", false, where);
  options.fuse_unk = json_get_or<bool>(model, "fuse_unk", false, where);
  options.continuing_prefix = json_get_or<std::string>(model, "continuing_subword_prefix", "", where);
  options.word_suffix = json_get_or<std::string>(model, "end_of_word_suffix", "", where);
  require(json_get_or<double>(model, "dropout", 0.0, where) == 0.0, where,
          ": model: BPE dropout makes ids random and is not supported; set 'dropout' to null");
  Vocabulary vocabulary = read_vocabulary(model, where);
  const auto unk = json_get_or<std::string>(model, "unk_token", "", where);
  if (!unk.empty()) options.unk = vocabulary.find(unk);
  MergeTable merges = read_merges(model, vocabulary, options.continuing_prefix, where);
  return std::make_unique<BpeModel>(std::move(vocabulary), std::move(merges), std::move(options));
}

// The tokenizers library turns decimals into doubles in two roundings, digits and power of ten; which of two
// cuts of equal score wins (a run of dashes) hangs on that last bit.
double twice_rounded(double score) {
  char text[64];
  const auto end =
      std::to_chars(text, text + sizeof text, std::abs(score), std::chars_format::scientific).ptr;
  std::uint64_t digits = 0;
  int exponent = 0;
  const char* at = text;
  for (bool fraction = false; at < end && *at != 'e'; ++at) {
    if (*at == '.') {
      fraction = true;
      continue;
    }
    digits = digits * 10 + static_cast<std::uint64_t>(*at - '0');
    exponent -= fraction ? 1 : 0;
  }
  int power = 0;
  const char* sign = at + 1;
  std::from_chars(*sign == '+' ? sign + 1 : sign, end, power);
  exponent += power;
  if (exponent < -300 || exponent > 0) return score;
  return std::copysign(static_cast<double>(digits) / std::pow(10.0, -exponent), score);
}

// Ids whose texts may be found in a text: a special token that somebody writes is text.
std::vector<TokenId> matched_ids(const Json& added, std::size_t count) {
  std::vector<bool> special(count, false);
  for (const Json& entry : added)
    if (entry.is_object() && entry.value("special", false) && entry.contains("id") &&
        entry["id"].is_number_unsigned() && entry["id"].get<std::uint64_t>() < count)
      special[entry["id"].get<std::size_t>()] = true;
  std::vector<TokenId> ids;
  for (std::size_t id = 0; id < count; ++id)
    if (!special[id]) ids.push_back(static_cast<TokenId>(id));
  return ids;
}

std::unique_ptr<TokenModel> read_unigram(const Json& model, const Json& added, const std::string& where) {
  require(model.contains("vocab") && model["vocab"].is_array() && !model["vocab"].empty(), where,
          ": model: wanted an array 'vocab' of [text, score]");
  constexpr double kUnknownPenalty = 10;
  Vocabulary vocabulary;
  std::vector<double> scores;
  for (const Json& entry : model["vocab"]) {
    require(entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_number(), where,
            ": vocab entry ", scores.size(), ": wanted [text, score], found ", entry.dump());
    vocabulary.add(entry[0].get<std::string>(), static_cast<TokenId>(scores.size()), where);
    scores.push_back(twice_rounded(entry[1].get<double>()));
  }
  UnigramOptions options;
  options.byte_fallback = json_get_or<bool>(model, "byte_fallback", false, where);
  options.matched = matched_ids(added, scores.size());
  options.unk_score = *std::min_element(scores.begin(), scores.end()) - kUnknownPenalty;
  if (model.contains("unk_id") && !model["unk_id"].is_null()) {
    options.unk = as_id(model["unk_id"], "unk_id", where);
    require(*options.unk < scores.size(), where, ": model: unk_id ", *options.unk,
            " is outside the vocabulary of ", scores.size());
  }
  return std::make_unique<UnigramModel>(std::move(vocabulary), std::move(scores), std::move(options));
}

// Files from before the field "type" tell by what they hold.
std::string model_type(const Json& model) {
  if (model.contains("type") && model["type"].is_string()) return model["type"].get<std::string>();
  if (model.contains("merges")) return "BPE";
  if (model.contains("unk_id")) return "Unigram";
  return "WordPiece";
}

class PostProcessor {
 public:
  PostProcessor(TokenizerParts& parts, const std::string& where) : parts_(parts), where_(where) {}

  void add(const Json& value) {
    if (value.is_null()) return;
    const auto type = json_get<std::string>(value, "type", where_);
    if (type == "Sequence") {
      for (const Json& step : json_get<Json>(value, "processors", where_)) add(step);
    } else if (type == "TemplateProcessing") {
      add_template(value);
    } else if (type == "RobertaProcessing" || type == "BertProcessing") {
      parts_.before.insert(parts_.before.begin(), pair_id(value, "cls"));
      parts_.after.push_back(pair_id(value, "sep"));
    } else if (type != "ByteLevel") {  // ByteLevel only trims offsets
      fail(where_, ": post_processor '", type,
           "' is not supported; supported are TemplateProcessing, ByteLevel, ",
           "RobertaProcessing, BertProcessing and Sequence");
    }
  }

 private:
  TokenId pair_id(const Json& value, const char* key) const {
    const Json pair = json_get<Json>(value, key, where_);
    require(pair.is_array() && pair.size() == 2, where_, ": post_processor: wanted [text, id] for '", key,
            "'");
    return as_id(pair[1], key, where_);
  }
  void add_template(const Json& value) {
    std::vector<TokenId> before, after;
    bool seen_text = false;
    const Json tokens = section(value, "special_tokens");
    for (const Json& item : json_get<Json>(value, "single", where_)) {
      if (item.contains("Sequence")) {
        require(!seen_text, where_,
                ": post_processor: the template repeats the text, which is not supported");
        seen_text = true;
        continue;
      }
      const auto name = json_get<std::string>(json_get<Json>(item, "SpecialToken", where_), "id", where_);
      require(tokens.contains(name), where_, ": post_processor: 'special_tokens' lacks '", name, "'");
      for (const Json& id : json_get<Json>(tokens[name], "ids", where_)) {
        (seen_text ? after : before).push_back(as_id(id, name, where_));
      }
    }
    parts_.before.insert(parts_.before.begin(), before.begin(), before.end());
    parts_.after.insert(parts_.after.end(), after.begin(), after.end());
  }

  TokenizerParts& parts_;
  const std::string& where_;
};

void check_post_processor(const TokenizerParts& parts, const std::string& where) {
  for (const auto* ids : {&parts.before, &parts.after})
    for (const TokenId id : *ids) {
      const bool added = std::any_of(parts.added.begin(), parts.added.end(),
                                     [&](const AddedToken& token) { return token.id == id; });
      require(added || parts.model->vocabulary().has(id), where, ": post_processor: id ", id,
              " is neither in the vocabulary nor an added token");
    }
}

}  // namespace

void append_key(Json& object, std::string key, Json value) {
  static_cast<Json::object_t::Container&>(object.get_ref<Json::object_t&>())
      .emplace_back(std::move(key), std::move(value));
}

std::vector<AddedToken> read_added_tokens(const Json& list, const Vocabulary& vocabulary,
                                          const std::string& where) {
  std::vector<AddedToken> tokens;
  for (const Json& entry : list) {
    AddedToken token;
    token.content = json_get<std::string>(entry, "content", where);
    token.id = as_id(json_get<Json>(entry, "id", where), token.content, where);
    token.special = json_get_or<bool>(entry, "special", false, where);
    token.normalized = json_get_or<bool>(entry, "normalized", !token.special, where);
    token.lstrip = json_get_or<bool>(entry, "lstrip", false, where);
    token.rstrip = json_get_or<bool>(entry, "rstrip", false, where);
    token.single_word = json_get_or<bool>(entry, "single_word", false, where);
    require(token.content.size() <= kMaxAddedBytes, where, ": added token ", token.id, " has ",
            token.content.size(), " bytes, more than ", kMaxAddedBytes);
    const auto known = vocabulary.find(token.content);
    require(!known || *known == token.id, where, ": added token '", token.content, "' has id ", token.id,
            ", but the vocabulary gives it ", known.value_or(0));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

TokenizerParts read_tokenizer_json(const Json& json, const std::string& where) {
  require(json.is_object() && json.contains("model") && json["model"].is_object(), where,
          ": not a tokenizer.json: wanted an object with the key 'model'");
  TokenizerParts parts;
  parts.normalizer = make_normalizer(section(json, "normalizer"), where);
  parts.pre_tokenizer = make_pre_tokenizer(section(json, "pre_tokenizer"), where);
  const Json& model = json["model"];
  const std::string type = model_type(model);
  if (type == "BPE") {
    parts.model = read_bpe(model, parts.pre_tokenizer.bytes, where);
  } else if (type == "Unigram") {
    require(!parts.pre_tokenizer.bytes, where, ": a Unigram model after ByteLevel is not supported");
    parts.model = read_unigram(model, section(json, "added_tokens"), where);
  } else {
    fail(where, ": model '", type, "' is not supported; supported are BPE and Unigram");
  }
  parts.added = read_added_tokens(section(json, "added_tokens"), parts.model->vocabulary(), where);
  PostProcessor(parts, where).add(section(json, "post_processor"));
  check_post_processor(parts, where);
  const auto suffix = json_get_or<std::string>(model, "end_of_word_suffix", "", where);
  parts.decoder = make_decoder(section(json, "decoder"), suffix, where);
  return parts;
}

}  // namespace lathe
