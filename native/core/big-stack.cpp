#include "big-stack.h"

#include <pthread.h>

#include <exception>

#include "error.h"

namespace llamaestro {
namespace {

constexpr size_t kStackBytes = size_t{256} << 20;
constexpr size_t kFallbackStackBytes = size_t{16} << 20;  // where address space is limited

struct Job {
  const std::function<void()>* work;
  std::exception_ptr thrown;
};

void* runJob(void* argument) {
  Job* job = static_cast<Job*>(argument);
  try {
    (*job->work)();
  } catch (...) {
    job->thrown = std::current_exception();
  }
  return nullptr;
}

bool startThread(pthread_t& thread, size_t stackBytes, Job& job) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stackBytes);
  const bool started = pthread_create(&thread, &attributes, runJob, &job) == 0;
  pthread_attr_destroy(&attributes);
  return started;
}

}  // namespace

void runOnBigStack(const std::function<void()>& work) {
  Job job{&work, nullptr};
  pthread_t thread;
  if (!startThread(thread, kStackBytes, job) && !startThread(thread, kFallbackStackBytes, job)) {
    throw Failure(codes::kOutOfMemory, "no thread could be started");
  }
  pthread_join(thread, nullptr);
  if (job.thrown) std::rethrow_exception(job.thrown);
}

}  // namespace llamaestro
