// What happens when memory ends in the middle of a request, at any point of it. This program's operator new fails on
// demand, on the thread that asked for that.
#include <cstdlib>
#include <new>

#include "server/routes.h"
#include "world.h"

namespace {

// -1: off. How many more allocations of this thread succeed.
thread_local long t_left = -1;

// What operator new stands on; it is replaced here and nowhere else.
constexpr auto kTake = &std::malloc;
constexpr auto kGive = &std::free;

void* take(size_t bytes) {
  if (t_left == 0) throw std::bad_alloc();
  if (t_left > 0) t_left--;
  void* memory = kTake(bytes ? bytes : 1);
  if (!memory) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t bytes) { return take(bytes); }
void* operator new[](size_t bytes) { return take(bytes); }
// What asks so (std::stable_sort) goes on without; no memory is no failure of the request.
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return kTake(bytes ? bytes : 1); }
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept { return kTake(bytes ? bytes : 1); }
void operator delete(void* memory) noexcept { kGive(memory); }
void operator delete[](void* memory) noexcept { kGive(memory); }
void operator delete(void* memory, size_t) noexcept { kGive(memory); }
void operator delete[](void* memory, size_t) noexcept { kGive(memory); }

namespace lancet {
namespace {

using test::World;

TEST(Memory, ARequestWhoseKthAllocationFailsIsRefusedAndHarmsNobody) {
  World world;
  const std::string canary = R"({"prompt":"canary","max_tokens":6,"ignore_eos":true,"temperature":0})";
  const std::string wanted =
      std::string(world.post("/v1/completions", canary).json().at("choices").at(0).at("text").as_string());
  const Service service = world.service();
  const ServerLimits limits;
  const HttpRequest bodies[] = {
      {.method = "POST", .target = "/v1/completions", .body = canary},
      {.method = "POST",
       .target = "/v1/chat/completions",
       .body = R"({"messages":[{"role":"user","content":"hi"}],"max_tokens":3,"stop":["x"],"n":2,"stream":true})"},
      {.method = "POST", .target = "/tokenize", .body = R"({"content":"some text","with_pieces":true})"},
  };
  for (const HttpRequest& request : bodies) {
    bool went_through = false;
    for (long k = 0; k < 5000 && !went_through; k++) {
      int status = 0;
      {
        const RequestContext context{.service = service, .limits = limits, .request = request};
        t_left = k;
        std::optional<Answer> answer;
        try {
          answer.emplace(run_route(context));
          went_through = t_left > 0;
        } catch (const std::bad_alloc&) {
          status = 503;  // not even the refusal could be made: the session closes the connection
        }
        t_left = -1;
        if (answer && std::holds_alternative<HttpResponse>(*answer)) status = std::get<HttpResponse>(*answer).status;
      }
      EXPECT_TRUE(status == 0 || status == 200 || status == 503 || status == 500) << request.target << " " << status;
    }
    EXPECT_TRUE(went_through) << request.target;
  }
  EXPECT_TRUE(world.until([](const EngineStats& stats) { return stats.running == 0 && stats.waiting == 0; }));
  const auto reply = world.post("/v1/completions", canary);
  EXPECT_EQ(reply.json().at("choices").at(0).at("text"), boost::json::value(wanted));
  EXPECT_TRUE(world.until([](const EngineStats& stats) { return stats.free_blocks == stats.total_blocks; }));
}

}  // namespace
}  // namespace lancet
