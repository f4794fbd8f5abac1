// prepare_data with the project's own tokenizers, from recipe to text again.
#include "data/shards/prepare.h"
#include "tests/unit/data/shards/support.h"

using namespace lathe;

TEST_CASE("a byte-level BPE is trained, used and gives the text back") {
  const TemporaryFolder folder;
  std::string story;
  for (int i = 0; i < 200; ++i) {
    story = "Line " + std::to_string(i) +
            ": na\xC3\xAFve caf\xC3\xA9, \xE2\x80\x9Cquotes\xE2\x80\x9D\n\tif x:  # " +
            std::to_string(i * i) + "\n";
    write_text(folder / ("corpus/" + std::to_string(i) + ".py"), story);
  }
  Recipe recipe;
  recipe.name = "real";
  recipe.directory = folder / "runs/real";
  recipe.tokenizer.train = "byte_bpe";
  recipe.tokenizer.vocab_size = 400;
  recipe.data.train.resize(1);
  recipe.data.train[0].path = folder / "corpus";
  recipe.data.sequence_length = 64;
  const PreparedData data = prepare_data(recipe);
  REQUIRE(data.train.shards.size() == 1);
  const TokenShard shard(data.train.shards[0]);
  CHECK(shard.documents() == 200);
  CHECK(shard.info().tokenizer_sha256 == data.tokenizer->fingerprint());
  const auto eos = data.tokenizer->special().eos;
  REQUIRE(eos);
  // Files in the order of their names' bytes: 0.py, 1.py, 10.py ...; "99.py" is the last.
  std::vector<std::int32_t> ids(shard.document_length(199));
  shard.read(199, 0, ids);
  CHECK(static_cast<TokenId>(ids.back()) == *eos);
  CHECK(data.tokenizer->decode(std::vector<TokenId>(ids.begin(), ids.end())) ==
        read_bytes(folder / "corpus/99.py"));
  CHECK(data.train.ledger.tokens_kept < data.train.bytes * 2 / 3);  // merges were learnt
  const PreparedData again = prepare_data(recipe);
  CHECK(again.was_ready);
  CHECK(again.tokenizer->fingerprint() == data.tokenizer->fingerprint());
}
