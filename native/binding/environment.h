// What the addon keeps for one Node environment (main thread or worker): its engines, its threads, and the one door
// back into JavaScript. However many events, progress values and settled promises wait, they cross in one call.
// Knows nothing of what the engines compute.
#pragma once

#include <napi.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "engine.h"
#include "log-hub.h"
#include "work-lane.h"

namespace llamaestro::binding {

// One engine of this environment. `engine` is set by the loading thread before anybody else sees the slot.
struct EngineSlot {
  uint32_t id = 0;
  std::shared_ptr<Engine> engine;
};

class Environment : public std::enable_shared_from_this<Environment> {
 public:
  // Plans and loads one environment has under way.
  static constexpr size_t kMaxLoads = 64;
  static constexpr size_t kMaxReads = 8;  // of metadata, beside the loads
  // Lines of the log that wait for the event loop; what comes beyond is counted and dropped.
  static constexpr size_t kMaxLogLines = 256;
  // What the end of a process or a worker waits for threads; after it they are left to themselves.
  static constexpr int kShutdownMs = 2000;

  // Makes the environment's one object and registers its end. JavaScript thread only.
  static std::shared_ptr<Environment> create(Napi::Env env);
  static std::shared_ptr<Environment> of(Napi::Env env);

  // Ends everything of this environment; waits at most kShutdownMs. True when all threads came to an end. Idempotent.
  bool shutdown();
  // Ends the environments of the whole process; true when all threads came to an end in time. Any thread, at exit.
  static bool shutdownAll();

  // JavaScript thread only, all of these.
  void listen(Napi::Function listener);
  // The event loop stays alive while works are open: each begun promise and each sequence is one.
  void beginWork();
  void endWork();
  void addSlot(const std::shared_ptr<EngineSlot>& slot);
  // Closes an engine nobody holds any more.
  void abandon(const std::shared_ptr<EngineSlot>& slot);
  // A flag that `cancel` and the end of the environment set. False for `ticket` in use or when `most` are under way.
  bool addTicket(uint32_t ticket, const CancelFlag& flag, size_t most = kMaxLoads);
  void cancelTicket(uint32_t ticket);
  // Lines of at least this level (1 ... 4) are delivered from now on; 0 delivers none.
  void setLogLevel(int level);
  void removeTicket(uint32_t ticket);

  // Any thread.
  using Completion = std::function<void(Napi::Env)>;
  // Runs on the JavaScript thread after the events posted before it; dropped when the environment ends first.
  void complete(Completion completion);
  void wake(const std::shared_ptr<EngineSlot>& slot);
  void progress(uint32_t ticket, double fraction);
  // Ends the engine on the calling thread, which may take as long as one graph node or one GPU step.
  void closeSlot(const std::shared_ptr<EngineSlot>& slot);

  WorkLane& texts() { return texts_; }
  OwnThreads& threads() { return threads_; }
  Napi::FunctionReference& engineClass() { return engineClass_; }

 private:
  struct Progress {
    uint32_t ticket;
    double fraction;
  };

  static void onDelivery(napi_env env, napi_value callback, void* context, void* data);
  static void onCleanup(void* context);

  void ring();
  void deliver(Napi::Env env);
  Napi::Array takeBatches(Napi::Env env, const std::vector<std::shared_ptr<EngineSlot>>& ready);
  Napi::Value takeLog(Napi::Env env, std::vector<LogLine>& lines, uint64_t dropped);
  void addLogLine(const LogLine& line);
  void endEverything();

  napi_threadsafe_function door_ = nullptr;
  Napi::FunctionReference listener_;
  Napi::FunctionReference engineClass_;
  uint32_t openWorks_ = 0;
  uint64_t logListener_ = 0;

  std::mutex mutex_;
  bool isPending_ = false;
  bool isOver_ = false;
  bool hasStragglers_ = false;
  std::vector<std::shared_ptr<EngineSlot>> ready_;
  std::vector<Progress> progress_;
  std::vector<Completion> completions_;
  std::vector<LogLine> logLines_;
  uint64_t droppedLogLines_ = 0;
  std::vector<std::shared_ptr<EngineSlot>> slots_;
  std::map<uint32_t, CancelFlag> tickets_;

  WorkLane texts_;
  OwnThreads threads_;
};

}  // namespace llamaestro::binding
