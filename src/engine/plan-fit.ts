/**
 * Fit mode: which options make a model fit into given bytes per device. A search over plans, a bounded number of them;
 * nothing is loaded. What is given up comes in this order: context down to the minimum, slots, expert tensors (layer by
 * layer to the CPU), whole layers. Knows plans and options, not how a plan is made.
 */
import { LlamaestroError } from '../base/errors.js';
import type { EngineDriver, LoadOptions, MemoryPlan } from './engine.js';
import { checkInteger, refuse } from './validate-values.js';

/** Plans that one search makes at most. */
export const MAX_FIT_PLANS = 96;

export interface FitRequest {
  /** What is wanted: full context, all slots. `gpuLayers` other than 'auto' and `cpuMoeLayers` are kept as they are. */
  readonly options: LoadOptions;
  /** Bytes by device id. A device that is not named has none to give; 'cpu' stands for memory of the host. */
  readonly budgets: Readonly<Record<string, number>>;
  /** Tokens that every slot keeps, 2 … 2^24. Default: 512, or what is wanted where that is less. */
  readonly minContextTokensPerSlot?: number;
  /** Slots that remain, 1 … the wanted ones. Default 1. */
  readonly minSlots?: number;
}

/** Options that fit, the plan of exactly these options, and what had to be given up. */
export interface FitResult {
  readonly options: LoadOptions;
  readonly plan: MemoryPlan;
  /** What lacks room, then one sentence for each thing given up, in the order of giving up; empty when everything fits. */
  readonly reasons: readonly string[];
  /** Plans that were made. */
  readonly plans: number;
}

/** Layers that llama.cpp counts at most. */
const MOST_LAYERS = 1024;
const DEFAULT_MIN_CONTEXT = 512;
/** Contexts are looked for on this grid; llama.cpp rounds to it anyway. */
const CONTEXT_GRID = 256;

/** The knobs of the search; everything else of the options stays. */
interface Knobs {
  readonly tokensPerSlot: number;
  readonly slots: number;
  readonly gpuLayers: number;
  readonly cpuMoeLayers: number;
}

interface Attempt {
  readonly knobs: Knobs;
  readonly options: LoadOptions;
  readonly plan: MemoryPlan;
}

/**
 * The largest variant of `options` that fits the budgets. Errors: those of `planMemory`, `invalid_request`, and
 * `does_not_fit` (details device, needBytes, freeBytes) when even the smallest variant is too large. A signal that aborts
 * ends the search with `cancelled`.
 */
export async function planFit(driver: EngineDriver, request: FitRequest, signal?: AbortSignal): Promise<FitResult> {
  checkRequest(request);
  return new FitSearch(driver, request, signal).run();
}

function checkRequest({ budgets, minContextTokensPerSlot, minSlots, options }: FitRequest): void {
  if (typeof budgets !== 'object' || budgets === null) refuse('budgets', 'budgets must be bytes by device id');
  for (const [device, bytes] of Object.entries(budgets)) {
    if (typeof bytes !== 'number' || !(bytes >= 0))
      refuse('budgets', `the budget of ${device} must be bytes, 0 or more`);
  }
  checkInteger('minContextTokensPerSlot', minContextTokensPerSlot, 2, 2 ** 24);
  checkInteger('minSlots', minSlots, 1, options?.slots ?? 1);
}

class FitSearch {
  private plans = 0;

  constructor(
    private readonly driver: EngineDriver,
    private readonly request: FitRequest,
    private readonly signal?: AbortSignal,
  ) {}

  async run(): Promise<FitResult> {
    const wanted = await this.wanted();
    if (this.fits(wanted)) return this.result(wanted, wanted);
    const tokensPerSlot = this.leastTokens(wanted.knobs);
    const short = await this.attempt({ ...wanted.knobs, tokensPerSlot });
    const fewer = this.fits(short) ? short : await this.fewerSlots(short);
    const smallest = this.fits(fewer) ? fewer : await this.offload(fewer);
    if (!this.fits(smallest)) this.refuseAll(smallest);
    return this.result(await this.growContext(smallest, wanted.knobs), wanted);
  }

  /** Everything that is asked for, with all layers on the devices that have a budget. */
  private async wanted(): Promise<Attempt> {
    const { options } = this.request;
    const gpuLayers = typeof options.gpuLayers === 'number' ? options.gpuLayers : MOST_LAYERS;
    const slots = options.slots ?? 1;
    const first = { ...this.usable(), gpuLayers };
    const plan = await this.plan(first);
    const knobs: Knobs = {
      tokensPerSlot: plan.contextTokensPerSlot,
      slots,
      gpuLayers: plan.gpuLayers,
      cpuMoeLayers: options.cpuMoeLayers ?? 0,
    };
    return { knobs, options: { ...first, gpuLayers: plan.gpuLayers }, plan };
  }

  /** The options without devices that have no budget. */
  private usable(): LoadOptions {
    const { options, budgets } = this.request;
    const all = options.devices ?? this.driver.devices().flatMap(({ id, kind }) => (kind === 'cpu' ? [] : [id]));
    const devices = all.filter((id) => (budgets[id] ?? 0) > 0);
    const { mainDevice, tensorSplit, ...rest } = options;
    return {
      ...rest,
      devices,
      ...(mainDevice !== undefined && devices.includes(mainDevice) ? { mainDevice } : {}),
      ...(tensorSplit === undefined
        ? {}
        : { tensorSplit: tensorSplit.filter((_, at) => devices.includes(all[at] ?? '')) }),
    };
  }

  private leastTokens({ tokensPerSlot }: Knobs): number {
    return Math.min(tokensPerSlot, this.request.minContextTokensPerSlot ?? DEFAULT_MIN_CONTEXT);
  }

  /** The longest context that fits, given that `short` does. */
  private async growContext(short: Attempt, wanted: Knobs): Promise<Attempt> {
    const least = short.knobs.tokensPerSlot;
    const steps = Math.ceil((wanted.tokensPerSlot - least) / CONTEXT_GRID);
    const tokensAt = (step: number): number => Math.min(wanted.tokensPerSlot, least + step * CONTEXT_GRID);
    return this.last(short, steps, (step) => ({ ...short.knobs, tokensPerSlot: tokensAt(step) }));
  }

  /** The most slots that fit at the shortest context; the fewest when none do. */
  private async fewerSlots(short: Attempt): Promise<Attempt> {
    const { knobs } = short;
    const minSlots = this.request.minSlots ?? 1;
    if (knobs.slots <= minSlots) return short;
    const fewest = await this.attempt({ ...knobs, slots: minSlots });
    if (!this.fits(fewest)) return fewest;
    return this.last(fewest, knobs.slots - minSlots - 1, (step) => ({ ...knobs, slots: minSlots + step }));
  }

  /** Experts to the CPU, then layers; the smallest variant when nothing fits. */
  private async offload(single: Attempt): Promise<Attempt> {
    const { knobs } = single;
    const { options } = this.request;
    if (typeof options.gpuLayers === 'number' || knobs.gpuLayers === 0) return single;
    const layers = knobs.gpuLayers - 1;
    const without = await this.attempt({ ...knobs, cpuMoeLayers: layers });
    const hasExperts = options.cpuMoeLayers === undefined && onCpu(without.plan) > onCpu(single.plan);
    if (hasExperts && this.fits(without)) {
      // Counted from the end: the last step that fits has the fewest experts on the CPU.
      return this.last(without, layers - 1, (step) => ({ ...knobs, cpuMoeLayers: layers - step }));
    }
    const from = hasExperts ? without : single;
    const none = await this.attempt({ ...from.knobs, gpuLayers: 0 });
    if (!this.fits(none)) return none;
    return this.last(none, knobs.gpuLayers - 1, (step) => ({ ...from.knobs, gpuLayers: step }));
  }

  /** By halving: the last of the steps 0 … `steps` that fits, step 0 being `first`, which fits. */
  private async last(first: Attempt, steps: number, knobsAt: (step: number) => Knobs): Promise<Attempt> {
    let best = first;
    let low = 0;
    let high = steps + 1;
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      const attempt = await this.attempt(knobsAt(middle));
      if (this.fits(attempt)) {
        best = attempt;
        low = middle;
      } else high = middle;
    }
    return best;
  }

  private async attempt(knobs: Knobs): Promise<Attempt> {
    const { contextTokensPerSlot: _wanted, ...usable } = this.usable();
    const options: LoadOptions = {
      ...usable,
      contextTokens: knobs.tokensPerSlot * knobs.slots,
      slots: knobs.slots,
      gpuLayers: knobs.gpuLayers,
      ...(knobs.cpuMoeLayers > 0 ? { cpuMoeLayers: knobs.cpuMoeLayers } : {}),
    };
    return { knobs, options, plan: await this.plan(options) };
  }

  private plan(options: LoadOptions): Promise<MemoryPlan> {
    this.plans += 1;
    if (this.plans > MAX_FIT_PLANS) throw new LlamaestroError('internal', 'the search for a fit does not end');
    return this.driver.planMemory(options, this.signal);
  }

  private fits({ plan }: Attempt): boolean {
    return this.shortage(plan) === undefined;
  }

  private shortage(plan: MemoryPlan): Shortage | undefined {
    for (const [device, needBytes] of needs(plan)) {
      const freeBytes = this.request.budgets[device] ?? 0;
      if (needBytes > freeBytes) return { device, needBytes, freeBytes };
    }
    return undefined;
  }

  private refuseAll({ plan, options }: Attempt): never {
    const missing = this.shortage(plan);
    if (missing === undefined) throw new LlamaestroError('internal', 'a plan that fits was refused');
    const { device, needBytes, freeBytes } = missing;
    throw new LlamaestroError(
      'does_not_fit',
      `${options.file} needs ${needBytes} bytes on ${device} in its smallest form (${plan.slots} slots of ` +
        `${plan.contextTokensPerSlot} tokens, ${plan.gpuLayers} layers on a device), and ${freeBytes} are allowed`,
      { details: { device, needBytes, freeBytes } },
    );
  }

  private result(chosen: Attempt, wanted: Attempt): FitResult {
    const missing = this.shortage(wanted.plan);
    const reasons = missing === undefined ? [] : [whatLacks(missing), ...whatChanged(wanted.knobs, chosen.knobs)];
    return { options: chosen.options, plan: chosen.plan, reasons, plans: this.plans };
  }
}

interface Shortage {
  readonly device: string;
  readonly needBytes: number;
  readonly freeBytes: number;
}

function whatLacks({ device, needBytes, freeBytes }: Shortage): string {
  return `All that was asked for needs ${needBytes} bytes on ${device}, and ${freeBytes} are allowed.`;
}

function whatChanged(wanted: Knobs, chosen: Knobs): string[] {
  const reasons: string[] = [];
  if (chosen.tokensPerSlot < wanted.tokensPerSlot) {
    reasons.push(`Each slot holds ${chosen.tokensPerSlot} tokens and not ${wanted.tokensPerSlot}.`);
  }
  if (chosen.slots < wanted.slots) reasons.push(`There are ${chosen.slots} slots and not ${wanted.slots}.`);
  if (chosen.cpuMoeLayers > wanted.cpuMoeLayers) {
    reasons.push(`The experts of the first ${chosen.cpuMoeLayers} layers lie on the CPU.`);
  }
  if (chosen.gpuLayers < wanted.gpuLayers) {
    reasons.push(`${chosen.gpuLayers} of ${wanted.gpuLayers} layers lie on a device, the output layer counted as one.`);
  }
  return reasons;
}

function needs(plan: MemoryPlan): Map<string, number> {
  const bytes = new Map([['cpu', plan.outputBytes + plan.estimatedExtraBytes]]);
  for (const { device, weightsBytes, kvBytes, computeBytes } of plan.devices) {
    bytes.set(device, (bytes.get(device) ?? 0) + weightsBytes + kvBytes + computeBytes);
  }
  return bytes;
}

function onCpu(plan: MemoryPlan): number {
  return plan.devices.find(({ device }) => device === 'cpu')?.weightsBytes ?? 0;
}
