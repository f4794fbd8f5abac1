#include <map>

#include "data/templates/fill_in_middle.h"
#include "tests/unit/data/shards/support.h"
#include "tests/unit/data/templates/support.h"

using namespace lathe;
using lathe::TemporaryFolder;
using lathe::write_text;
using lathe::testing::contains_text;

namespace {

struct CodeCorpus {
  TemporaryFolder folder;
  Recipe recipe;
  explicit CodeCorpus(bool markers = true) {
    const auto tokenizer = markers ? test::byte_tokenizer({"<s>", "</s>", "<PRE>", "<SUF>", "<MID>"})
                                   : test::byte_tokenizer({"<s>", "</s>"});
    for (const TokenizerFile& file : tokenizer->files())
      write_text(folder / ("base/" + file.name), file.content);
    for (int i = 0; i < 60; ++i) {
      std::string text;
      for (int line = 0; line <= i % 9; ++line) text += "value_" + std::to_string(i * 10 + line) + " = 1\n";
      write_text(folder / ("corpus/" + std::to_string(100 + i) + ".py"), text);
    }
    recipe.directory = folder / "runs/x";
    recipe.tokenizer.path = folder / "base";
    recipe.data.train.resize(1);
    recipe.data.train[0].path = folder / "corpus";
    recipe.data.sequence_length = 64;
    recipe.data.workers = 2;
    recipe.data.fill_in_middle.rate = 0.5;
  }
};

std::vector<std::string> documents_of(const PreparedData& data) {
  std::vector<std::string> texts;
  const TokenShard shard(data.train.shards[0]);
  for (std::uint64_t d = 0; d < shard.documents(); ++d) {
    std::vector<std::int32_t> ids(shard.document_length(d));
    shard.read(d, 0, ids);
    texts.push_back(data.tokenizer->decode({ids.begin(), ids.end()}, true));
  }
  return texts;
}

}  // namespace

TEST_CASE("a code corpus is prepared with moved middles, and its ledger balances") {
  CodeCorpus place;
  const PreparedData data = prepare_data(place.recipe);
  const TokenLedger& ledger = data.train.ledger;
  CHECK(ledger.documents_read ==
        ledger.documents_kept + ledger.documents_duplicate + ledger.documents_dropped);
  CHECK(ledger.tokens_read == ledger.tokens_kept + ledger.tokens_truncated + ledger.tokens_dropped);
  CHECK(ledger.row_tokens == ledger.tokens_kept - ledger.documents_kept);
  CHECK(ledger.bytes_kept == ledger.bytes_read);
  CHECK(ledger.documents_kept > 60);  // pieces of long files
  int moved = 0;
  std::size_t bytes = 0;
  for (std::string text : documents_of(data)) {
    moved += text.starts_with("<PRE>");
    for (const std::string& marker : std::vector<std::string>{"<PRE>", "<SUF>", "<MID>", "</s>"})
      for (std::size_t at; (at = text.find(marker)) != text.npos;) text.erase(at, marker.size());
    bytes += text.size();
  }
  CHECK(bytes == ledger.bytes_kept);
  CHECK(moved > 40);
  CHECK(moved < static_cast<int>(ledger.documents_kept) - 20);
}

TEST_CASE("the cut of a file depends on its text and the seed, and another rate is another cache") {
  CodeCorpus place;
  const PreparedData data = prepare_data(place.recipe);
  const std::vector<std::string> before = documents_of(data);
  CHECK(prepare_data(place.recipe).was_ready);
  Recipe changed = place.recipe;
  changed.train.seed = 18;
  CHECK(documents_of(prepare_data(changed)) != before);
  changed = place.recipe;
  changed.data.fill_in_middle.rate = 0;
  const PreparedData plain = prepare_data(changed);
  CHECK(plain.directory != data.directory);
  CHECK(plain.train.ledger.documents_kept == 60);
  // A file in front shifts every index, and moves no other cut.
  write_text(place.folder / "corpus/000.py", "first = 0\n");
  std::vector<std::string> after = documents_of(prepare_data(place.recipe));
  CHECK(after.size() == before.size() + 1);
  after.erase(after.begin());
  CHECK(after == before);
}

TEST_CASE("a tokenizer without the markers is refused before any work") {
  CodeCorpus place(false);
  CHECK_THROWS_WITH(prepare_data(place.recipe),
                    contains_text("tokenizer.add_special_tokens: [<|fim_prefix|>"));
}
