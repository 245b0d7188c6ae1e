/** Runs sequences to their end and keeps what they said; shared by the engine's tests. */
import { expect } from 'chai';
import { LlamaestroError, type ErrorCode } from '../../src/base/errors.js';
import type { Engine, Sequence, SequenceEvent, SequenceRequest } from '../../src/engine/engine.js';

export type FinishedEvent = Extract<SequenceEvent, { type: 'finished' }>;

export interface Transcript {
  readonly events: SequenceEvent[];
  readonly ids: number[];
  text: string;
  finished: FinishedEvent;
}

/** Resolves with the whole transcript once the finished event came. `onEvent` may act on the way, on a cancel for instance. */
export function runSequence(
  engine: Engine,
  request: SequenceRequest,
  onEvent: (event: SequenceEvent, sequence: Sequence) => void = () => undefined,
): Promise<Transcript> {
  return new Promise((resolve) => {
    const events: SequenceEvent[] = [];
    const ids: number[] = [];
    let text = '';
    const sequence = engine.submit(request, (event) => {
      events.push(event);
      if (event.type === 'tokens') {
        ids.push(...event.ids);
        text += event.text;
      }
      onEvent(event, sequence);
      if (event.type === 'finished') resolve({ events, ids, text, finished: event });
    });
  });
}

/** A text prompt. */
export function say(text: string): SequenceRequest['prompt'] {
  return { kind: 'text', text };
}

/** Asserts that `call` throws or rejects with `code`, and returns the error. */
export async function expectError(code: ErrorCode, call: () => unknown): Promise<LlamaestroError> {
  let thrown: unknown;
  try {
    await call();
  } catch (caught) {
    thrown = caught;
  }
  expect(thrown, `an error with code ${code}`).to.be.instanceOf(LlamaestroError);
  const error = thrown as LlamaestroError;
  expect(error.code, error.message).to.equal(code);
  return error;
}
