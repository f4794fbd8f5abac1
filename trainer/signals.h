#pragma once
// Ctrl-C, SIGTERM and SIGHUP: the first asks the loop to save and stop (before step 1: to stop), which it says; a
// second one exits at once (the last checkpoint is whole). The launcher's kLostRank stops without a word: it
// tells itself which rank has ended.
namespace lathe {

void install_signal_handlers(bool says = true);  // says: among several ranks one
bool stop_requested();
// An Error (exit code 130) once a stop was asked for; `doing` is what it ends: nothing of it needs saving.
void stop_if_requested(const char* doing);
[[noreturn]] void stop_before_first_step(const char* doing);  // its Error

}  // namespace lathe
