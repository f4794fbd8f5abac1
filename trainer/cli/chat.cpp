// lathe chat MODEL: a conversation, a line a turn.
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "trainer/cli/command.h"
#include "trainer/cli/respond.h"

namespace lathe {

namespace {

struct Arguments {
  std::string model, system;
  ResponseOptions response;
};

Json first_messages(const Arguments& arguments) {
  Json messages = Json::array();
  if (!arguments.system.empty()) messages.push_back({{"role", "system"}, {"content", arguments.system}});
  return messages;
}

// The oldest turns are left out when the conversation outgrows the model's context.
std::vector<TokenId> ids_that_fit(const Responder& responder, Json messages, std::int64_t room,
                                  Context& context) {
  const std::size_t kept = !messages.empty() && messages[0].value("role", "") == "system" ? 1 : 0;
  std::vector<TokenId> ids = question_ids(responder, messages);
  bool cut = false;
  while (static_cast<std::int64_t>(ids.size()) > room && messages.size() > kept + 2) {
    messages.erase(messages.begin() + static_cast<std::ptrdiff_t>(kept),
                   messages.begin() + static_cast<std::ptrdiff_t>(kept) + 2);
    ids = question_ids(responder, messages);
    cut = true;
  }
  if (cut) context.log("(the first turns no longer fit the model's context and are left out)");
  return ids;
}

ExitCode chat(Context& context, const Arguments& arguments) {
  check_response_options(arguments.response);
  whole_text("--system", arguments.system);
  const Responder responder = load_responder(arguments.model);
  const bool person = isatty(0) != 0;
  const bool plainly = asks_plainly(responder);
  if (plainly && !arguments.system.empty())
    fail_usage(
        "--system: the run learned prompts and completions without a chat template; write it in the line");
  context.log(responder.description +
              (plainly ? "; it learned prompts and completions: each line is asked by itself"
               : responder.format.chat_template ? ""
                                                : "; it has no chat template, turns are written plainly"));
  if (responder.form && !responder.form->describe().empty()) context.log(responder.form->describe());
  if (person) context.log("one line a turn; /reset begins anew, /exit or Ctrl-D ends");
  Json messages = first_messages(arguments), turns = Json::array();
  const std::int64_t room =
      responder.decoder->spec().max_positions - std::min<std::int64_t>(arguments.response.max_tokens, 64);
  std::uint64_t sample = 0;
  std::string line;
  while ((person && !context.json ? std::cout << "> " << std::flush : std::cout) &&
         std::getline(std::cin, line)) {
    if (line == "/exit") break;
    if (line == "/reset") {
      messages = first_messages(arguments);
      continue;
    }
    if (line.empty()) continue;
    whole_text("the line", line);
    messages.push_back({{"role", "user"}, {"content", line}});
    const std::vector<TokenId> ids =
        plainly ? prompt_ids(responder, line) : ids_that_fit(responder, messages, room, context);
    const Response response =
        respond(responder, ids, arguments.response, sample++, [&](const std::string& text) {
          if (!context.json) std::cout << text << std::flush;
        });
    if (!context.json) std::cout << std::endl;
    messages.push_back({{"role", "assistant"}, {"content", response.text}});
    turns.push_back({{"user", line}, {"assistant", response.text}, {"stopped", response.stopped}});
  }
  context.result["model"] = responder.description;
  context.result["turns"] = turns;
  return ExitCode::Done;
}

}  // namespace

void add_chat(const Command& program) {
  const Command command = program.command("chat", "talk with a model, a line a turn");
  auto arguments = std::make_shared<Arguments>();
  arguments->response.max_tokens = 512;
  command
      .option("MODEL", arguments->model,
              "a run, an export, an adapter, a Hugging Face folder or a cached Hub id")
      .required();
  command.option("--system", arguments->system, "the system message");
  add_response_options(command, arguments->response);
  command.runs([=](Context& context) { return chat(context, *arguments); });
}

}  // namespace lathe
