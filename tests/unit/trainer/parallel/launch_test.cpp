#include "tests/catch.h"
#include "tests/temporary_folder.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "recipes/schema/error.h"
#include "trainer/parallel/ranks.h"

using namespace lathe;
namespace fs = std::filesystem;

namespace {

int launch(int processes, const std::string& script) {
  return launch_processes(processes, {"/bin/sh", "-c", script});
}

// launch() in a process of its own, which can be sent signals.
pid_t launch_apart(int processes, const std::string& script) {
  const pid_t child = fork();
  if (child == 0) _exit(launch(processes, script));
  return child;
}

bool appears(const fs::path& path) {
  for (int i = 0; i < 500 && !fs::exists(path); ++i) usleep(10'000);
  return fs::exists(path);
}

}  // namespace

TEST_CASE("every process gets its rank, the same port and its share of the threads") {
  TemporaryFolder folder;
  const std::string script = "echo $LATHE_RANK $LATHE_WORLD_SIZE $LATHE_LOCAL_RANK $LATHE_MASTER_ADDRESS > " +
                             folder.path() + "/$LATHE_RANK; echo $LATHE_MASTER_PORT > " + folder.path() +
                             "/port$LATHE_RANK; test \"$OMP_NUM_THREADS\" -ge 1";
  CHECK(launch(2, script) == 0);
  CHECK(read_bytes(folder / "0") == "0 2 0 127.0.0.1\n");
  CHECK(read_bytes(folder / "1") == "1 2 1 127.0.0.1\n");
  CHECK(read_bytes(folder / "port0") == read_bytes(folder / "port1"));
  CHECK(std::stoi(read_bytes(folder / "port0")) > 0);
}

TEST_CASE("the first failure decides the code and ends the rest within a second") {
  // From the death on; the others do not listen. On a busy machine one of three tries is not held up.
  double least = 20;
  for (int attempt = 0; attempt < 3 && least >= 1; ++attempt) {
    TemporaryFolder folder;
    CHECK(launch(3, "trap '' TERM USR2; if [ $LATHE_RANK = 1 ]; then date +%s.%N > " + folder.path() +
                        "/died; exit 7; fi; exec sleep 20") == 7);
    const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
    least = std::min(least, now.count() - std::stod(read_bytes(folder / "died")));
  }
  CHECK(least < 1);
  CHECK_THROWS_WITH(launch(2, "if [ $LATHE_RANK = 0 ]; then kill -9 $$; fi; exec sleep 20"),
                    "rank 0 was ended by signal 9 (Killed); the other ranks were stopped. The same command "
                    "goes on from the last "
                    "checkpoint");
  CHECK(launch_processes(1, {"/nonexistent/program"}) == 127);
}

TEST_CASE("a rank that saved and stopped is no failure: the others may finish") {
  TemporaryFolder folder;
  CHECK(launch(2, "if [ $LATHE_RANK = 1 ]; then exit 130; fi; sleep 1.2; touch " + folder.path() +
                      "/saved; exit 130") == 130);
  CHECK(fs::exists(folder / "saved"));
}

TEST_CASE("an interrupt is passed on once and the ranks have time to save") {
  TemporaryFolder folder;
  const std::string mark = folder.path() + "/";
  const pid_t launcher =
      launch_apart(2, "trap 'echo x >> " + mark + "got$LATHE_RANK; sleep 1.2; exit 130' INT; touch " + mark +
                          "up$LATHE_RANK; while :; do sleep 0.05; done");
  REQUIRE(appears(mark + "up0"));
  REQUIRE(appears(mark + "up1"));
  kill(launcher, SIGINT);
  int status = 0;
  waitpid(launcher, &status, 0);
  CHECK(WEXITSTATUS(status) == 130);
  CHECK(read_bytes(folder / "got0") == "x\n");
  CHECK(read_bytes(folder / "got1") == "x\n");
}

TEST_CASE("ranks do not outlive a launcher that is killed") {
  TemporaryFolder folder;
  const std::string mark = folder.path() + "/";
  const pid_t launcher = launch_apart(
      1, "trap 'touch " + mark + "ended; exit 130' TERM; touch " + mark + "up; while :; do sleep 0.05; done");
  REQUIRE(appears(mark + "up"));
  kill(launcher, SIGKILL);
  waitpid(launcher, nullptr, 0);
  CHECK(appears(mark + "ended"));
}
