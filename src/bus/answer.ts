/** Answers requests in the one reply shape: runs the work on the undecoded body, sends its result or its error. */
import { toLlamaestroError, type WireError } from '../base/errors.js';
import type { BusMessage } from './bus.js';

/** What `replyOf` in `schema/bus-messages` decodes. */
export type Reply<T> = { readonly ok: true; readonly body: T } | { readonly ok: false; readonly error: WireError };

/**
 * Responds exactly once, with what `work` gives (nothing counts as `{}`) or with the error it throws. What is not an
 * operating error is our fault: it is answered as `internal` and handed to `onFault`.
 */
export async function answer(
  message: BusMessage,
  work: (body: unknown) => unknown,
  onFault: (fault: unknown) => void,
): Promise<void> {
  const reply = await replyTo(message.body, work, onFault);
  try {
    message.respond(reply);
  } catch (thrown) {
    message.respond(failed(thrown, onFault)); // a result too large to send
  }
}

async function replyTo(
  body: unknown,
  work: (body: unknown) => unknown,
  onFault: (fault: unknown) => void,
): Promise<Reply<unknown>> {
  try {
    return { ok: true, body: (await work(body)) ?? {} };
  } catch (thrown) {
    return failed(thrown, onFault);
  }
}

function failed(thrown: unknown, onFault: (fault: unknown) => void): Reply<never> {
  const error = toLlamaestroError(thrown);
  if (error.code === 'internal') onFault(thrown);
  return { ok: false, error: error.toWire() };
}
