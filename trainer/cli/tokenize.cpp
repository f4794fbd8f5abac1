// lathe tokenize --tokenizer PATH [--decode]: standard input -> ids, or ids -> text.
#include <filesystem>
#include <iostream>
#include <iterator>
#include <sstream>

#include "data/io/utf8.h"
#include "data/tokenizers/tokenizer.h"
#include "trainer/cli/command.h"
#include "trainer/model_source.h"

namespace lathe {

namespace {

struct Arguments {
  std::string tokenizer;
  bool decode = false, special = false, add_special = false, lines = false;
};

TokenId checked_id(std::uint64_t id, const Tokenizer& tokenizer, const std::string& where) {
  require(id < tokenizer.vocab_size(), where, ": token id ", id,
          " is none of this tokenizer's: they are 0 to ", tokenizer.vocab_size() - 1);
  return static_cast<TokenId>(id);
}

std::vector<TokenId> read_ids(const std::string& text, const Tokenizer& tokenizer) {
  std::vector<TokenId> ids;
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    for (char c : word)
      require(c >= '0' && c <= '9', "standard input: wanted token ids, found '", word.substr(0, 40), "'");
    require(word.size() <= 9, "standard input: token id ", word.substr(0, 40), " is too large");
    ids.push_back(checked_id(std::stoul(word), tokenizer, "standard input"));
  }
  return ids;
}

// A tokenizer's own files, or any MODEL that holds one: a run, an export, a .gguf.
std::shared_ptr<const Tokenizer> tokenizer_of(const std::string& path) {
  namespace fs = std::filesystem;
  const auto holds = [&](const char* name) { return fs::exists(fs::path(path) / name); };
  const bool own = holds("tokenizer.json") || holds("tokenizer.model") || holds("spiece.model") ||
                   holds("sentencepiece.bpe.model") || holds("vocab.json");
  if (!path.ends_with(".gguf") && (own || !fs::is_directory(path))) return load_tokenizer(path);
  auto tokenizer = load_model(resolve_model(path)).tokenizer;
  require(tokenizer != nullptr, path, " holds no tokenizer");
  return tokenizer;
}

Json decode_one(const Tokenizer& tokenizer, const Json& record, const std::string& where, bool special) {
  std::vector<TokenId> ids;
  for (const auto id : json_get<std::vector<std::uint64_t>>(record, "ids", where))
    ids.push_back(checked_id(id, tokenizer, where));
  return Json{{"text", replace_invalid_utf8(tokenizer.decode(ids, special))}};
}

std::string join(const std::vector<TokenId>& ids) {
  std::string text;
  for (TokenId id : ids) text += cat(text.empty() ? "" : " ", id);
  return text;
}

Json encode_one(const Tokenizer& tokenizer, const std::string& text, const Arguments& arguments) {
  if (const auto bad = first_invalid_utf8(text)) fail("the text is not valid UTF-8 at byte ", *bad);
  const Encoding encoding = tokenizer.encode(text, {arguments.add_special, arguments.special});
  return Json{{"ids", encoding.ids}, {"begin", encoding.begin}, {"end", encoding.end}};
}

ExitCode tokenize(Context& context, const Arguments& arguments) {
  const std::shared_ptr<const Tokenizer> tokenizer = tokenizer_of(arguments.tokenizer);
  if (arguments.lines) {  // used by tests against other libraries
    std::size_t number = 0;
    for (std::string line; std::getline(std::cin, line);) {
      const std::string where = cat("standard input:", ++number);
      const Json record = parse_json(line, where);
      const Json result =
          arguments.decode ? decode_one(*tokenizer, record, where, arguments.special)
                           : encode_one(*tokenizer, json_get<std::string>(record, "text", where), arguments);
      std::cout << result.dump() << "\n";
    }
    context.json = false;
    return ExitCode::Done;
  }
  const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  if (arguments.decode) {
    const std::string decoded = tokenizer->decode(read_ids(text, *tokenizer), arguments.special);
    context.result["text"] = replace_invalid_utf8(decoded);
    if (!context.json) std::cout << decoded;
    return ExitCode::Done;
  }
  context.result = encode_one(*tokenizer, text, arguments);
  context.say(join(context.result.at("ids").get<std::vector<TokenId>>()));
  return ExitCode::Done;
}

}  // namespace

void add_tokenize(const Command& program) {
  const Command command = program.command("tokenize", "standard input to token ids, or back with --decode");
  auto arguments = std::make_shared<Arguments>();
  command
      .option("--tokenizer", arguments->tokenizer,
              "tokenizer.json, a folder with one, a .model, or any MODEL: a run, an export, a .gguf")
      .required();
  command.flag("--decode", arguments->decode, "ids to text");
  command.flag("--special", arguments->special,
               "special tokens in the text are control tokens; shown when decoding");
  command.flag("--add-special", arguments->add_special, "add what the tokenizer adds by itself (BOS, EOS)");
  command.flag("--lines", arguments->lines,
               "one JSON record {\"text\"} a line in, one {\"ids\"} a line out; with --decode the reverse");
  command.runs([=](Context& context) { return tokenize(context, *arguments); });
}

}  // namespace lathe
