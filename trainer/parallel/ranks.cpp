#include "trainer/parallel/ranks.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>

#include "trainer/parallel/gloo.h"
#include "trainer/parallel/ranks_state.h"

namespace lathe {
namespace {

// This machine's address on the way to `host`: a host's own name often resolves to 127.0.1.1, which nobody
// else reaches.
std::string address_towards(const std::string& host, int port) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_DGRAM;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return host;
  std::string address = host;
  for (const addrinfo* entry = found; entry; entry = entry->ai_next) {
    const int probe = socket(entry->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (probe < 0) continue;
    sockaddr_storage own{};
    socklen_t length = sizeof own;
    char text[256];
    const bool known =
        connect(probe, entry->ai_addr, entry->ai_addrlen) == 0 &&  // a datagram socket: nothing is sent
        getsockname(probe, reinterpret_cast<sockaddr*>(&own), &length) == 0 &&
        getnameinfo(reinterpret_cast<sockaddr*>(&own), length, text, sizeof text, nullptr, 0,
                    NI_NUMERICHOST) == 0;
    close(probe);
    if (known) {
      address = text;
      break;
    }
  }
  freeaddrinfo(found);
  return address;
}

// Gloo writes to a dead peer's socket without MSG_NOSIGNAL: the signal would end this rank before the Error
// can.
void ignore_broken_pipes() {
  struct sigaction action {};
  if (sigaction(SIGPIPE, nullptr, &action) == 0 && action.sa_handler == SIG_DFL)
    std::signal(SIGPIPE, SIG_IGN);
}

c10::intrusive_ptr<c10d::Store> join_store(const RankInfo& info) {
  const QuietLog quiet;
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(info.master_port);
  options.isServer = info.rank == 0 && !info.agent_store;
  options.waitWorkers = false;
  options.useLibUV = false;
  options.timeout = std::chrono::seconds(std::min(info.timeout_seconds, 600));
  if (options.isServer) {
    options.numWorkers = static_cast<std::size_t>(info.world_size);
    if (info.listen_descriptor >= 0) options.masterListenFd = info.listen_descriptor;
  }
  try {
    auto store = c10::make_intrusive<c10d::TCPStore>(info.master_address, options);
    return c10::make_intrusive<c10d::PrefixStore>("lathe/" + info.store_prefix, store);
  } catch (const std::exception& e) {
    fail("rank ", info.rank, " of ", info.world_size, ": cannot ",
         options.isServer ? "listen at " : "reach rank 0 at ", info.master_address, ":", info.master_port,
         " (", plain_reason(e.what()),
         "); check that all ranks were started, that the address is "
         "that of rank 0's machine and that the port is free and open");
  }
}

}  // namespace

void Ranks::State::sum_in_place(const char* what, at::Tensor tensor, bool maximum) {
  std::vector<at::Tensor> tensors = {std::move(tensor)};
  c10d::AllreduceOptions options;
  options.reduceOp = maximum ? c10d::ReduceOp::MAX : c10d::ReduceOp::SUM;
  guarded(what, [&] { backend->allreduce(tensors, options)->wait(); });
}

Ranks::Ranks(const RankInfo& info) : state_(new State) {
  state_->info = info;
  if (info.world_size == 1) return;
  if (!have_gloo())
    make_gloo(nullptr, info.rank, info.world_size, "", 1);  // its Error, before anything is waited for
  ignore_broken_pipes();
  state_->store = join_store(info);
  const std::string address = address_towards(info.master_address, info.master_port);
  try {
    state_->backend = make_gloo(state_->store, info.rank, info.world_size, address, info.timeout_seconds);
  } catch (const std::exception& e) {
    fail("rank ", info.rank, " of ", info.world_size, ": not all ranks have joined at ", info.master_address,
         ":", info.master_port, " (", plain_reason(e.what()), "); check that each of the ", info.world_size,
         " was started, with this address and port, and that the machines reach each other");
  }
  barrier();  // the store's server lives in rank 0 and must not end before all have met
}

Ranks::~Ranks() = default;

const RankInfo& Ranks::info() const { return state_->info; }

void Ranks::broadcast(std::vector<at::Tensor>& tensors) {
  if (!state_->backend) return;
  at::NoGradGuard no_grad;
  std::vector<c10::intrusive_ptr<c10d::Work>> works;
  std::vector<std::vector<at::Tensor>> sent;
  for (const auto& tensor : tensors) sent.push_back({tensor.detach().contiguous()});
  state_->guarded("a broadcast", [&] {
    for (auto& one : sent) works.push_back(state_->backend->broadcast(one));
    for (auto& work : works) work->wait();
  });
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!tensors[i].is_contiguous()) tensors[i].detach().copy_(sent[i].front());
  }
}

std::vector<double> Ranks::sum(std::vector<double> values) {
  if (!state_->backend || values.empty()) return values;
  state_->sum_in_place("a sum",
                       at::from_blob(values.data(), {static_cast<std::int64_t>(values.size())}, at::kDouble));
  return values;
}

double Ranks::sum(double value) { return sum(std::vector<double>{value}).front(); }

double Ranks::max(double value) {
  if (state_->backend) state_->sum_in_place("a maximum", at::from_blob(&value, {1}, at::kDouble), true);
  return value;
}

void Ranks::barrier() { sum(0.0); }

}  // namespace lathe
