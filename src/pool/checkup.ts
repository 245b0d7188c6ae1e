/**
 * What is known of the health of one model's host, and what it says against it: gathers the signs, has them judged, forgets them
 * with the process. Knows no states beyond the phase it is told, and does nothing to a host.
 */
import type { HostEvent, HostPulse } from '../schema/bus-messages.js';
import { Condition, type ConditionParts } from './condition.js';
import { against, healthOf, judge, type Evidence, type Liveness, type Verdict } from './liveness.js';
import { VitalSigns } from './vital-signs.js';

export interface CheckupParts extends ConditionParts {
  /** False while silence means nothing: the bus is lost or suspected. */
  readonly canHear: () => boolean;
}

/** How the process of a model is: alive or not, as fast and as large as it should be or not. */
export interface ModelHealth extends Liveness {
  /** Its tokens per second over those usual for the model in such a place; absent until both are known. */
  readonly speedRatio?: number;
  /** What it does worse than it should, in words. */
  readonly complaints: readonly string[];
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
  readonly condition: Condition;

  constructor(private readonly parts: CheckupParts) {
    this.signs = new VitalSigns(parts.awakeMs);
    this.condition = new Condition(parts);
  }

  /** Another process begins. */
  renew(): void {
    this.condition.renew();
    this.signs = new VitalSigns(this.parts.awakeMs);
  }

  heard(event: HostEvent): void {
    this.signs.heard(event);
    this.condition.heard(event);
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

  /** It has work, as far as is known. */
  get isWorking(): boolean {
    return this.signs.isWorking;
  }

  health(phase: Phase): ModelHealth {
    const { speedRatio, complaints } = this.condition;
    const speed = speedRatio === undefined ? {} : { speedRatio };
    return { ...healthOf(this.evidence(phase), this.parts.limits), ...speed, complaints };
  }

  private evidence(phase: Phase): Evidence {
    return this.signs.evidence({ ...phase, canHear: this.parts.canHear() });
  }
}
