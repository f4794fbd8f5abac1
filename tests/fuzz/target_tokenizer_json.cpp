// tokenizer.json of any origin: read, then used on texts. Ids must lie in the vocabulary, spans in the text.
#include "data/tokenizers/load.h"
#include "tests/fuzz/target.h"

namespace lathe::fuzz {
namespace {

constexpr const char* kText =
    "Don't  stop \xC3\xA9\xE2\x96\x81\xE6\x97\xA5 123\n\t<s> </s>\xF0\x9F\x98\x80  ";

}  // namespace

void use_tokenizer(const Tokenizer& tokenizer) {
  for (const bool special : {false, true}) {
    const std::string_view text = kText;
    const Encoding encoding = tokenizer.encode(text, {.add_special = special, .parse_special = special});
    promise(encoding.begin.size() == encoding.ids.size() && encoding.end.size() == encoding.ids.size());
    for (std::size_t i = 0; i < encoding.ids.size(); ++i) {
      promise(encoding.ids[i] < tokenizer.vocab_size());
      promise(encoding.begin[i] <= encoding.end[i] && encoding.end[i] <= text.size());
    }
    tokenizer.decode(encoding.ids, special);
  }
  tokenizer.files();
}

namespace {

void run(std::string_view bytes) { use_tokenizer(*tokenizer_from_json(std::string(bytes), {}, "fuzz")); }

std::vector<std::string> seeds() {
  std::vector<std::string> all;
  for (const char* name :
       {"cl100k", "clip", "digits", "gpt2", "llama2", "llama3", "metaspace", "qwen2", "roberta", "unigram"})
    all.push_back(
        read_source_file(std::string("tests/unit/data/tokenizers/fixtures/") + name + ".tokenizer.json"));
  all.push_back(R"({"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}})");
  all.push_back(R"({"added_tokens":[{"id":0,"content":"<s>","special":true}],)"
                R"("pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a+)+$"},"behavior":"Isolated"},)"
                R"("model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0.0],["a",-1.5],["ab",-2e38]]}})");
  return all;
}

}  // namespace

Target tokenizer_json_target() {
  return {"tokenizer_json",
          run,
          seeds,
          {"\"type\"",
           "\"BPE\"",
           "\"Unigram\"",
           "\"merges\"",
           "\"vocab\"",
           "\"ByteLevel\"",
           "\"Metaspace\"",
           "\"Split\"",
           "\"Regex\"",
           "\"Sequence\"",
           "\"id\":",
           "4294967295",
           "4294967294",
           "-1",
           "null",
           "[]",
           "{}",
           "\"\"",
           "(a|a)*",
           "\\\\p{L}",
           "(?i:",
           "{1,1000}",
           "true",
           "false",
           "1e300",
           "\"Prepend\"",
           "\"Replace\"",
           "\"Precompiled\""},
          20000};
}

}  // namespace lathe::fuzz
