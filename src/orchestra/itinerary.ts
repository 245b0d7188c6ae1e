/**
 * Where a run goes: the model it is at, who comes after it, and the decision that says so. Moves on at most once to each
 * model of a profile, and only while no token was delivered; when to try is the run driver's.
 */
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import type { Profile, ModelSpec } from '../schema/profile.js';
import type { RouteDecision, RunRequest } from '../schema/run.js';
import { chooseRoute, fallbackFrom } from './choose-route.js';
import { classify } from './classifier.js';
import type { OrchestraParts } from './orchestra-parts.js';
import { mayFallBack } from './retry-policy.js';
import { seatUnderLease, takeSeat, type Seat } from './seat.js';

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
  private readonly request: RunRequest;
  /** By which it was routed. */
  private routedBy: Profile;

  constructor(
    private readonly parts: Pick<OrchestraParts, 'clock' | 'random' | 'pool'>,
    asked: { readonly request: RunRequest; readonly profile: Profile },
    { seat, rest, route }: Destination,
  ) {
    this.request = asked.request;
    this.routedBy = asked.profile;
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
  get profile(): Profile {
    return this.routedBy;
  }
  /** Of every model it was at, without repeats. */
  get warnings(): readonly string[] {
    return [...this.told];
  }

  /** Goes to the next model that can take the request after `error`; false when none can, or another one would not help. */
  async moveOn(error: LlamaestroError, leftMs: () => number, signal: AbortSignal): Promise<boolean> {
    if (!mayFallBack(error.code)) return false;
    for (let [spec] = this.rest; spec !== undefined && !signal.aborted; [spec] = this.rest) {
      this.rest = this.rest.slice(1);
      // What a model says that cannot even take the request is nobody's error: the run goes past it.
      const seat = await this.seatAt(spec, leftMs, signal).catch(() => undefined);
      if (seat === undefined) continue;
      const said = fallbackFrom(this.route.model, error.message);
      this.arrive(seat, { ...this.route, model: spec.name, ...said });
      return true;
    }
    return false;
  }

  /** Goes where `profile` sends the request, as if it came now. Rejects with what is wrong with that. */
  async startAnew(profile: Profile, leftMs: () => number, signal: AbortSignal): Promise<void> {
    const { request } = this;
    const choice = chooseRoute(profile, request.model, classify(request.prompt, profile.rules));
    const [spec, ...rest] = choice.specs;
    this.routedBy = profile;
    this.rest = rest;
    const route = { ...choice.route, ms: this.route.ms };
    try {
      this.arrive(await this.seatAt(spec, leftMs, signal), route);
    } catch (thrown) {
      this.current = { ...this.current, route };
      if (!(await this.moveOn(toLlamaestroError(thrown), leftMs, signal))) throw thrown;
    }
  }

  /**
   * Stays at its model, of which there is a lease already, under `profile`, which came meanwhile. Rejects when the model of that
   * name cannot take the request there; then nothing has changed.
   */
  async stay(profile: Profile, leftMs: () => number, signal: AbortSignal): Promise<void> {
    const specOf = (name: string): ModelSpec | undefined => profile.models.find((spec) => spec.name === name);
    const { name } = this.seat.spec;
    const spec = specOf(name);
    if (spec === undefined) throw new LlamaestroError('model_not_found', `there is no model '${name}' any more`);
    const { request } = this;
    const seat = await seatUnderLease(this.parts, { request, spec, profile, leftMs }, signal);
    this.routedBy = profile;
    this.rest = this.rest.flatMap((other) => specOf(other.name) ?? []);
    this.arrive(seat, this.route);
  }

  private arrive(seat: Seat, route: RouteDecision): void {
    this.current = { seat, route };
    for (const warning of seat.warnings) this.told.add(warning);
  }

  private seatAt(spec: ModelSpec, leftMs: () => number, signal: AbortSignal): Promise<Seat> {
    const { request, profile } = this;
    return takeSeat(this.parts, { request, spec, profile, leftMs }, signal);
  }
}
