/** Reads a JSON body within a limit. Knows nothing of what it means. */
import type { IncomingMessage } from 'node:http';
import { LlamaestroError } from '../base/errors.js';

/** Largest request body: what one message of the bus takes (1 MiB), with room for its envelope. */
export const MAX_BODY_BYTES = 1024 * 1024 - 16 * 1024;

/**
 * A larger body up to so many bytes is read and dropped before it is refused: most clients look for an answer only when
 * they have written all, and a socket closed on unread bytes takes the answer with it.
 */
const MAX_DROPPED_BYTES = 64 * 1024 * 1024;

function tooLarge(bytes: number): LlamaestroError {
  const message = `the body has ${String(bytes)} bytes or more, the limit is ${String(MAX_BODY_BYTES)}`;
  return new LlamaestroError('payload_too_large', message, { details: { bytes, limitBytes: MAX_BODY_BYTES } });
}

/** The body's bytes. `payload_too_large` beyond the limit. */
async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > MAX_DROPPED_BYTES) throw tooLarge(declared);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_DROPPED_BYTES) break; // and cut off: the socket ends with the request's stream
    if (bytes > MAX_BODY_BYTES) chunks.length = 0;
    else chunks.push(chunk);
  }
  if (bytes > MAX_BODY_BYTES) throw tooLarge(bytes);
  return Buffer.concat(chunks);
}

/** As `readJson`, where nothing at all stands for `{}`. */
export async function readJsonOrNothing(request: IncomingMessage): Promise<unknown> {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
  return encoding === undefined && Number(length ?? 0) === 0 ? {} : readJson(request);
}

/** The parsed body. `payload_too_large` beyond the limit; `invalid_request` when it is not JSON. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  let body: Buffer;
  try {
    body = await bytesOf(request);
  } catch (cause) {
    if (cause instanceof LlamaestroError) throw cause;
    throw new LlamaestroError('cancelled', 'the client left before its body was complete', { cause });
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)) as unknown;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : '';
    throw new LlamaestroError('invalid_request', `the body is not JSON in UTF-8: ${reason.slice(0, 120)}`, { cause });
  }
}
