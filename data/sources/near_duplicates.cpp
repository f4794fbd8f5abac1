#include "data/sources/near_duplicates.h"

#include <algorithm>
#include <numeric>
#include <unordered_set>

#include "data/io/hash.h"
#include "data/io/threads.h"
#include "recipes/schema/error.h"

namespace lathe {
namespace {

constexpr std::size_t kWords = 5, kWindow = 50, kBands = 16, kRows = 4;
constexpr std::size_t kLongWords = 20;  // bytes a word on average: no language that writes spaces comes near
constexpr std::uint32_t kEqualEntries = 52;  // the smallest count with kEqualEntries / 64 >= 0.8
constexpr std::size_t kFewestSharing = 4, kMostSampled = 4096;  // texts: of a shared run, of those that tell
constexpr std::size_t kMostKinds =
    32;  // compared within one bucket: common boilerplate must not cost a square

constexpr std::uint64_t mix(std::uint64_t x) {  // SplitMix64's finaliser
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ x >> 27) * 0x94D049BB133111EBull;
  return x ^ x >> 31;
}

// Multiply-add-shift hashing (Dietzfelbinger): permutation i of h is the high half of a[i] * h + b[i].
struct Family {
  std::array<std::uint64_t, 64> a, b;
  constexpr Family() : a(), b() {
    for (std::size_t i = 0; i < 64; ++i) {
      a[i] = mix(0x9E3779B97F4A7C15ull * (2 * i + 1)) | 1;
      b[i] = mix(0x9E3779B97F4A7C15ull * (2 * i + 2));
    }
  }
};
constexpr Family kFamily;

using Minima = std::array<std::uint32_t, 64>;

void include(Minima& signature, std::string_view shingle) {
  const std::uint64_t h = xxh3(std::as_bytes(std::span(shingle)));
  for (std::size_t i = 0; i < signature.size(); ++i) {
    const auto value = static_cast<std::uint32_t>((kFamily.a[i] * h + kFamily.b[i]) >> 32);
    signature[i] = std::min(signature[i], value);
  }
}

// The words, lower-case, each followed by one space, and where they begin.
struct Words {
  std::string text;
  std::vector<std::size_t> begins;
};

// Calls visit(character, first) for each character of the words, lower-case, and for the space behind each.
template <class Visit>
void each_character(std::string_view text, const Visit& visit) {
  bool inside = false;
  for (const char c : text) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    const bool letter = (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || (c & 0x80);
    if (letter) visit(lower, !inside);
    if (!letter && inside) visit(' ', false);
    inside = letter;
  }
  if (inside) visit(' ', false);
}

Words words_of(std::string_view text) {
  Words words;
  words.text.reserve(text.size() + 1);
  each_character(text, [&](char c, bool first) {
    if (first) words.begins.push_back(words.text.size());
    words.text += c;
  });
  return words;
}

// Every kWords words that follow each other; of a large text only those are held.
void include_runs(Minima& signature, std::string_view text) {
  constexpr std::size_t kHeld = std::size_t{1} << 16;
  std::string held;
  std::vector<std::size_t> begins;  // in `held`
  each_character(text, [&](char c, bool first) {
    if (first) begins.push_back(held.size());
    held += c;
    if (c != ' ' || begins.size() < kWords) return;
    include(signature, std::string_view(held).substr(begins.front()));
    begins.erase(begins.begin());
    if (held.size() < kHeld || begins.empty()) return;
    const std::size_t gone = begins.front();
    held.erase(0, gone);
    for (std::size_t& begin : begins) begin -= gone;
  });
}

void include_windows(Minima& signature, std::string_view text) {
  for (std::size_t at = 0; at + kWindow < text.size(); ++at) include(signature, text.substr(at, kWindow));
  include(signature, text.size() < kWindow ? text : text.substr(text.size() - kWindow));
}

class UnionFind {  // the root is the smallest index
 public:
  explicit UnionFind(std::size_t count) : parent_(count) { std::iota(parent_.begin(), parent_.end(), 0u); }
  std::uint32_t root(std::uint32_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void join(std::uint32_t a, std::uint32_t b) {
    a = root(a), b = root(b);
    parent_[std::max(a, b)] = std::min(a, b);
  }

 private:
  std::vector<std::uint32_t> parent_;
};

std::uint32_t equal_entries(const MinHash& a, const MinHash& b) {
  std::uint32_t equal = 0;
  for (std::size_t i = 0; i < a.size(); ++i) equal += a[i] == b[i];
  return equal;
}

}  // namespace

MinHash min_hash(std::string_view text) {
  Minima signature;
  signature.fill(0xFFFFFFFFu);
  std::size_t count = 0, bytes = 0;
  each_character(text, [&](char, bool first) {
    count += first ? 1 : 0;
    ++bytes;
  });
  if (count == 0) {
    include_windows(signature, text);  // punctuation only
  } else if (bytes > (kLongWords + 1) * count) {
    include_windows(signature, words_of(text).text);
  } else if (count <= kWords) {
    include(signature, words_of(text).text);
  } else {
    include_runs(signature, text);
  }
  MinHash low;
  std::transform(signature.begin(), signature.end(), low.begin(),
                 [](std::uint32_t v) { return static_cast<std::uint16_t>(v); });
  return low;
}

std::vector<std::string> without_shared_runs(std::span<const std::string> texts) {
  std::vector<Words> words;
  for (const std::string& text : texts) words.push_back(words_of(text));
  const auto run_at = [&](const Words& of, std::size_t i) {
    const std::size_t end = i + kWords < of.begins.size() ? of.begins[i + kWords] : of.text.size();
    return xxh3(std::as_bytes(std::span(of.text).subspan(of.begins[i], end - of.begins[i])));
  };
  const std::size_t every = texts.size() / kMostSampled + 1;
  std::size_t sampled = 0;
  std::vector<std::uint64_t> runs, mine;
  for (const Words& of : words) {
    if (every > 1 && xxh3(std::as_bytes(std::span(of.text))) % every != 0) continue;
    ++sampled;
    mine.clear();
    for (std::size_t i = 0; i + kWords <= of.begins.size(); ++i) mine.push_back(run_at(of, i));
    std::sort(mine.begin(), mine.end());
    runs.insert(runs.end(), mine.begin(), std::unique(mine.begin(), mine.end()));
  }
  std::sort(runs.begin(), runs.end());
  std::unordered_set<std::uint64_t> shared;
  for (std::size_t i = 0, next = 0; i < runs.size(); i = next) {
    while (next < runs.size() && runs[next] == runs[i]) ++next;
    if (next - i >= kFewestSharing && 2 * (next - i) > sampled) shared.insert(runs[i]);
  }
  std::vector<std::string> out;
  for (std::size_t t = 0; t < texts.size(); ++t) {
    const Words& of = words[t];
    std::string own;
    std::size_t covered = 0;  // words before this one lie in a shared run
    for (std::size_t i = 0; i < of.begins.size(); ++i) {
      if (i + kWords <= of.begins.size() && shared.contains(run_at(of, i))) covered = i + kWords;
      if (i < covered) continue;
      const std::size_t end = i + 1 < of.begins.size() ? of.begins[i + 1] : of.text.size();
      own.append(of.text, of.begins[i], end - of.begins[i]);
    }
    out.push_back(covered > 0 ? std::move(own) : texts[t]);  // punctuation may be all there is
  }
  return out;
}

double similarity(const MinHash& a, const MinHash& b) { return equal_entries(a, b) / 64.0; }

std::vector<std::uint32_t> near_duplicate_groups(const std::deque<MinHash>& signatures,
                                                 std::span<const std::uint32_t> documents) {
  UnionFind sets(documents.size());
  std::vector<std::pair<std::uint64_t, std::uint32_t>> keys(documents.size());
  const auto signature = [&](std::uint32_t i) -> const MinHash& { return signatures[documents[i]]; };
  for (std::size_t band = 0; band < kBands; ++band) {
    for (std::uint32_t i = 0; i < keys.size(); ++i) {
      keys[i] = {xxh3(std::as_bytes(std::span(signature(i)).subspan(band * kRows, kRows))), i};
    }
    std::sort(keys.begin(), keys.end());
    std::vector<std::uint32_t> kinds;  // of the bucket: each document is compared with one of every kind
    for (std::size_t k = 0; k < keys.size(); ++k) {
      if (k == 0 || keys[k].first != keys[k - 1].first) kinds.clear();
      const std::uint32_t document = keys[k].second;
      bool matched = false;
      for (const std::uint32_t other : kinds) {
        if (equal_entries(signature(document), signature(other)) < kEqualEntries) continue;
        sets.join(document, other);
        matched = true;
      }
      if (!matched && kinds.size() < kMostKinds) kinds.push_back(document);
    }
  }
  std::vector<std::uint32_t> groups(documents.size());
  for (std::uint32_t i = 0; i < groups.size(); ++i) groups[i] = sets.root(i);
  return groups;
}

std::vector<std::uint32_t> near_duplicate_groups(std::span<const std::string> texts, int threads) {
  require(texts.size() < 0xFFFFFFFFu, "near-duplicates: more than 2^32 documents");
  std::deque<MinHash> signatures(texts.size());
  parallel_for(texts.size(), threads, [&](std::size_t i) { signatures[i] = min_hash(texts[i]); });
  std::vector<std::uint32_t> documents(texts.size());
  std::iota(documents.begin(), documents.end(), 0u);
  return near_duplicate_groups(signatures, documents);
}

}  // namespace lathe
