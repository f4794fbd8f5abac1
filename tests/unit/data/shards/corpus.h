#pragma once
// What the tests of preparing a corpus share: a small one, and what became of it.
#include <map>
#include <set>
#include <string>

#include "data/io/hash.h"
#include "tests/unit/data/shards/support.h"

namespace lathe::testing {

// A corpus of two sources: 40 small files, a jsonl with a duplicate and an empty record.
struct Workplace {
  TemporaryFolder folder;
  Recipe recipe;
  Workplace() {
    for (int i = 0; i < 40; ++i) write_text(folder / ("corpus/" + std::to_string(i) + ".txt"), text(i));
    write_text(folder / "more.jsonl", "{\"text\": \"first record\"}\n{\"text\": \"" + text(3) +
                                          "\"}\n{\"text\": \"\"}\n{\"text\": \"last record\"}\n");
    recipe.name = "x";
    recipe.directory = folder / "runs/x";
    recipe.tokenizer.train = "byte_bpe";
    recipe.tokenizer.vocab_size = 700;  // ByteTokenizer without shift
    recipe.data.train.resize(2);
    recipe.data.train[0].path = folder / "corpus";
    recipe.data.train[1].path = folder / "more.jsonl";
    recipe.data.train[1].weight = 2;
    recipe.data.sequence_length = 32;
    recipe.data.workers = 2;
  }
  // Different words in every text: near-duplicate grouping must not tie them.
  static std::string text(int i) {
    std::string result;
    for (int w = 0; w < 5 + i % 7; ++w)
      result += "w" + sha256_hex(std::to_string(i * 100 + w)).substr(0, 6) + " ";
    return result;
  }
  std::string cache() const { return folder / "runs/.lathe_cache"; }
};

inline std::multiset<std::string> texts_of(const PreparedSet& set) {
  std::multiset<std::string> texts;
  for (const std::string& path : set.shards) {
    const TokenShard shard(path);
    for (std::uint64_t d = 0; d < shard.documents(); ++d) {
      std::vector<std::int32_t> ids(shard.document_length(d));
      shard.read(d, 0, ids);
      std::string text;
      for (std::size_t i = 0; i + 1 < ids.size(); ++i) text += static_cast<char>(ids[i]);
      if (ids.back() != 256) text += "<no end>";
      texts.insert(text);
    }
  }
  return texts;
}

inline void check_balance(const TokenLedger& ledger, std::uint64_t sequence_length) {
  CHECK(ledger.documents_read ==
        ledger.documents_kept + ledger.documents_duplicate + ledger.documents_dropped);
  CHECK(ledger.tokens_read == ledger.tokens_kept + ledger.tokens_truncated + ledger.tokens_dropped);
  CHECK(ledger.row_tokens == ledger.tokens_kept - ledger.documents_kept);
  CHECK(ledger.rows * sequence_length == ledger.row_tokens + ledger.padded);
}

inline std::map<std::string, std::string> shard_bytes(const PreparedData& data) {
  std::map<std::string, std::string> bytes;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data.directory)) {
    bytes[entry.path().filename().string()] = read_bytes(entry.path().string());
  }
  return bytes;
}

}  // namespace lathe::testing
