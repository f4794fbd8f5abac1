#include "data/metrics/text_metrics.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <vector>

#include "data/io/json.h"
#include "data/metrics/unicode.h"

namespace lathe {
namespace {

std::vector<std::string> rouge_words(std::string_view text) {
  std::vector<std::string> words;
  bool inside = false;
  for (const char32_t c : lower_case(text)) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (letter && !inside) words.emplace_back();
    if (letter) words.back() += static_cast<char>(c);
    inside = letter;
  }
  return words;
}

template <class T>
std::size_t common_subsequence(const std::vector<T>& a, const std::vector<T>& b) {
  std::vector<std::size_t> row(b.size() + 1, 0);
  for (const auto& x : a) {
    std::size_t diagonal = 0;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t above = row[j + 1];
      row[j + 1] = x == b[j] ? diagonal + 1 : std::max(above, row[j]);
      diagonal = above;
    }
  }
  return row.back();
}

double f1(double precision, double recall) {
  return precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0;
}

using Grams = std::map<std::u32string_view, std::size_t>;

Grams grams_of(const std::u32string& text, std::size_t order) {
  Grams grams;
  for (std::size_t i = 0; i + order <= text.size(); ++i) ++grams[std::u32string_view(text).substr(i, order)];
  return grams;
}

std::u32string without_space(std::string_view text) {
  std::u32string out = characters(text);
  std::erase_if(out, is_python_space);
  return out;
}

bool is_article(std::u32string_view word) { return word == U"a" || word == U"an" || word == U"the"; }

// Articles as \b(a|an|the)\b finds them: between any characters that are no word characters.
std::u32string without_articles(const std::u32string& text) {
  std::u32string out;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && is_python_word(text[end])) ++end;
    if (end == at) {
      out += text[at++];
    } else {
      const std::u32string word = text.substr(at, end - at);
      out += is_article(word) ? U" " : word;
      at = end;
    }
  }
  return out;
}

std::vector<std::u32string> answer_words(std::string_view text) {
  std::u32string kept = lower_case(text);
  std::erase_if(kept, [](char32_t c) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  });
  return split_words(without_articles(kept));
}

}  // namespace

std::string normalise_answer(std::string_view text) {
  std::string out;
  for (const auto& word : answer_words(text)) out += (out.empty() ? "" : " ") + to_utf8(word);
  return out;
}

double exact_match(std::string_view prediction, std::string_view reference) {
  return prediction == reference;
}

double exact_match_normalised(std::string_view prediction, std::string_view reference) {
  return normalise_answer(prediction) == normalise_answer(reference);
}

double rouge_l(std::string_view prediction, std::string_view reference) {
  const auto found = rouge_words(prediction), wanted = rouge_words(reference);
  if (found.empty() || wanted.empty()) return 0;
  const auto common = static_cast<double>(common_subsequence(wanted, found));
  return f1(common / static_cast<double>(found.size()), common / static_cast<double>(wanted.size()));
}

double chrf(std::string_view prediction, std::string_view reference) {
  constexpr std::size_t kOrders = 6;
  constexpr double kBetaSquared = 4;
  const auto found = without_space(prediction), wanted = without_space(reference);
  double precision = 0, recall = 0;
  std::size_t orders = 0;
  for (std::size_t order = 1; order <= std::min({kOrders, found.size(), wanted.size()}); ++order) {
    const Grams ours = grams_of(found, order), theirs = grams_of(wanted, order);
    std::size_t matches = 0;
    for (const auto& [gram, count] : ours) {
      const auto other = theirs.find(gram);
      if (other != theirs.end()) matches += std::min(count, other->second);
    }
    precision += static_cast<double>(matches) / static_cast<double>(found.size() - order + 1);
    recall += static_cast<double>(matches) / static_cast<double>(wanted.size() - order + 1);
    ++orders;
  }
  if (orders == 0 || precision + recall == 0) return 0;
  precision /= static_cast<double>(orders);
  recall /= static_cast<double>(orders);
  return 100 * (1 + kBetaSquared) * precision * recall / (kBetaSquared * precision + recall);
}

double span_f1(std::string_view prediction, std::string_view reference) {
  const auto found = answer_words(prediction), wanted = answer_words(reference);
  if (found.empty() || wanted.empty()) return found.empty() && wanted.empty();
  std::map<std::u32string, std::size_t> counts;
  for (const auto& word : wanted) ++counts[word];
  std::size_t common = 0;
  for (const auto& word : found) {
    const auto place = counts.find(word);
    if (place == counts.end() || place->second == 0) continue;
    --place->second;
    ++common;
  }
  const auto same = static_cast<double>(common);
  return f1(same / static_cast<double>(found.size()), same / static_cast<double>(wanted.size()));
}

double json_valid(std::string_view prediction) {
  if (prediction.find('\0') != prediction.npos) return 0;  // the parser would take it for the end
  return Json::accept(prediction.begin(), prediction.end());
}

}  // namespace lathe
