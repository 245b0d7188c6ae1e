#include "scheduler.h"

#include <algorithm>

#include "harness.h"
#include "prefill-pace.h"

using namespace llamaestro;

namespace {

SlotView prompt(uint32_t slot, uint32_t done, uint32_t total, uint32_t waited = 0) {
  SlotView view;
  view.slot = slot;
  view.doneTokens = done;
  view.totalTokens = total;
  view.waitedSteps = waited;
  view.arrival = slot;
  view.budgetTokens = 100;
  return view;
}

SlotView running(uint32_t slot, uint32_t budget = 100) {
  SlotView view = prompt(slot, 7, 7);
  view.budgetTokens = budget;
  return view;
}

// "0+(1)+2 | 3:0..16" for a call with slots 0 and 2 generating and padding between them, and one with 16 prompt tokens
// of slot 3.
std::string say(const std::vector<SlotView>& views, const SchedulerLimits& limits) {
  std::string text;
  for (const PlannedCall& call : planCalls(views, limits)) {
    if (!text.empty()) text += " | ";
    for (size_t i = 0; i < call.rows.size(); ++i) {
      const PlannedRow& row = call.rows[i];
      if (i > 0) text += "+";
      if (row.padding) {
        text += "(" + std::to_string(*row.padding) + ")";
        continue;
      }
      text += std::to_string(views[row.view].slot);
      if (!views[row.view].generating()) {
        text += ":" + std::to_string(row.from) + ".." + std::to_string(row.from + row.count);
        if (row.wantsOutput) text += "!";
      }
    }
  }
  return text;
}

const SchedulerLimits kSplit{64, 64, false};
const SchedulerLimits kUnified{64, 64, true};

}  // namespace

TEST("scheduler: every running sequence goes first, in one call when slots are dense") {
  CHECK_EQUAL(say({running(1), running(0), running(2)}, kSplit), "0+1+2");
  CHECK_EQUAL(say({prompt(2, 0, 10), running(0), running(1)}, kSplit), "0+1 | 2:0..10!");
}

TEST("scheduler: a hole is padded in the split layout, and costs a call of its own when it is wide") {
  CHECK_EQUAL(say({running(0), running(2), running(3)}, kSplit), "0+(1)+2+3");
  CHECK_EQUAL(say({running(1), running(4), running(6)}, kSplit), "1+(2)+(3)+4+(5)+6");
  CHECK_EQUAL(say({running(0), running(4), running(5)}, kSplit), "0 | 4+5");
  CHECK_EQUAL(say({running(0), running(2), running(3)}, kUnified), "0+2+3");
  SchedulerLimits bare = kSplit;
  bare.mostPadding = 0;
  CHECK_EQUAL(say({running(0), running(2), running(3)}, bare), "0 | 2+3");
}

TEST("scheduler: a slot that computes its prompt is no hole, and padding never makes a call too long") {
  CHECK_EQUAL(say({running(0), prompt(1, 0, 10), running(2)}, kSplit), "0 | 2 | 1:0..10!");
  CHECK_EQUAL(say({prompt(0, 0, 10), running(2), prompt(3, 0, 64)}, kSplit), "2 | 0:0..10!");
  SchedulerLimits narrow = kSplit;
  narrow.batchTokens = 3;
  CHECK_EQUAL(say({running(0), running(2), running(4), running(6), running(7)}, narrow), "0+(1)+2 | 4+(5)+6 | 7");
}

TEST("scheduler: whoever is out of turn is neither computed nor written over") {
  const auto out = [](SlotView view) {
    view.outOfTurn = true;
    return view;
  };
  CHECK_EQUAL(say({running(0), out(running(1)), running(2)}, kSplit), "0 | 2");
  CHECK_EQUAL(say({running(0), out(running(1)), running(3), out(prompt(4, 0, 9)), prompt(5, 0, 9)}, kSplit),
              "0 | 3 | 5:0..9!");
  CHECK_EQUAL(say({out(running(0)), running(1), running(3), out(running(4))}, kSplit), "1+(2)+3");
  CHECK_EQUAL(say({running(0), out(running(1)), out(prompt(2, 0, 9)), running(3)}, kUnified), "0+3");
}

TEST("scheduler: chunks end on the grid and only the last one asks for output") {
  CHECK_EQUAL(say({prompt(0, 0, 200)}, kSplit), "0:0..64");
  CHECK_EQUAL(say({prompt(0, 64, 200)}, kSplit), "0:64..128");
  CHECK_EQUAL(say({prompt(0, 192, 200)}, kSplit), "0:192..200!");
  CHECK_EQUAL(say({prompt(0, 10, 200)}, kSplit), "0:10..64");
}

TEST("scheduler: beside generating sequences a chunk is cut to what they may wait for, alone it is not") {
  SchedulerLimits limits{256, 256, false};
  limits.pieceTokens = 64;
  limits.besideTokens = 150;
  CHECK_EQUAL(say({running(0), prompt(1, 0, 700)}, limits), "0 | 1:0..128");
  CHECK_EQUAL(say({running(0), prompt(1, 128, 700)}, limits), "0 | 1:128..256");
  CHECK_EQUAL(say({prompt(1, 0, 700)}, limits), "1:0..256");
  // A piece of less than 64 would have other bits.
  CHECK_EQUAL(say({running(0), prompt(1, 512, 700)}, limits), "0 | 1:512..576");
  CHECK_EQUAL(say({running(0), prompt(1, 576, 700)}, limits), "0 | 1:576..700!");
  CHECK_EQUAL(say({running(0), prompt(1, 0, 30), prompt(2, 0, 700)}, limits), "0 | 1:0..30!");
  limits.besideTokens = 0;
  CHECK_EQUAL(say({running(0), prompt(1, 0, 700)}, limits), "0 | 1:0..64");
  CHECK_EQUAL(say({running(0), prompt(1, 0, 100)}, limits), "0 | 1:0..100!");
  limits.pieceTokens = 0;
  CHECK_EQUAL(say({running(0), prompt(1, 0, 700)}, limits), "0 | 1:0..256");
}

TEST("scheduler: pieces of a chunk are never small, whatever the time allows") {
  SchedulerLimits limits{256, 256, false};
  limits.pieceTokens = 64;
  for (uint32_t total = 1; total <= 600; ++total) {
    for (limits.besideTokens = 0; limits.besideTokens <= 300; limits.besideTokens += 50) {
      uint32_t done = 0;
      while (done < total) {
        const uint32_t count = planCalls({running(0), prompt(1, done, total)}, limits).at(1).rows.at(0).count;
        const uint32_t whole = std::min(total, (done / 256 + 1) * 256) - done / 256 * 256;
        CHECK(count >= 64 || count == whole);
        CHECK((done + count) % 64 == 0 || done + count == total);
        done += count;
      }
    }
  }
}

TEST("prefill pace: as many tokens as the last call lets one expect") {
  PrefillPace pace;
  CHECK_EQUAL(pace.tokensWithin(250), UINT32_MAX);
  pace.note(128, 256);
  CHECK_EQUAL(pace.tokensWithin(250), 125u);
  pace.note(64, 64);
  CHECK_EQUAL(pace.tokensWithin(250), 250u);
  pace.note(16, 0);
  CHECK_EQUAL(pace.tokensWithin(250), UINT32_MAX);
}

TEST("scheduler: the shortest remainder goes first, and what does not fit waits") {
  CHECK_EQUAL(say({prompt(0, 0, 3000), prompt(1, 0, 16)}, kSplit), "1:0..16!");
  CHECK_EQUAL(say({prompt(0, 0, 3000), prompt(1, 0, 16), prompt(2, 0, 20)}, kSplit), "1:0..16! | 2:0..20!");
}

TEST("scheduler: equal prompts in neighbouring slots share a call") {
  CHECK_EQUAL(say({prompt(0, 0, 16), prompt(1, 0, 16), prompt(2, 0, 16)}, kSplit), "0:0..16!+1:0..16!+2:0..16!");
  CHECK_EQUAL(say({prompt(0, 0, 16), prompt(2, 0, 16)}, kSplit), "0:0..16! | 2:0..16!");
  CHECK_EQUAL(say({prompt(0, 0, 16), prompt(2, 0, 9)}, kUnified), "0:0..16!+2:0..9!");
}

TEST("scheduler: a long prompt that waits overtakes short ones in the end") {
  CHECK_EQUAL(say({prompt(0, 0, 640, 1), prompt(1, 0, 64, 0)}, kSplit), "1:0..64!");
  CHECK_EQUAL(say({prompt(0, 0, 640, 40), prompt(1, 0, 64, 0)}, kSplit), "0:0..64");
}

TEST("scheduler: where sequences must not share a call, they do not") {
  SchedulerLimits limits = kSplit;
  limits.alone = true;
  CHECK_EQUAL(say({running(0), running(1), prompt(2, 0, 8), prompt(3, 0, 8)}, limits), "0 | 1 | 2:0..8! | 3:0..8!");
}

TEST("scheduler: prompts of a higher priority go first, until the others have waited long") {
  SlotView urgent = prompt(0, 0, 3000);
  urgent.priority = 1;
  CHECK_EQUAL(say({urgent, prompt(1, 0, 16)}, kSplit), "0:0..64");
  CHECK_EQUAL(say({urgent, prompt(1, 0, 16, 64)}, kSplit), "1:0..16!");
}

TEST("scheduler: a call never has more tokens than a batch") {
  const SchedulerLimits narrow{64, 2, false};
  CHECK_EQUAL(say({running(0), running(1), running(2)}, narrow), "0+1 | 2");
  CHECK_EQUAL(say({prompt(0, 0, 5)}, narrow), "0:0..2");
}
