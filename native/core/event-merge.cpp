#include "event-merge.h"

#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace llamaestro {
namespace {

constexpr uint8_t kTokens = static_cast<uint8_t>(EventKind::Tokens);

// For each row the row that it joins (itself, when it joins none); the number of rows that join an earlier one.
size_t chooseRows(const EventBatch& batch, std::vector<uint32_t>& joins) {
  std::unordered_map<uint32_t, uint32_t> newest;  // by sequence: the row that its next tokens may join
  size_t joining = 0;
  for (uint32_t row = 0; row < batch.kind.size(); ++row) {
    joins[row] = row;
    if (batch.kind[row] != kTokens) {
      newest.erase(batch.sequence[row]);
      continue;
    }
    const auto [found, isNew] = newest.emplace(batch.sequence[row], row);
    if (isNew) continue;
    joins[row] = found->second;
    ++joining;
  }
  return joining;
}

// Pieces of one call in one row are one piece.
void addParts(PartsRow& to, PartsRow& from) {
  to.reasoning += from.reasoning;
  for (ToolCallDelta& delta : from.toolCalls) {
    if (!to.toolCalls.empty() && to.toolCalls.back().index == delta.index) {
      to.toolCalls.back().arguments += delta.arguments;
    } else {
      to.toolCalls.push_back(std::move(delta));
    }
  }
}

uint32_t beginOf(const std::vector<uint32_t>& ends, uint32_t row) { return row == 0 ? 0 : ends[row - 1]; }

}  // namespace

EventBatch mergeTokenRows(EventBatch batch) {
  const auto rows = static_cast<uint32_t>(batch.kind.size());
  std::vector<uint32_t> joins(rows);
  if (chooseRows(batch, joins) == 0) return batch;

  std::vector<std::vector<uint32_t>> members(rows);
  for (uint32_t row = 0; row < rows; ++row) members[joins[row]].push_back(row);
  std::vector<std::vector<LogprobRow>> logprobs(batch.logprobs.empty() ? 0 : rows);
  for (LogprobRow& one : batch.logprobs) logprobs[joins[one.row]].push_back(std::move(one));

  std::vector<std::optional<PartsRow>> parts(batch.parts.empty() ? 0 : rows);
  for (PartsRow& one : batch.parts) {
    std::optional<PartsRow>& to = parts[joins[one.row]];
    if (!to) to.emplace();
    addParts(*to, one);
  }

  EventBatch merged;
  for (uint32_t first = 0; first < rows; ++first) {
    if (members[first].empty()) continue;
    for (uint32_t row : members[first]) {
      const auto ids = batch.tokenSlab.begin();
      merged.tokenSlab.insert(merged.tokenSlab.end(), ids + beginOf(batch.tokenEnd, row), ids + batch.tokenEnd[row]);
      const uint32_t textBegin = beginOf(batch.textEnd, row);
      merged.textSlab.append(std::string_view(batch.textSlab).substr(textBegin, batch.textEnd[row] - textBegin));
    }
    const auto at = static_cast<uint32_t>(merged.kind.size());
    const uint32_t idsBefore = merged.tokenEnd.empty() ? 0 : merged.tokenEnd.back();
    merged.sequence.push_back(batch.sequence[first]);
    merged.kind.push_back(batch.kind[first]);
    merged.a.push_back(batch.a[first]);
    merged.tokenEnd.push_back(static_cast<uint32_t>(merged.tokenSlab.size()));
    merged.textEnd.push_back(static_cast<uint32_t>(merged.textSlab.size()));
    merged.b.push_back(batch.kind[first] == kTokens ? merged.tokenEnd.back() - idsBefore : batch.b[first]);
    if (!parts.empty() && parts[first]) {
      parts[first]->row = at;
      merged.parts.push_back(std::move(*parts[first]));
    }
    if (logprobs.empty()) continue;
    for (LogprobRow& one : logprobs[first]) {
      one.row = at;
      merged.logprobs.push_back(std::move(one));
    }
  }
  merged.finished = std::move(batch.finished);
  merged.jobs = std::move(batch.jobs);
  return merged;
}

}  // namespace llamaestro
