/** What a bus request was answered, typed as loosely as tests read it: every field of every verb, none of them promised. */
import type { WireError } from '../../src/base/errors.js';
import type { DeviceInfo } from '../../src/schema/load.js';

export interface LooseReply {
  readonly ok: boolean;
  readonly body: {
    readonly pid: number;
    readonly slots: number;
    readonly count: number;
    readonly live: boolean;
    readonly hosts: readonly unknown[];
    readonly devices: readonly DeviceInfo[];
    readonly ids: readonly number[];
    readonly vectors: readonly (readonly number[])[];
    readonly scores: readonly [number, number];
  };
  readonly error: WireError;
}
