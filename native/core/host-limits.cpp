#include "host-limits.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif
#ifdef __APPLE__
#include <mach/mach.h>
#include <sys/sysctl.h>
#include <sys/types.h>
#endif

namespace llamaestro {

#ifdef __linux__
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

std::string readText(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// A number, or `otherwise` for "max", an empty file or a file that is not there.
uint64_t readNumber(const std::string& path, uint64_t otherwise) {
  const std::string text = readText(path);
  if (text.empty() || text[0] < '0' || text[0] > '9') return otherwise;
  return std::strtoull(text.c_str(), nullptr, 10);
}

// The value behind "name" in a file of "name value" lines.
uint64_t readField(const std::string& path, const std::string& name, uint64_t otherwise) {
  std::ifstream file(path);
  std::string word;
  uint64_t value = 0;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    if (fields >> word >> value && word == name) return value;
  }
  return otherwise;
}

// Folders of this process's cgroup and its parents, innermost first: v2, or the v1 hierarchy of `controller`.
std::vector<std::string> cgroupFolders(const std::string& controller, bool& isV2) {
  std::ifstream file("/proc/self/cgroup");
  std::string path;
  std::string root;
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (controllers.empty() && root.empty()) {
      path = line.substr(second + 1);
      root = "/sys/fs/cgroup";
      isV2 = true;
    } else if (("," + controllers + ",").find("," + controller + ",") != std::string::npos) {
      path = line.substr(second + 1);
      root = "/sys/fs/cgroup/" + controller;
      isV2 = false;
      break;
    }
  }
  std::vector<std::string> folders;
  if (root.empty()) return folders;
  while (!path.empty() && path != "/") {
    folders.push_back(root + path);
    path = path.substr(0, path.rfind('/'));
  }
  folders.push_back(root);
  return folders;
}

void applyMemoryLimit(HostMemory& memory, uint64_t limit, uint64_t used, uint64_t droppable) {
  if (limit >= (uint64_t{1} << 60)) return;  // v1 says "no limit" with a huge number
  used -= std::min(used, droppable);
  memory.totalBytes = std::min(memory.totalBytes, limit);
  memory.freeBytes = std::min(memory.freeBytes, limit - std::min(limit, used));
}

uint32_t quotaCores() {
  bool isV2 = false;
  double cores = std::numeric_limits<double>::infinity();
  for (const std::string& folder : cgroupFolders("cpu", isV2)) {
    double quota = 0;
    double period = 0;
    if (isV2) {
      std::istringstream fields(readText(folder + "/cpu.max"));
      if (!(fields >> quota >> period)) continue;  // "max 100000" fails here
    } else {
      quota = static_cast<double>(readNumber(folder + "/cpu.cfs_quota_us", 0));
      period = static_cast<double>(readNumber(folder + "/cpu.cfs_period_us", 0));
    }
    if (quota > 0 && period > 0) cores = std::min(cores, quota / period);
  }
  return std::isinf(cores) ? std::numeric_limits<uint32_t>::max() : static_cast<uint32_t>(std::ceil(cores));
}

}  // namespace

HostMemory readHostMemory() {
  HostMemory memory;
  memory.totalBytes = readField("/proc/meminfo", "MemTotal:", 0) * 1024;
  memory.freeBytes = readField("/proc/meminfo", "MemAvailable:", 0) * 1024;
  bool isV2 = false;
  for (const std::string& folder : cgroupFolders("memory", isV2)) {
    if (isV2) {
      applyMemoryLimit(memory, readNumber(folder + "/memory.max", kUnlimited),
                       readNumber(folder + "/memory.current", 0),
                       readField(folder + "/memory.stat", "inactive_file", 0));
    } else {
      applyMemoryLimit(memory, readNumber(folder + "/memory.limit_in_bytes", kUnlimited),
                       readNumber(folder + "/memory.usage_in_bytes", 0),
                       readField(folder + "/memory.stat", "total_inactive_file", 0));
    }
  }
  return memory;
}

uint64_t readPrivateBytes() { return readField("/proc/self/status", "RssAnon:", 0) * 1024; }

uint32_t readCoresAllowed() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  std::set<std::pair<uint64_t, uint64_t>> cores;
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &mask)) continue;
      const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
      // Without topology files every logical CPU counts as a core of its own.
      cores.insert({readNumber(folder + "physical_package_id", 0),
                    readNumber(folder + "core_id", 1000000 + static_cast<uint64_t>(cpu))});
    }
  }
  const uint32_t found = cores.empty() ? std::thread::hardware_concurrency() : static_cast<uint32_t>(cores.size());
  return std::max(1u, std::min(found, quotaCores()));
}

#elif defined(__APPLE__)

HostMemory readHostMemory() {
  HostMemory memory;
  size_t size = sizeof(memory.totalBytes);
  sysctlbyname("hw.memsize", &memory.totalBytes, &size, nullptr, 0);
  vm_statistics64_data_t pages;
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  if (host_statistics64(mach_host_self(), HOST_VM_INFO64, reinterpret_cast<host_info64_t>(&pages), &count) == 0) {
    const uint64_t free = uint64_t{pages.free_count} + pages.inactive_count + pages.purgeable_count;
    memory.freeBytes = free * vm_page_size;
  }
  return memory;
}

uint64_t readPrivateBytes() {
  task_vm_info_data_t info;
  mach_msg_type_number_t count = TASK_VM_INFO_COUNT;
  const auto got = task_info(mach_task_self(), TASK_VM_INFO, reinterpret_cast<task_info_t>(&info), &count);
  return got == KERN_SUCCESS ? info.phys_footprint : 0;
}

uint32_t readCoresAllowed() {
  uint32_t cores = 0;
  size_t size = sizeof(cores);
  if (sysctlbyname("hw.perflevel0.physicalcpu", &cores, &size, nullptr, 0) != 0 || cores == 0) {
    size = sizeof(cores);
    sysctlbyname("hw.physicalcpu", &cores, &size, nullptr, 0);
  }
  return std::max(1u, cores);
}

#else

HostMemory readHostMemory() { return {}; }
uint64_t readPrivateBytes() { return 0; }
uint32_t readCoresAllowed() { return std::max(1u, std::thread::hardware_concurrency()); }

#endif

}  // namespace llamaestro
