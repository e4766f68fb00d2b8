// What becomes of states, copied where it would else take memory of its own.
#include "graph/passes/states.h"

#include "tests/passes/pass_test.h"

using namespace zoetrope;
using namespace zoetrope::passes_test;

namespace {

const StatePair& state_of(const Graph& g, const char* name) {
  for (const StatePair& pair : g.states)
    if (g.value(pair.state).name == name) return pair;
  FAIL("no state ", name);
  return g.states[0];
}

}  // namespace

TEST_CASE("what becomes of a state before the state was last read is copied behind that") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {2, 3});
  const ValueId state = b.state_input("state", DType::kF32, {2, 3});
  const ValueId next = b.silu(x);  // made in front of the state's reader
  const ValueId y = b.concat({state, next}, 0);
  b.state(state, next);
  b.output("y", b.silu(y));
  const Graph g = finished(b);
  auto settled = settle_states(g);
  REQUIRE_MESSAGE(settled.ok(), settled.status().message());
  CHECK(verify(*settled).ok());
  CHECK(count(*settled, OpKind::kSlice) == 1);
  const Value& now = settled->value(state_of(*settled, "state").next);
  REQUIRE(now.producer != kNone);
  CHECK(settled->nodes[static_cast<size_t>(now.producer)].op == OpKind::kSlice);
  // Behind the concat, and no later than that.
  CHECK(settled->nodes[static_cast<size_t>(now.producer) - 1].op == OpKind::kConcat);
  check_same(g, *settled);
  CHECK(states_in_place(g).empty());
  CHECK(states_in_place(*settled).size() == 1);
  // What is settled stays.
  CHECK(to_text(*settle_states(*settled)) == to_text(*settled));
}

TEST_CASE("what is made when nobody reads the state any more is left alone") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {2, 3});
  const ValueId state = b.state_input("state", DType::kF32, {2, 3});
  const ValueId unread = b.state_input("unread", DType::kF32, {2, 3});
  const ValueId all = b.concat({state, x}, 0);
  b.state(state, b.slice(all, 0, 2, 4));
  b.state(unread, b.silu(x));
  b.output("y", all);
  const Graph g = finished(b);
  CHECK(states_in_place(g).size() == 2);
  CHECK(to_text(*settle_states(g)) == to_text(g));
}

TEST_CASE("shift registers, states of slower phases and states that are wanted afterwards stay") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {2, 3});
  const ValueId slow = b.input("slow", DType::kF32, {2, 3}, Rate::kClip);
  const ValueId first = b.state_input("first", DType::kF32, {2, 3});
  const ValueId second = b.state_input("second", DType::kF32, {2, 3});
  const ValueId third = b.state_input("third", DType::kF32, {2, 3});
  const ValueId fourth = b.state_input("fourth", DType::kF32, {2, 3});
  const ValueId made = b.silu(x), clip = b.silu(slow);
  b.state(first, second);
  b.state(second, made);
  b.state(third, clip);
  b.state(fourth, made);
  b.output("y", b.add(b.add(first, second), b.add(third, fourth)));
  b.output("fourth_now", fourth);
  const Graph g = finished(b);
  CHECK(states_in_place(g).empty());
  CHECK(to_text(*settle_states(g)) == to_text(g));
}

TEST_CASE("one value that becomes of two states is copied for one of them") {
  Builder b("g");
  const ValueId x = b.input("x", DType::kF32, {2, 3});
  const ValueId one = b.state_input("one", DType::kF32, {2, 3});
  const ValueId two = b.state_input("two", DType::kF32, {2, 3});
  const ValueId made = b.mul(b.add(one, two), x);
  b.state(one, made);
  b.state(two, made);
  b.output("y", b.silu(made));
  const Graph g = finished(b);
  auto settled = settle_states(g);
  REQUIRE(settled.ok());
  CHECK(count(*settled, OpKind::kSlice) == 1);
  CHECK(states_in_place(g).size() == 1);
  CHECK(states_in_place(*settled).size() == 2);
  CHECK(state_of(*settled, "one").next != state_of(*settled, "two").next);
  check_same(g, *settled);
}
