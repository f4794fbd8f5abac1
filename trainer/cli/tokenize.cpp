// lathe tokenize --tokenizer PATH [--decode]: standard input -> ids, or ids -> text.
#include <iostream>
#include <iterator>
#include <sstream>

#include "data/io/utf8.h"
#include "data/tokenizers/tokenizer.h"
#include "trainer/cli/command.h"

namespace lathe {

namespace {

struct Arguments {
  std::string tokenizer;
  bool decode = false, special = false, add_special = false, lines = false;
};

std::vector<TokenId> read_ids(const std::string& text, std::size_t vocab_size) {
  std::vector<TokenId> ids;
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    for (char c : word)
      require(c >= '0' && c <= '9', "standard input: wanted token ids, found '", word.substr(0, 40), "'");
    require(word.size() <= 9, "standard input: token id ", word.substr(0, 40), " is too large");
    const unsigned long id = std::stoul(word);
    require(id < vocab_size, "standard input: token id ", id, " is none of this tokenizer's: they are 0 to ",
            vocab_size - 1);
    ids.push_back(static_cast<TokenId>(id));
  }
  return ids;
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
  const auto tokenizer = load_tokenizer(arguments.tokenizer);
  if (arguments.lines) {  // {"text": ...} a line in, {"ids": ...} a line out; used by tests against other
                          // libraries
    std::size_t number = 0;
    for (std::string line; std::getline(std::cin, line);) {
      const Json record = parse_json(line, cat("standard input:", ++number));
      std::cout
          << encode_one(*tokenizer, json_get<std::string>(record, "text", "standard input"), arguments).dump()
          << "\n";
    }
    context.json = false;
    return ExitCode::Done;
  }
  const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  if (arguments.decode) {
    const std::string decoded = tokenizer->decode(read_ids(text, tokenizer->vocab_size()), arguments.special);
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
  command.option("--tokenizer", arguments->tokenizer, "tokenizer.json, a folder with one, or a .model")
      .required();
  command.flag("--decode", arguments->decode, "ids to text");
  command.flag("--special", arguments->special,
               "special tokens in the text are control tokens; shown when decoding");
  command.flag("--add-special", arguments->add_special, "add what the tokenizer adds by itself (BOS, EOS)");
  command.flag("--lines", arguments->lines, "one JSON record {\"text\"} a line in, one {\"ids\"} a line out");
  command.runs([=](Context& context) { return tokenize(context, *arguments); });
}

}  // namespace lathe
