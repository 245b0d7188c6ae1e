/**
 * The rules of the design's section 5 that hold at every moment, looked at after every step of a simulated run: slots add
 * up, what is promised fits, what is held is booked, and no process lives that nobody knows. Says each broken rule once.
 */
import type { LedgerRow } from '../../src/pool/ledger.js';
import type { ModelStatus } from '../../src/pool/pool.js';
import type { SimGateway } from './gateway.js';
import type { MachineMemory } from './machine-memory.js';

/** A process that no instance knows, or an instance whose process is gone, for longer than the bus may be cut: nobody will notice. */
const UNNOTICED_MS = 30_000;
/** The models whose leases the pool takes itself. */
const EMBEDDING = 'vectors';

export interface LiveRulesParts {
  readonly nowMs: () => number;
  readonly memory: MachineMemory;
  /** All lives so far. */
  readonly gateways: readonly SimGateway[];
  readonly onViolation: (message: string) => void;
}

export class LiveRules {
  private readonly said = new Set<string>();
  /** Since when something is strange, by what it is. */
  private strange = new Map<string, number>();

  constructor(private readonly parts: LiveRulesParts) {}

  look(): void {
    for (const gateway of this.parts.gateways) {
      if (!gateway.isUp && gateway.dead.aborted && gateway.spawner.hosts.length > 0)
        this.say(`hosts of ${gateway.name} live on without it`);
      if (gateway.isUp) this.lookAt(gateway);
    }
  }

  private lookAt(gateway: SimGateway): void {
    const { models, nodes } = gateway.pool.status();
    // A model that leaves has leases under the name of the one that came for it.
    const isSettled = !gateway.isSwitching || gateway.profiles.progress().state === 'stable';
    for (const model of models) this.slots(model, gateway, isSettled);
    for (const row of nodes[0]?.ledger ?? []) this.ledger(row);
    this.processes(models, gateway);
  }

  /** Leases out and free slots are the slots; nobody waits beside a free one. */
  private slots(
    { name, state, slots, leased, queued }: ModelStatus,
    { leasesOut, isSwitching, profiles }: SimGateway,
    isSettled: boolean,
  ): void {
    if (leased > slots) this.say(`${name}: ${leased} leases out of ${slots} slots`);
    const known = leasesOut.get(name) ?? 0;
    if ((isSettled ? known !== leased : known < leased) && name !== EMBEDDING)
      this.say(`${name}: the pool counts ${leased} leases, there are ${known}`);
    if (state === 'ready' && queued > 0 && leased < slots && !(isSwitching && profiles.crossing() !== undefined))
      this.say(`${name}: ${queued} wait beside ${slots - leased} free slots`);
  }

  /** Promises never exceed the device, and no byte is held that is not booked. */
  private ledger({ device, plannedBytes, extraBytes, reservedBytes, heldBytes, ceilingBytes }: LedgerRow): void {
    const promised = plannedBytes + extraBytes + reservedBytes;
    if (promised > ceilingBytes) this.say(`${device}: ${promised} bytes are promised of ${ceilingBytes}`);
    const inBuffers = this.parts.memory.buffersOn(device);
    if (inBuffers > heldBytes) this.say(`${device}: hosts hold ${inBuffers} bytes, ${heldBytes} are booked`);
  }

  private processes(models: readonly ModelStatus[], { spawner }: SimGateway): void {
    const known = new Set(models.map(({ hid }) => hid));
    const alive = new Set(spawner.hosts.map(({ hid }) => hid));
    const strange: string[] = [];
    for (const { hid, label } of spawner.hosts) {
      // No model's name begins so: the spare host and the planner.
      const isOfAModel = !label.startsWith('_');
      if (isOfAModel && !known.has(hid)) strange.push(`nobody knows the host ${hid} of ${label}`);
    }
    for (const { name, state, hid } of models) {
      const isThere = hid === undefined || alive.has(hid) || state === 'starting';
      if (!isThere) strange.push(`${name} is ${state} without its process ${hid}`);
    }
    const nowMs = this.parts.nowMs();
    this.strange = new Map(strange.map((what) => [what, this.strange.get(what) ?? nowMs]));
    for (const [what, sinceMs] of this.strange) if (nowMs - sinceMs > UNNOTICED_MS) this.say(what);
  }

  private say(message: string): void {
    if (this.said.has(message) || this.said.size > 20) return;
    this.said.add(message);
    this.parts.onViolation(`at ${this.parts.nowMs().toFixed(1)} ms: ${message}`);
  }
}
