// rpc-server PORT: lends this machine's CPU as a device with memory of its own, on loopback, until it is killed. The
// server itself is llama.cpp's; two of these stand in for GPUs in split-tests.
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <csignal>
#include <string>

#include "ggml-backend.h"
#include "ggml-rpc.h"

int main(int count, char** words) {
  if (count != 2) return 2;
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  if (cpu == nullptr) return 1;
  ggml_backend_rpc_start_server(("127.0.0.1:" + std::string(words[1])).c_str(), nullptr, 1, 1, &cpu);
  return 0;
}
