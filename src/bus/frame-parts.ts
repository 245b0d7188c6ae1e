/**
 * Cuts what is too large for one frame: long deltas into parts, long errors to their beginning, so that any frame fits a
 * message by itself. Pure; knows nothing of sequence numbers.
 */
import type { FrameBody } from '../schema/bus-messages.js';

/** Most UTF-16 units of text, and token ids, in one delta. */
export interface PartLimits {
  readonly textUnits: number;
  readonly ids: number;
}

const MAX_TEXT_UNITS = 64 * 1024;
const MAX_IDS = 16 * 1024;
/** A UTF-16 unit takes at most six bytes in JSON, an id with its comma at most twelve; half the message is for each. */
const BYTES_PER_UNIT = 6;
const BYTES_PER_ID = 12;
/** For everything else in a bundle of one frame. */
const HEAD_BYTES = 1024;
const MAX_ERROR_UNITS = 1024;
const MAX_DETAILS_UNITS = 2048;

/** Limits under which a bundle of one delta is never above `maxPayloadBytes`; an error fits from 32 KiB on. */
export function partLimits(maxPayloadBytes: number): PartLimits {
  const halfBytes = (maxPayloadBytes - HEAD_BYTES) / 2;
  return {
    textUnits: Math.max(2, Math.min(MAX_TEXT_UNITS, Math.floor(halfBytes / BYTES_PER_UNIT))),
    ids: Math.max(1, Math.min(MAX_IDS, Math.floor(halfBytes / BYTES_PER_ID))),
  };
}

/** The end of a part that starts at `from`, never between the two halves of a character. */
function endOfPart(text: string, from: number, units: number): number {
  const end = Math.min(text.length, from + units);
  const last = text.charCodeAt(end - 1);
  return end < text.length && last >= 0xd800 && last <= 0xdbff ? end - 1 : end;
}

/** `body` as one frame or more, in order; all but a long delta is one. Text and ids of the parts add up to the whole. */
export function partsOf(body: FrameBody, limits: PartLimits): readonly FrameBody[] {
  if (body.type === 'error') return [boundedError(body)];
  if (body.type !== 'delta') return [body];
  const { text, ids, firstIndex } = body;
  if (text.length <= limits.textUnits && ids.length <= limits.ids) return [body];
  const parts: FrameBody[] = [];
  let [at, index] = [0, 0];
  while (at < text.length || index < ids.length) {
    const end = endOfPart(text, at, limits.textUnits);
    const some = ids.slice(index, index + limits.ids);
    parts.push({ type: 'delta', firstIndex: firstIndex + index, ids: some, text: text.slice(at, end) });
    [at, index] = [end, index + some.length];
  }
  return parts;
}

function boundedError(body: Extract<FrameBody, { type: 'error' }>): FrameBody {
  const { code, message, remedy, param, details } = body.error;
  const cut = (text: string): string => text.slice(0, MAX_ERROR_UNITS);
  const keepDetails = details !== undefined && JSON.stringify(details).length <= MAX_DETAILS_UNITS;
  return {
    type: 'error',
    error: {
      code,
      message: cut(message),
      remedy: cut(remedy),
      ...(param === undefined ? {} : { param: cut(param) }),
      ...(keepDetails ? { details } : {}),
    },
  };
}
