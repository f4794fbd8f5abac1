#include "data/tokenizers/bpe_trainer.h"

#include <algorithm>
#include <array>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include "data/io/threads.h"
#include "data/tokenizers/byte_alphabet.h"
#include "data/tokenizers/token_model.h"

namespace lathe {
namespace {

using PieceCounts = std::unordered_map<std::string, std::int64_t, StringHash, std::equal_to<>>;
constexpr std::size_t kBatchBytes = 16 << 20;
constexpr std::size_t kMaxPieceBytes = 1024;  // longer pieces (encoded blobs) teach no merge worth a token

void count_pieces(const std::string& text, const PieceSplitter& split, PieceCounts& counts) {
  split(text, [&](std::string_view piece) {
    if (piece.size() > kMaxPieceBytes) return;
    if (const auto found = counts.find(piece); found != counts.end()) {
      ++found->second;
    } else {
      counts.emplace(piece, 1);
    }
  });
}

PieceCounts count_documents(DocumentStream& documents, const PieceSplitter& split, int threads) {
  const auto workers = static_cast<std::size_t>(threads > 0 ? threads : hardware_threads());
  std::vector<PieceCounts> partial(workers);
  std::vector<std::string> batch;
  const auto flush = [&] {
    parallel_for(workers, static_cast<int>(workers), [&](std::size_t worker) {
      for (std::size_t i = worker; i < batch.size(); i += workers)
        count_pieces(batch[i], split, partial[worker]);
    });
    batch.clear();
  };
  std::string text;
  std::size_t bytes = 0;
  for (documents.reset(); documents.next(text);) {
    bytes += text.size();
    batch.push_back(std::move(text));
    if (bytes >= kBatchBytes) flush(), bytes = 0;
  }
  flush();
  PieceCounts total = std::move(partial[0]);
  for (std::size_t i = 1; i < workers; ++i) {
    for (const auto& [piece, count] : partial[i]) total[piece] += count;
  }
  return total;
}

class Learner {
 public:
  Learner(const PieceCounts& counts, const BpeLearning& learning) {
    if (!learning.special.empty()) learned_.tokens.push_back(learning.special);
    const Alphabet inner = add_alphabet("");
    const Alphabet last = learning.word_suffix.empty() ? inner : add_alphabet(learning.word_suffix);
    for (const auto& [piece, count] : counts) {
      if (piece.size() < 2) continue;
      Word word{{}, count};
      for (const char byte : piece) word.ids.push_back(inner[static_cast<unsigned char>(byte)]);
      word.ids.back() = last[static_cast<unsigned char>(piece.back())];
      words_.push_back(std::move(word));
    }
    for (std::uint32_t i = 0; i < words_.size(); ++i) {
      const Word& word = words_[i];
      for (std::size_t k = 0; k + 1 < word.ids.size(); ++k)
        count_pair(key(word.ids[k], word.ids[k + 1]), i, word.count);
    }
    for (const auto& [pair, info] : pairs_) heap_.push({info.count, pair});
  }

  LearnedBpe run(std::size_t vocab_size) {
    while (learned_.tokens.size() < vocab_size && !heap_.empty()) {
      const Best best = heap_.top();
      heap_.pop();
      const auto found = pairs_.find(best.pair);
      if (found == pairs_.end()) continue;
      if (found->second.count != best.count) {
        if (found->second.count > 1) heap_.push({found->second.count, best.pair});
        continue;
      }
      if (best.count < 2) break;
      merge(best.pair, std::move(found->second.words));
    }
    return std::move(learned_);
  }

 private:
  using Alphabet = std::array<std::uint32_t, 256>;  // id of every byte
  using Pair = std::uint64_t;  // left id above, right id below: compares as (left, right)
  struct Word {
    std::vector<std::uint32_t> ids;
    std::int64_t count;
  };
  struct PairInfo {
    std::int64_t count = 0;
    std::vector<std::uint32_t> words;  // where it has been seen; may name a word twice or no longer hold
  };
  struct Best {
    std::int64_t count;
    Pair pair;
    bool operator<(const Best& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };
  static Pair key(std::uint32_t left, std::uint32_t right) { return Pair{left} << 32 | right; }

  // Characters of the alphabet in code point order, as other trainers number them.
  Alphabet add_alphabet(const std::string& suffix) {
    Alphabet id_of_byte{};
    std::vector<unsigned> order(256);
    for (unsigned byte = 0; byte < 256; ++byte) order[byte] = byte;
    const auto& characters = byte_characters();
    std::sort(order.begin(), order.end(),
              [&](unsigned a, unsigned b) { return characters[a] < characters[b]; });
    for (const unsigned byte : order) {
      id_of_byte[byte] = static_cast<std::uint32_t>(learned_.tokens.size());
      ids_.emplace(characters[byte] + suffix, id_of_byte[byte]);
      learned_.tokens.push_back(characters[byte] + suffix);
    }
    return id_of_byte;
  }
  void count_pair(Pair pair, std::uint32_t word, std::int64_t count) {
    PairInfo& info = pairs_[pair];
    info.count += count;
    if (count > 0 && (info.words.empty() || info.words.back() != word)) info.words.push_back(word);
  }
  void merge(Pair pair, std::vector<std::uint32_t> where) {
    const auto left = static_cast<std::uint32_t>(pair >> 32), right = static_cast<std::uint32_t>(pair);
    // Two merges may spell one token ("i" "ng" and "in" "g"); a pair of such a token may come up a second
    // time.
    const auto next_id = static_cast<std::uint32_t>(learned_.tokens.size());
    std::string text = learned_.tokens[left] + learned_.tokens[right];
    const std::uint32_t id = ids_.emplace(text, next_id).first->second;
    if (id == next_id) learned_.tokens.push_back(std::move(text));
    if (merged_.insert(pair).second)
      learned_.merges.emplace_back(learned_.tokens[left], learned_.tokens[right]);
    std::sort(where.begin(), where.end());
    where.erase(std::unique(where.begin(), where.end()), where.end());
    grown_.clear();
    for (const std::uint32_t word : where) merge_in_word(word, left, right, id);
    pairs_.erase(pair);
    std::sort(grown_.begin(), grown_.end());
    grown_.erase(std::unique(grown_.begin(), grown_.end()), grown_.end());
    for (const Pair changed : grown_) {
      if (const auto found = pairs_.find(changed); found != pairs_.end())
        heap_.push({found->second.count, changed});
    }
  }
  void merge_in_word(std::uint32_t index, std::uint32_t left, std::uint32_t right, std::uint32_t id) {
    std::vector<std::uint32_t>& ids = words_[index].ids;
    const std::int64_t count = words_[index].count;
    std::size_t out = 0;
    for (std::size_t in = 0; in < ids.size(); ++in, ++out) {
      if (in + 1 == ids.size() || ids[in] != left || ids[in + 1] != right) {
        ids[out] = ids[in];
        continue;
      }
      if (out > 0) {
        count_pair(key(ids[out - 1], left), index, -count);
        grow(key(ids[out - 1], id), index, count);
      }
      if (in + 2 < ids.size()) {
        count_pair(key(right, ids[in + 2]), index, -count);
        grow(key(id, ids[in + 2]), index, count);
      }
      ids[out] = id;
      ++in;
    }
    ids.resize(out);
  }
  void grow(Pair pair, std::uint32_t word, std::int64_t count) {
    count_pair(pair, word, count);
    grown_.push_back(pair);
  }

  LearnedBpe learned_;
  std::unordered_map<std::string, std::uint32_t> ids_;
  std::unordered_set<Pair> merged_;
  std::vector<Word> words_;
  std::unordered_map<Pair, PairInfo> pairs_;
  std::priority_queue<Best> heap_;
  std::vector<Pair> grown_;
};

}  // namespace

LearnedBpe learn_byte_bpe(DocumentStream& documents, const PieceSplitter& split,
                          const BpeLearning& learning) {
  return Learner(count_documents(documents, split, learning.threads), learning).run(learning.vocab_size);
}

}  // namespace lathe
