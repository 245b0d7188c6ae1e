/**
 * What every kind of bus does alike: the JSON form of a body and its size limit, and calling handlers that may throw.
 * Knows no transport.
 */
import { assert } from '../base/assert.js';
import { LlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { BusMessage } from './bus.js';

/** UTF-8 JSON of `body`; throws `payload_too_large` with both sizes above `limitBytes`. */
export function encodeBody(body: unknown, limitBytes: number): Buffer {
  const text = JSON.stringify(body) as string | undefined;
  assert(text !== undefined, 'a body on the bus must be a JSON value');
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= limitBytes) return bytes;
  throw new LlamaestroError(
    'payload_too_large',
    `a message of ${String(bytes.length)} bytes does not fit the bus, which takes ${String(limitBytes)}`,
    { details: { bytes: bytes.length, limitBytes } },
  );
}

/** Throws a SyntaxError on what is not JSON. */
export function decodeBody(bytes: Uint8Array): unknown {
  return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')) as unknown;
}

/** Hands `message` to a subscriber; what it throws is logged and goes no further. */
export function deliverTo(handler: (message: BusMessage) => void, message: BusMessage, log: Logger): void {
  try {
    handler(message);
  } catch (error) {
    log.error('a bus handler failed', { subject: message.subject, error });
  }
}

/** Tells each listener of a change of the connection; what one throws is logged and does not stop the others. */
export function announce(
  status: 'lost' | 'back',
  listeners: Iterable<(status: 'lost' | 'back') => void>,
  log: Logger,
): void {
  for (const listener of [...listeners]) {
    try {
      listener(status);
    } catch (error) {
      log.error('a listener of the bus connection failed', { status, error });
    }
  }
}
