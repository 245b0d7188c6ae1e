/** Programmer errors: a broken invariant stops the process; it is never shown to a client as an answer. */

/** Throws when an invariant of ours does not hold. Never used on input from outside. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/** Marks a branch the types rule out; the argument makes the compiler prove it. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}
