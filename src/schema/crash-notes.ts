/** What outlives the gateway about models that fail: how often in a row, when the next load may be tried, why. */
import * as t from 'io-ts';
import { WireErrorCodec } from './bus-messages.js';

export const CrashNoteCodec = t.type({
  /** Hash of what decides how a model is loaded: file and options. */
  config: t.string,
  /** Name in the profile, for people. */
  model: t.string,
  /** In a row. */
  failures: t.number,
  /** The process ended or hung by itself; otherwise its load was refused in words. */
  crash: t.boolean,
  error: WireErrorCodec,
  /** By the wall clock: when it failed last, and when the next load may be tried. */
  atMs: t.number,
  retryAtMs: t.number,
});
export type CrashNote = t.TypeOf<typeof CrashNoteCodec>;

export const CrashNotesCodec = t.readonlyArray(CrashNoteCodec);
