/** A pool that notes what becomes of each lease, between orchestra and the real one. Changes nothing. */
import type { Clock } from '../../src/base/ports.js';
import type { Lease, Pool } from '../../src/pool/pool.js';
import type { LeaseNote } from './history.js';

export interface LeaseWatch {
  readonly clock: Clock;
  readonly gateway: number;
  /** Notes are appended here. */
  readonly leases: LeaseNote[];
}

export function watchLeases(pool: Pool, { clock, gateway, leases }: LeaseWatch): Pool {
  const note = (rid: string, lease: Lease): Lease => {
    const grantedAtMs = clock.nowMs();
    const entry: LeaseNote = { rid, model: lease.model, gateway, grantedAtMs, released: 0, lost: lease.lost.aborted };
    leases.push(entry);
    const settle = (): void => void (entry.settledAtMs ??= clock.nowMs());
    lease.lost.addEventListener('abort', () => {
      entry.lost = true;
      settle();
    });
    return {
      ...lease,
      begin: (attempt) => lease.begin(attempt),
      release: () => {
        entry.released++;
        settle();
        lease.release();
      },
    };
  };
  return {
    apply: (profile) => pool.apply(profile),
    stage: (next) => pool.stage(next),
    lease: async (request, signal) => note(request.rid, await pool.lease(request, signal)),
    refusal: (claim, patience) => pool.refusal(claim, patience),
    contextTokensPerSlot: (model) => pool.contextTokensPerSlot(model),
    count: (model, prompt, signal) => pool.count(model, prompt, signal),
    embed: (model, inputs, signal) => pool.embed(model, inputs, signal),
    rerank: (model, query, documents, signal) => pool.rerank(model, query, documents, signal),
    unload: (model, drainMs) => pool.unload(model, drainMs),
    status: () => pool.status(),
    drain: (signal) => pool.drain(signal),
    close: () => pool.close(),
  };
}
