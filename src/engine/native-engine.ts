/**
 * The typed face of the native addon: checks every value, maps errors, and fans one delivery per decode step out to the
 * listeners of its sequences. Everything that takes time happens in native threads. Knows no llama.cpp and no wire
 * format.
 */
import { resolve } from 'node:path';
import { LlamaestroError } from '../base/errors.js';
import type { Addon, LifelineOptions, LogLine, NativeBatch, NativeHandle, NativeJobRow } from './addon-types.js';
import { defaultAddonPath, loadAddon } from './addon-loader.js';
import type {
  EmbedRequest,
  Engine,
  EngineDriver,
  EngineInfo,
  EngineStats,
  JobOptions,
  MemoryPlan,
  MemoryReport,
  PrefixFileSummary,
  Prompt,
  Sequence,
  SequenceEvent,
  SequenceRequest,
} from './engine.js';
import { type GgufMetadata, type NativeGgufMetadata, fromNativeMetadata } from './gguf-types.js';
import { StepListeners, callListener } from './fan-out.js';
import { LogListeners, type LogLevel, type LogListener } from './log-listeners.js';
import { fromNative, readBatch, toNativePrompt, toNativeRequest } from './step-batch.js';
import { Turnstile } from './turnstile.js';
import {
  checkEmbed,
  checkInputs,
  checkJobOptions,
  checkLabels,
  checkLoadOptions,
  checkPath,
  checkPrompt,
  checkPurpose,
  checkSequenceRequest,
  checkText,
  checkTokens,
} from './validate.js';

/** The native driver. It also exposes what only the model host needs: the lifeline and llama.cpp's log. */
export interface NativeDriver extends EngineDriver {
  readonly kind: 'native';
  /**
   * Starts the process's one lifeline on an inherited descriptor: heartbeat records out, and `_exit(exitCode)` when the
   * other side is gone, even while the event loop is blocked. Errors: `invalid_request`.
   */
  startLifeline(options: LifelineOptions): void;
  stopLifeline(): void;
  /**
   * What a GGUF file says about itself, without loading it; a few at a time, the others wait. Errors: `invalid_request`,
   * `model_unusable`, `cancelled`, `queue_full` (4096 wait already).
   */
  readMetadata(path: string, signal?: AbortSignal): Promise<GgufMetadata>;
  /** llama.cpp's log lines with a number above `after`, oldest first; at most 256 are kept. */
  recentLogLines(after?: number): readonly LogLine[];
  /** Calls `listener` with every line of at least this level; returns the function that ends it. Errors: `invalid_request`. */
  onLog(listener: LogListener, level?: LogLevel): () => void;
  /** Lines of at least this level (1 debug … 4 error) also go to stderr; 0, the default, sends none. */
  logToStderr(level: number): void;
}

const MOST_METADATA_READS = 8; // as many as the addon takes beside its loads
const MOST_METADATA_WAITING = 4096;

// One per file and environment: the addon delivers to one listener.
const drivers = new Map<string, NativeDriver>();

/** The driver over the addon at `addonPath` (default: where the build puts it); one per path. Errors: `addon_missing`. */
export function createNativeDriver(addonPath: string = defaultAddonPath): NativeDriver {
  const path = resolve(addonPath);
  const known = drivers.get(path);
  if (known !== undefined) return known;
  const driver = driverOver(loadAddon(path));
  drivers.set(path, driver);
  return driver;
}

function driverOver(addon: Addon): NativeDriver {
  const engines = new Map<number, NativeEngine>();
  const metadataLine = new Turnstile(MOST_METADATA_READS, MOST_METADATA_WAITING);
  const progressListeners = new Map<number, (fraction: number) => void>();
  let lastTicket = 0;
  const withTicket: TicketRunner = async (signal, start) => {
    if (signal?.aborted === true) throw cancelledError('cancelled before it began');
    const ticket = ++lastTicket;
    const onAbort = (): void => addon.cancel(ticket);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await translateAsync(start(ticket));
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  };
  const logs = new LogListeners((level) => addon.logLevel(level));
  addon.listen((batches, progress, log) => {
    if (log !== undefined) logs.take(log);
    for (const { ticket, fraction } of progress) {
      const listener = progressListeners.get(ticket);
      if (listener !== undefined) callListener(listener, fraction);
    }
    for (const batch of batches) engines.get(batch.engine)?.take(batch);
    for (const batch of batches) engines.get(batch.engine)?.afterStep();
  });
  return {
    kind: 'native',
    build: addon.build,
    devices: () => translate(() => addon.devices()),
    async planMemory(options, signal) {
      checkLoadOptions(options);
      return withTicket(signal, (ticket) => addon.plan(options, ticket));
    },
    async load(options, onProgress, signal) {
      checkLoadOptions(options);
      if (signal?.aborted === true) throw cancelledError('the load was cancelled before it began');
      const ticket = ++lastTicket;
      if (onProgress !== undefined) progressListeners.set(ticket, onProgress);
      const onAbort = (): void => addon.cancel(ticket);
      signal?.addEventListener('abort', onAbort, { once: true });
      try {
        const handle = await translateAsync(addon.load(options, ticket));
        return await adopt(handle, engines, withTicket, signal);
      } finally {
        signal?.removeEventListener('abort', onAbort);
        progressListeners.delete(ticket);
      }
    },
    async readMetadata(path, signal) {
      checkPath('path', path);
      const read = (): Promise<NativeGgufMetadata> => withTicket(signal, (ticket) => addon.readMetadata(path, ticket));
      return fromNativeMetadata(await metadataLine.run(read, signal));
    },
    startLifeline: (options) => translate(() => addon.startLifeline(options)),
    stopLifeline: () => addon.stopLifeline(),
    recentLogLines: (after = 0) => addon.recentLogLines(after),
    onLog: (listener, level = 'info') => logs.add(listener, level),
    logToStderr: (level) => addon.logToStderr(level),
  };
}

/** An abort that came when the load had already succeeded still frees everything. */
async function adopt(
  handle: NativeHandle,
  engines: Map<number, NativeEngine>,
  withTicket: TicketRunner,
  signal: AbortSignal | undefined,
): Promise<NativeEngine> {
  if (signal?.aborted === true) {
    await handle.close();
    throw cancelledError('the load was cancelled');
  }
  return new NativeEngine(handle, engines, withTicket);
}

/** Runs what a ticket can stop, until the signal says so. */
type TicketRunner = <T>(signal: AbortSignal | undefined, start: (ticket: number) => Promise<T>) => Promise<T>;

/** Who waits for an embed or rerank job. */
type JobWaiter = (row: NativeJobRow) => void;

class NativeEngine implements Engine {
  readonly info: EngineInfo;
  readonly planned: MemoryPlan;
  private readonly listeners = new Map<number, (event: SequenceEvent) => void>();
  private readonly stepListeners = new StepListeners();
  private readonly jobWaiters = new Map<number, JobWaiter>();
  /** Rows of jobs whose id has not reached us yet. */
  private readonly earlyRows = new Map<number, NativeJobRow>();
  private startingJobs = 0;
  private closed: Promise<void> | undefined;

  constructor(
    private readonly handle: NativeHandle,
    private readonly engines: Map<number, NativeEngine>,
    private readonly withTicket: TicketRunner,
  ) {
    this.info = handle.info;
    this.planned = handle.planned;
  }

  memory(): MemoryReport {
    return this.handle.memory();
  }

  stats(): EngineStats {
    return this.handle.stats();
  }

  submit(request: SequenceRequest, listener: (event: SequenceEvent) => void): Sequence {
    checkSequenceRequest(request, this.info);
    this.refuseClosed();
    const id = translate(() => this.handle.submit(toNativeRequest(request)));
    const ids = Array.from({ length: request.choices ?? 1 }, (_, choice) => id + choice);
    ids.forEach((one, choice) => this.listeners.set(one, choice === 0 ? listener : ofChoice(choice, listener)));
    this.hold();
    return { id, cancel: () => ids.forEach((one) => this.handle.cancel(one)) };
  }

  onStep(listener: () => void): () => void {
    return this.stepListeners.add(listener);
  }

  async tokenize(prompt: Prompt): Promise<Uint32Array> {
    checkPrompt(prompt, this.info.vocabSize);
    this.refuseClosed();
    return translateAsync(this.handle.tokenize(toNativePrompt(prompt)));
  }

  async detokenize(tokens: readonly number[]): Promise<string> {
    checkTokens('tokens', tokens, this.info.vocabSize);
    this.refuseClosed();
    return translateAsync(this.handle.detokenize(Float64Array.from(tokens)));
  }

  async embed(request: readonly string[] | EmbedRequest, signal?: AbortSignal): Promise<Float32Array[]> {
    checkPurpose(this.info, 'embed');
    const { inputs, ...options } = checkEmbed(request, this.info);
    const { values, width } = await this.runJob(() => this.handle.embed(inputs, options), signal);
    return inputs.map((_, index) => values.slice(index * width, (index + 1) * width));
  }

  async rerank(
    query: string,
    documents: readonly string[],
    signal?: AbortSignal,
    options: JobOptions = {},
  ): Promise<number[]> {
    checkPurpose(this.info, 'rerank');
    checkText('query', query);
    checkInputs('documents', documents);
    checkJobOptions(options, this.info);
    const { values } = await this.runJob(() => this.handle.rerank(query, documents, options), signal);
    return Array.from(values);
  }

  async classify(
    prompt: Prompt,
    labels: readonly string[],
    signal?: AbortSignal,
    options: JobOptions = {},
  ): Promise<number[]> {
    checkPurpose(this.info, 'generate');
    checkPrompt(prompt, this.info.vocabSize);
    checkLabels(labels);
    checkJobOptions(options, this.info);
    const { values } = await this.runJob(() => this.handle.classify(toNativePrompt(prompt), labels, options), signal);
    return Array.from(values);
  }

  async savePrefixes(file: string, only?: Prompt, signal?: AbortSignal): Promise<PrefixFileSummary> {
    checkPath('file', file);
    if (only !== undefined) checkPrompt(only, this.info.vocabSize);
    this.refuseClosed();
    const prompt = only === undefined ? undefined : toNativePrompt(only);
    return this.withTicket(signal, (ticket) => this.handle.savePrefixes(file, prompt, ticket));
  }

  async restorePrefixes(file: string, signal?: AbortSignal): Promise<PrefixFileSummary> {
    checkPath('file', file);
    this.refuseClosed();
    return this.withTicket(signal, (ticket) => this.handle.restorePrefixes(file, ticket));
  }

  close(): Promise<void> {
    this.closed ??= translateAsync(this.handle.close());
    return this.closed;
  }

  /** Delivers one batch to its listeners. */
  take(batch: NativeBatch): void {
    readBatch(batch, (id, event) => {
      const listener = this.listeners.get(id);
      if (event.type === 'finished') this.listeners.delete(id);
      if (listener !== undefined) callListener(listener, event);
    });
    for (const row of batch.jobs) {
      const waiter = this.jobWaiters.get(row.job);
      if (waiter === undefined) this.earlyRows.set(row.job, row);
      else waiter(row);
    }
  }

  afterStep(): void {
    this.stepListeners.call();
    this.release();
  }

  /** One job from start to outcome. It settles when the engine is done with it, so an abort leaves nothing behind. */
  private async runJob(start: () => Promise<number>, signal: AbortSignal | undefined): Promise<NativeJobRow> {
    if (signal?.aborted === true) throw cancelledError('the job was cancelled before it began');
    this.refuseClosed();
    this.startingJobs += 1;
    this.hold();
    let id: number;
    try {
      id = await translateAsync(start());
    } finally {
      this.startingJobs -= 1;
      this.release();
    }
    const row = this.earlyRows.get(id) ?? (await this.jobOutcome(id, signal));
    this.earlyRows.delete(id);
    this.release();
    if (row.error !== undefined) throw fromNative(row.error);
    return row;
  }

  private jobOutcome(id: number, signal: AbortSignal | undefined): Promise<NativeJobRow> {
    return new Promise((resolve) => {
      const onAbort = (): void => this.handle.cancel(id);
      this.jobWaiters.set(id, (row) => {
        this.jobWaiters.delete(id);
        signal?.removeEventListener('abort', onAbort);
        resolve(row);
      });
      this.hold();
      if (signal?.aborted === true) onAbort();
      else signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  private refuseClosed(): void {
    if (this.closed !== undefined) throw cancelledError('the engine is closed');
  }

  /** An engine with work is reachable for deliveries; one without may be collected, which closes it. */
  private hold(): void {
    this.engines.set(this.handle.id, this);
  }

  private release(): void {
    const busy = this.listeners.size + this.jobWaiters.size + this.startingJobs + this.earlyRows.size > 0;
    if (!busy) this.engines.delete(this.handle.id);
  }
}

/** The answers after the first share its prompt, and tell of nothing but their own tokens and end. */
function ofChoice(choice: number, listener: (event: SequenceEvent) => void): (event: SequenceEvent) => void {
  return (event) => {
    if (event.type === 'tokens' || event.type === 'finished') listener({ ...event, choice });
  };
}

function translate<T>(call: () => T): T {
  try {
    return call();
  } catch (thrown) {
    throw fromNative(thrown);
  }
}

async function translateAsync<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (thrown) {
    throw fromNative(thrown);
  }
}

function cancelledError(message: string): LlamaestroError {
  return new LlamaestroError('cancelled', message);
}
