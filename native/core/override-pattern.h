// Internal: which regular expressions may choose tensors. llama.cpp hands them to std::regex, which backtracks without
// bounds; those let through end in a bounded number of steps on names of at most 63 letters.
#pragma once

#include <string>

namespace llamaestro {

inline constexpr size_t kMaxOverrides = 64;
inline constexpr size_t kMaxPatternBytes = 256;
inline constexpr int kMaxPatternRepeats = 3;
inline constexpr int kMaxPatternCount = 99;  // in braces: std::regex writes the repeated place out as often
inline constexpr int kMaxPatternDepth = 8;

// What is wrong with `pattern`, as the end of a sentence that begins with its name; empty when it may be used. Letters,
// digits and `_ - / . ^ $ |`, classes in brackets, groups, escapes (\d \w \s and escaped signs), at most three of * +
// {m,n} (counts up to 99), none of them behind a group or another repeat; ? may follow both a group and a single place.
std::string patternFault(const std::string& pattern);

}  // namespace llamaestro
