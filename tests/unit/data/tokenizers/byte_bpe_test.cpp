#include "data/tokenizers/load.h"
#include "tests/catch.h"
#include "tests/unit/data/tokenizers/support.h"

namespace lathe {
namespace {

TEST_CASE("merges are learned by count, then by the smaller ids") {
  // Pieces: "low" x 3, " low" x 2, "new" x 2; "lo" and "ow" both occur 5 times, and l < o.
  test::Documents documents({"low low\nlow\nlow low\nnew\nnew"});
  TokenizerTraining options;
  options.vocab_size = 259;
  const auto tokenizer = train_tokenizer(documents, options);
  REQUIRE(tokenizer->vocab_size() == 259);
  CHECK(tokenizer->token_text(0) == "<|endoftext|>");
  CHECK(tokenizer->token_text(1) == "!");
  CHECK(tokenizer->token_text(257) == "lo");
  CHECK(tokenizer->token_text(258) == "low");
}

}  // namespace
}  // namespace lathe
