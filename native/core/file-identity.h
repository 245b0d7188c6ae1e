// Internal: what a file is known by until it changes: device, inode, size, and to the nanosecond when its bytes and its
// entry were last changed. The first of these times can be set back, the second cannot.
#pragma once

#include <string>
#include <vector>

struct stat;

namespace llamaestro {

std::string identityOf(const struct stat& status);

// Of several files as they are now, one behind the other; empty when one cannot be looked at.
std::string identityOf(const std::vector<std::string>& files);

}  // namespace llamaestro
