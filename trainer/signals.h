#pragma once
// Ctrl-C and SIGTERM: the first asks the loop to save and stop, a second one exits at once (the last checkpoint is whole).
namespace lathe {

void install_signal_handlers();
bool stop_requested();

}  // namespace lathe
