#include "trainer/cli/respond.h"

#include <algorithm>
#include <chrono>

#include "checkpoints/bundle/stop_tokens.h"
#include "data/io/utf8.h"
#include "data/templates/template_folder.h"
#include "trainer/machine.h"
#include "trainer/read_model.h"

namespace lathe {

namespace {

// Cuts the text at the first of the stop texts; true when one was found.
bool cut_at_stop(std::string& text, const std::vector<std::string>& stops) {
  std::size_t at = std::string::npos;
  for (const std::string& stop : stops) at = std::min(at, text.find(stop));
  if (at == std::string::npos) return false;
  text.resize(at);
  return true;
}

// Bytes of the text that are whole characters: a token may end inside one.
std::size_t whole_characters(const std::string& text) {
  std::size_t back = 0;
  while (back < std::min<std::size_t>(3, text.size())) {
    const auto c = static_cast<unsigned char>(text[text.size() - 1 - back]);
    if (c < 0x80) return text.size();
    if (c >= 0xC0) {
      const std::size_t wanted = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
      return back + 1 >= wanted ? text.size() : text.size() - back - 1;
    }
    ++back;
  }
  return text.size();
}

}  // namespace

Responder load_responder(const std::string& model) {
  set_compute_threads(resolve_threads(0));
  const ModelSource source = resolve_model(model);
  Responder responder;
  ReadModel loaded = read_model(source, frozen_storage(c10::ScalarType::Float));
  responder.bundle = std::move(loaded.bundle);
  responder.decoder = std::move(loaded.decoder);
  require_tokenizer(responder.bundle);
  responder.format = read_chat_format(source.folder);
  if (!responder.format.chat_template)  // of a GGUF file, of an adapter's base
    responder.format = chat_format_of(*responder.bundle.tokenizer);
  responder.stop_ids = stop_ids_of(responder.bundle);
  for (const TokenId id : stop_tokens(*responder.bundle.tokenizer, responder.format))
    responder.stop_ids.push_back(id);
  responder.format.now =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  responder.form = asked_form(source);
  responder.description = source.description;
  return responder;
}

void add_response_options(const Command& command, ResponseOptions& options) {
  command.option("--max-tokens", options.max_tokens, "at most").at_least_one();
  command.option("--temperature", options.temperature, "0 is greedy").not_negative();
  command.option("--top-k", options.top_k, "0 is off").not_negative();
  command.option("--top-p", options.top_p, "nucleus").share();
  command.option("--stop", options.stop, "stop before this text (repeatable)").repeatable();
  command.option("--seed", options.seed, "of sampling");
}

std::string whole_text(const std::string& where, const std::string& text) {
  if (const auto bad = first_invalid_utf8(text))
    fail_usage(where, ": byte ", *bad, " is not valid UTF-8; the terminal or the file it comes from is in ",
               "another encoding (iconv -f CP1252 -t UTF-8 converts one)");
  return text;
}

void check_response_options(const ResponseOptions& options) {
  for (const std::string& stop : options.stop) {
    if (stop.empty()) fail_usage("--stop is empty; give it the text to stop before, or leave it out");
    whole_text("--stop", stop);
  }
  if (options.temperature == 0 && (options.top_p < 1 || options.top_k > 0))
    fail_usage(options.top_p < 1 ? "--top-p" : "--top-k",
               " has no effect: --temperature 0, the default, always takes the likeliest token; add e.g. "
               "--temperature 0.8");
}

std::vector<TokenId> question_ids(const Responder& responder, const Json& messages) {
  Example example;
  example.kind = ExampleKind::Chat;
  example.messages = messages;
  example.origin = "the question";
  for (Json& message : example.messages)
    if (responder.form && message.value("role", "") == "user")
      message["content"] = responder.form->prompt(message.at("content").get<std::string>());
  return render_prompt(example, *responder.bundle.tokenizer, responder.format).ids;
}

std::vector<TokenId> prompt_ids(const Responder& responder, const std::string& prompt) {
  Example example;
  example.prompt = responder.form ? responder.form->prompt(prompt) : prompt;
  example.origin = "the prompt";
  return render_prompt(example, *responder.bundle.tokenizer, responder.format).ids;
}

bool asks_plainly(const Responder& responder) {
  return !responder.format.chat_template && responder.form &&
         responder.form->kind == ExampleKind::PromptCompletion;
}

std::vector<TokenId> raw_ids(const Responder& responder, const std::string& text) {
  const Tokenizer& tokenizer = *responder.bundle.tokenizer;
  EncodeOptions encode;
  encode.add_special = true;
  std::vector<TokenId> ids = tokenizer.encode(text, encode).ids;
  if (ids.empty()) {
    require(tokenizer.special().bos || tokenizer.special().eos,
            "an empty prompt needs a model with a BOS token");
    ids.push_back(tokenizer.special().bos.value_or(tokenizer.special().eos.value_or(0)));
  }
  return ids;
}

Response respond(const Responder& responder, const std::vector<TokenId>& prompt,
                 const ResponseOptions& options, std::uint64_t sample,
                 const std::function<void(const std::string&)>& on_text) {
  GenerationOptions generation;
  generation.max_tokens = options.max_tokens;
  generation.temperature = options.temperature;
  generation.top_k = options.top_k;
  generation.top_p = options.top_p;
  generation.seed = static_cast<std::uint64_t>(options.seed);
  generation.sample = sample;
  generation.stop_ids = responder.stop_ids;
  const Tokenizer& tokenizer = *responder.bundle.tokenizer;
  std::vector<TokenId> so_far;
  std::size_t shown = 0;
  const Generated generated = generate_tokens(*responder.decoder, prompt, generation, [&](TokenId id) {
    if (options.stop.empty() && !on_text) return true;
    so_far.push_back(id);
    std::string text = tokenizer.decode(so_far);
    const bool go_on = !cut_at_stop(text, options.stop);
    const std::size_t whole = go_on ? whole_characters(text) : text.size();
    if (on_text && whole > shown) {
      on_text(text.substr(shown, whole - shown));
      shown = whole;
    }
    return go_on;
  });
  Response response{tokenizer.decode(generated.tokens), generated.tokens, false};
  response.stopped = cut_at_stop(response.text, options.stop) || generated.stopped;
  response.text = replace_invalid_utf8(response.text);
  return response;
}

}  // namespace lathe
