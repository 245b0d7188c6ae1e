/**
 * Where a run goes: the model it is at, who comes after it, and the decision that says so. Moves on at most once to each
 * model, and only while no token was delivered; when to try is the run driver's.
 */
import type { LlamaestroError } from '../base/errors.js';
import type { Profile, ModelSpec } from '../schema/profile.js';
import type { RouteDecision, RunRequest } from '../schema/run.js';
import { fallbackFrom } from './choose-route.js';
import type { OrchestraParts } from './orchestra-parts.js';
import { mayFallBack } from './retry-policy.js';
import { takeSeat, type Seat } from './seat.js';

/** What admission decided. */
export interface Destination {
  readonly seat: Seat;
  /** Who takes the request when the model of the seat cannot, in this order. */
  readonly rest: readonly ModelSpec[];
  readonly route: RouteDecision;
}

export class Itinerary {
  private rest: readonly ModelSpec[];
  private readonly told = new Set<string>();
  private current: Pick<Destination, 'seat' | 'route'>;

  constructor(
    private readonly parts: Pick<OrchestraParts, 'clock' | 'random' | 'pool'>,
    private readonly asked: { readonly request: RunRequest; readonly profile: Profile },
    { seat, rest, route }: Destination,
  ) {
    this.current = { seat, route };
    this.rest = rest;
    for (const warning of seat.warnings) this.told.add(warning);
  }

  get seat(): Seat {
    return this.current.seat;
  }
  get route(): RouteDecision {
    return this.current.route;
  }
  /** Of every model it was at, without repeats. */
  get warnings(): readonly string[] {
    return [...this.told];
  }

  /** Goes to the next model that can take the request after `error`; false when none can, or another one would not help. */
  async moveOn(error: LlamaestroError, leftMs: () => number, signal: AbortSignal): Promise<boolean> {
    if (!mayFallBack(error.code)) return false;
    const { request, profile } = this.asked;
    for (let [spec] = this.rest; spec !== undefined && !signal.aborted; [spec] = this.rest) {
      this.rest = this.rest.slice(1);
      const seat = await this.seatAt({ request, spec, profile, leftMs }, signal);
      if (seat === undefined) continue;
      const said = fallbackFrom(this.seat.spec.name, error.message);
      this.current = { seat, route: { ...this.route, model: spec.name, ...said } };
      for (const warning of seat.warnings) this.told.add(warning);
      return true;
    }
    return false;
  }

  /** What a model says that cannot even take the request is nobody's error: the run goes past it. */
  private seatAt(question: Parameters<typeof takeSeat>[1], signal: AbortSignal): Promise<Seat | undefined> {
    return takeSeat(this.parts, question, signal).catch(() => undefined);
  }
}
