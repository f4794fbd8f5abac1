#include "tests/catch.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/scalar_tensor.h>

#include <chrono>

#include "recipes/schema/error.h"
#include "tests/unit/trainer/parallel/processes.h"
#include "trainer/parallel/ranks_state.h"

using namespace lathe;
using lathe::testing::expect;
using lathe::testing::Forked;

TEST_CASE("one rank needs no network") {
  Ranks ranks(RankInfo{});
  CHECK(ranks.leader());
  CHECK(ranks.sum(2.5) == 2.5);
  CHECK(ranks.max(-1.0) == -1.0);
  ranks.barrier();
}

TEST_CASE("sums, maxima and broadcasts over three ranks") {
  Forked ranks(3, [](const RankInfo& info) {
    Ranks group(info);
    const double rank = info.rank;
    expect(group.leader() == (info.rank == 0), "leader");
    expect(group.sum(rank + 1) == 6, "sum");
    expect(group.sum(std::vector<double>{rank, 10 * rank, -1}) == std::vector<double>{3, 30, -3},
           "sum of a vector");
    expect(group.sum(std::vector<double>{}).empty(), "empty sum");
    expect(group.max(-5 - rank) == -5, "maximum");
    const at::Tensor whole = at::arange(12, at::kFloat).reshape({3, 4});
    std::vector<at::Tensor> tensors = {whole.clone(), whole.to(at::kBFloat16), whole.to(at::kLong),
                                       whole.clone().t(), at::scalar_tensor(7.0)};
    if (info.rank != 0) {
      for (auto& tensor : tensors) tensor.zero_();
    }
    group.broadcast(tensors);
    for (int i = 0; i < 3; ++i) expect(tensors[i].to(at::kFloat).equal(whole), "broadcast");
    expect(tensors[3].equal(whole.t()), "broadcast into a transposed view");
    expect(tensors[4].item<double>() == 7.0, "broadcast of a scalar");
    group.barrier();
  });
  CHECK(ranks.wait_all() == std::vector<int>{0, 0, 0});
}

TEST_CASE("a barrier holds everybody until the last has come") {
  Forked ranks(2, [](const RankInfo& info) {
    Ranks group(info);
    const auto begin = std::chrono::steady_clock::now();
    if (info.rank == 1) usleep(300'000);
    group.barrier();
    expect(std::chrono::steady_clock::now() - begin > std::chrono::milliseconds(250),
           "the barrier did not wait");
  });
  CHECK(ranks.wait_all() == std::vector<int>{0, 0});
}

TEST_CASE("when a rank is killed the others' collective throws within a second") {
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  Forked ranks(3, [&](const RankInfo& info) {
    Ranks group(info);
    group.barrier();
    if (info.rank == 1) {
      expect(write(ready[1], "x", 1) == 1, "pipe");
      pause();
    }
    try {
      group.sum(1.0);
    } catch (const Error& e) {
      expect(std::string(e.what()).find("another rank has ended") != std::string::npos, "the message");
      _exit(17);
    }
  });
  char byte = 0;
  REQUIRE(read(ready[0], &byte, 1) == 1);
  usleep(100'000);
  const auto begin = std::chrono::steady_clock::now();
  kill(ranks.children[1], SIGKILL);
  CHECK(ranks.wait(0, 5) == 17);
  CHECK(ranks.wait(2, 5) == 17);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(1));
}

TEST_CASE("a rank that hangs makes the others throw after the timeout") {
  Forked ranks(
      2,
      [](const RankInfo& info) {
        Ranks group(info);
        if (info.rank == 1) {
          pause();
        }
        try {
          group.sum(1.0);
        } catch (const Error&) {
          _exit(17);
        }
      },
      2);
  CHECK(ranks.wait(0, 10) == 17);
}

TEST_CASE("the others wait for rank 0's own work beyond the time limit of a collective") {
  Forked ranks(
      3,
      [](const RankInfo& info) {
        Ranks group(info);
        int worked = 0;
        const auto begin = std::chrono::steady_clock::now();
        group.leader_alone("preparing", [&] {
          ++worked;
          usleep(2'600'000);
        });
        expect(std::chrono::steady_clock::now() - begin > std::chrono::milliseconds(2500), "did not wait");
        expect(worked == (info.rank == 0 ? 1 : 0), "rank 0 alone works");
        group.leader_alone("preparing again", [&] { ++worked; });
        expect(worked == (info.rank == 0 ? 2 : 0), "rank 0 alone works again");
        expect(group.sum(1.0) == 3, "and a sum afterwards");
      },
      1);
  CHECK(ranks.wait_all() == std::vector<int>{0, 0, 0});
}

TEST_CASE("rank 0's failure, death or silence in its own work ends the others") {
  const auto others_hear = [](const RankInfo& info, const char* message, const std::function<void()>& work) {
    Ranks group(info);
    try {
      group.leader_alone("preparing", work);
    } catch (const Error& e) {
      expect(std::string(e.what()).find(info.rank == 0 ? "no such file" : message) != std::string::npos,
             e.what());
      if (info.rank == 0) usleep(300'000);  // its store lives that long here
      _exit(17);
    }
  };
  SECTION("failure") {
    Forked ranks(2, [&](const RankInfo& info) {
      others_hear(info, "rank 1 of 2: rank 0 failed at preparing", [] { fail("no such file"); });
    });
    CHECK(ranks.wait_all() == std::vector<int>{17, 17});
  }
  SECTION("death") {
    Forked ranks(2, [&](const RankInfo& info) {
      others_hear(info, "preparing failed: another rank has ended", [] { _exit(3); });
    });
    const auto begin = std::chrono::steady_clock::now();
    CHECK(ranks.wait_all() == std::vector<int>{3, 17});
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(3));
  }
  SECTION("silence") {
    Forked ranks(
        2,
        [&](const RankInfo& info) {
          others_hear(info, "preparing failed: another rank has ended or cannot be reached",
                      [] { raise(SIGSTOP); });
        },
        1);
    CHECK(ranks.wait(1, 10) == 17);
  }
}

TEST_CASE("of what Gloo throws the first sentence is told, without the place in its sources") {
  CHECK(plain_reason(
            "[/pytorch/third_party/gloo/tcp/pair.cc:537] Read error [127.0.0.1]:24799: Connection reset "
            "by peer. This is typically caused by a remote worker hanging. GLHF!") ==
        "Read error [127.0.0.1]:24799: Connection reset by peer");
  CHECK(plain_reason("Timed out after 5 s\nException raised from here") == "Timed out after 5 s");
  CHECK(plain_reason("[odd") == "[odd");
}

TEST_CASE("without a rank 0 the error names the address") {
  RankInfo info;
  info.rank = 1;
  info.world_size = 2;
  info.master_port = 1;  // nobody listens there
  info.timeout_seconds = 1;
  Forked lonely(1, [info](const RankInfo&) {
    try {
      Ranks group(info);
    } catch (const Error& e) {
      expect(std::string(e.what()).find("rank 1 of 2: cannot reach rank 0 at 127.0.0.1:1") == 0, e.what());
      _exit(17);
    }
  });
  CHECK(lonely.wait(0, 20) == 17);
}
