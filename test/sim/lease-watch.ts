/** A pool that notes what becomes of each lease, between orchestra and the real one. Changes nothing. */
import type { Clock } from '../../src/base/ports.js';
import type { Lease, Pool } from '../../src/pool/pool.js';
import type { LeaseNote } from './history.js';

export interface LeaseWatch {
  readonly clock: Clock;
  readonly gateway: number;
  /** Notes are appended here. */
  readonly leases: LeaseNote[];
  /** Leases that are out now, by model. */
  readonly out: Map<string, number>;
}

export function watchLeases(pool: Pool, { clock, gateway, leases, out }: LeaseWatch): Pool {
  const note = (rid: string, lease: Lease): Lease => {
    const { model, hid } = lease;
    const grantedAtMs = clock.nowMs();
    const entry: LeaseNote = { rid, model, hid, gateway, grantedAtMs, released: 0, lost: lease.lost.aborted };
    leases.push(entry);
    const count = (by: number): unknown => out.set(model, (out.get(model) ?? 0) + by);
    const settle = (): void => {
      if (entry.settledAtMs === undefined) count(-1);
      entry.settledAtMs ??= clock.nowMs();
    };
    count(1);
    if (entry.lost) settle();
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
  const watched: Pick<Pool, 'lease'> = {
    lease: async (request, signal) => note(request.rid, await pool.lease(request, signal)),
  };
  return new Proxy(pool, {
    get(target, property): unknown {
      const value = Reflect.get(property in watched ? watched : target, property) as unknown;
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
}
