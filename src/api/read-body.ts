/** Reads a JSON body within a limit. Knows nothing of what it means. */
import type { IncomingMessage } from 'node:http';
import { LlamaestroError } from '../base/errors.js';

/** Largest request body: what one message of the bus takes (1 MiB), with room for its envelope. */
export const MAX_BODY_BYTES = 1024 * 1024 - 16 * 1024;

function tooLarge(bytes: number): LlamaestroError {
  const message = `the body has ${String(bytes)} bytes or more, the limit is ${String(MAX_BODY_BYTES)}`;
  return new LlamaestroError('payload_too_large', message, { details: { bytes, limitBytes: MAX_BODY_BYTES } });
}

/** The parsed body. `payload_too_large` before the rest is read; `invalid_request` when it is not JSON. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > MAX_BODY_BYTES) throw tooLarge(declared);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_BODY_BYTES) throw tooLarge(bytes);
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof LlamaestroError) throw cause;
    throw new LlamaestroError('cancelled', 'the client left before its body was complete', { cause });
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))) as unknown;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : '';
    throw new LlamaestroError('invalid_request', `the body is not JSON in UTF-8: ${reason.slice(0, 120)}`, { cause });
  }
}
