/**
 * What is known of the health of one model's host, and what it says against it: gathers the signs, has them judged, forgets them
 * with the process. Knows no states beyond the phase it is told, and does nothing to a host.
 */
import type { HostEvent, HostPulse } from '../schema/bus-messages.js';
import type { PoolLimits } from './limits.js';
import { against, healthOf, judge, type Evidence, type ModelHealth, type Verdict } from './liveness.js';
import { VitalSigns } from './vital-signs.js';

export interface CheckupParts {
  readonly limits: PoolLimits;
  /** Time that this process was awake. */
  readonly awakeMs: () => number;
  /** False while silence means nothing: the bus is lost or suspected. */
  readonly canHear: () => boolean;
}

/** What the host is at. */
export type Phase = Pick<Evidence, 'isLoading' | 'isLeased'>;

/** Why a host must go, to go on from 'the model host …'. */
export interface Accusation {
  readonly verdict: Verdict;
  readonly how: string;
}

export class Checkup {
  private signs: VitalSigns;

  constructor(private readonly parts: CheckupParts) {
    this.signs = new VitalSigns(parts.awakeMs);
  }

  /** Another process begins. */
  renew(): void {
    this.signs = new VitalSigns(this.parts.awakeMs);
  }

  heard(event: HostEvent): void {
    this.signs.heard(event);
  }

  pulsed(pulse: HostPulse): void {
    this.signs.pulsed(pulse);
  }

  /** Nothing could be heard for a while: silence begins anew. */
  listenAnew(): void {
    this.signs.listenAnew();
  }

  /** What there is against the host now. */
  accusation(phase: Phase): Accusation | undefined {
    const { canHear, limits } = this.parts;
    if (!canHear()) this.listenAnew();
    const evidence = this.evidence(phase);
    const verdict = judge(evidence, limits);
    const how = against(verdict, evidence, limits);
    return how === undefined ? undefined : { verdict, how };
  }

  health(phase: Phase): ModelHealth {
    return healthOf(this.evidence(phase), this.parts.limits);
  }

  private evidence(phase: Phase): Evidence {
    return this.signs.evidence({ ...phase, canHear: this.parts.canHear() });
  }
}
