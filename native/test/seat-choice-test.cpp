#include "seat-choice.h"

#include <cctype>
#include <string>

#include "harness.h"

using namespace llamaestro;

namespace {

// A letter for each slot's adapter set (small: computes its prompt or ends soon), '.' for a free one, a digit for one
// in which something was left, larger for later.
std::vector<Seat> seatsOf(const std::string& text) {
  std::vector<Seat> seats;
  for (const char one : text) {
    Seat seat;
    seat.taken = isalpha(one) != 0;
    if (seat.taken) seat.space = static_cast<uint64_t>(toupper(one));
    seat.stays = isupper(one) != 0;
    if (isdigit(one) != 0) seat.heldSince = static_cast<uint64_t>(one - '0');
    seats.push_back(seat);
  }
  return seats;
}

const SchedulerLimits kSplit{64, 64, false};
const SchedulerLimits kUnified{64, 64, true};

std::string seat(const std::string& text, char set = 'A', const SchedulerLimits& limits = kSplit) {
  const auto slot = chooseSeat(seatsOf(text), static_cast<uint64_t>(set), limits);
  return slot ? std::to_string(*slot) : "none";
}

std::string move(const std::string& text, const SchedulerLimits& limits = kSplit) {
  const auto move = planMove(seatsOf(text), limits);
  return move ? std::to_string(move->from) + ">" + std::to_string(move->to) : "none";
}

}  // namespace

TEST("seat choice: a newcomer gets the lowest free slot, be the others computing prompts or not") {
  CHECK_EQUAL(seat("...."), "0");
  CHECK_EQUAL(seat("A..."), "1");
  CHECK_EQUAL(seat("a.A."), "1");
  CHECK_EQUAL(seat("AAAA"), "none");
  CHECK_EQUAL(seat(""), "none");
}

TEST("seat choice: what was left in a slot is not lost before what was used longer ago, nor without need") {
  CHECK_EQUAL(seat("12.."), "2");
  CHECK_EQUAL(seat("312"), "1");
  CHECK_EQUAL(seat("A1.."), "2");
  CHECK_EQUAL(seat("A31"), "2");
  // A call more in every step would be too much.
  CHECK_EQUAL(seat("A3214"), "3");
  CHECK_EQUAL(seat("A3214."), "3");
  CHECK_EQUAL(seat("A3214.", 'A', kUnified), "5");
  CHECK_EQUAL(seat("A321", 'A', kUnified), "3");
}

TEST("seat choice: sets begin far from each other and stay together") {
  CHECK_EQUAL(seat("A.......", 'B'), "7");
  CHECK_EQUAL(seat("A......B", 'B'), "6");
  CHECK_EQUAL(seat("A......B", 'A'), "1");
  CHECK_EQUAL(seat("A......B", 'C'), "3");
  CHECK_EQUAL(seat("A..C...B", 'C'), "4");
  CHECK_EQUAL(seat("AB......", 'A'), "7");
  CHECK_EQUAL(seat("A..B", 'B'), "2");
  // Where it is not in the way of another set.
  CHECK_EQUAL(seat("A.A...", 'B'), "5");
  CHECK_EQUAL(seat("A.A..B", 'A'), "1");
  CHECK_EQUAL(seat("A.......", 'B', kUnified), "1");
}

TEST("seat choice: the sequence that leaves no hole moves into one") {
  CHECK_EQUAL(move("A..A"), "3>1");
  CHECK_EQUAL(move("AA.."), "none");
  CHECK_EQUAL(move("..A."), "none");
  CHECK_EQUAL(move("A..A", kUnified), "none");
  CHECK_EQUAL(move(""), "none");
  // Both ends are as far: one copy suffices.
  CHECK_EQUAL(move("A...AA"), "0>3");
  // One that ends soon, or computes its prompt, is not worth it.
  CHECK_EQUAL(move("A..a"), "none");
  CHECK_EQUAL(move("AaA."), "none");
  CHECK_EQUAL(move("A.AA.a"), "3>1");
  SchedulerLimits bare = kSplit;
  bare.mostPadding = 0;
  CHECK_EQUAL(move("A.A", bare), "2>1");
}

TEST("seat choice: sets find together again, but do not change places") {
  CHECK_EQUAL(move("AB.A"), "0>2");
  CHECK_EQUAL(move("A.BA"), "3>1");
  CHECK_EQUAL(move("BA.B.A"), "1>4");
  CHECK_EQUAL(move("B..BAA"), "3>1");
  CHECK_EQUAL(move("ABAB"), "none");
  CHECK_EQUAL(move("ABAB."), "1>4");
}

TEST("seat choice: nothing that was left makes room but for a call or much padding") {
  CHECK_EQUAL(move("A1A"), "none");
  CHECK_EQUAL(move("A1.A"), "0>2");
  CHECK_EQUAL(move("A123A"), "4>1");
  CHECK_EQUAL(move("A1A2A3A"), "6>1");
}
