/**
 * The real spawner: a Node process per host, tied to this one by the lifeline pipe on descriptor 3. The bus token travels
 * in the environment, never in the arguments, which other users of the machine can read. Knows nothing of the bus itself.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Readable } from 'node:stream';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { LlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import { hostEnvironment, type HostConfig } from '../schema/config.js';
import { HeartbeatReader } from './heartbeat.js';
import { ProcessLog } from './process-log.js';
import type { HostProcess, SpawnRequest, Spawner } from './spawner.js';

export interface ProcessSpawnerOptions {
  /** What every host of this node gets; `hid` comes with each request. */
  readonly config: Omit<HostConfig, 'hid' | 'lifelineFd'>;
  /** Folder of the log files; made when absent. */
  readonly logFolder: string;
  readonly log: Logger;
  /** The file a host process runs; tests replace it. Default: the host room's entry, compiled or not like this file. */
  readonly entry?: string;
}

const LIFELINE_FD = 3;
/** Linux: when memory runs out, hosts go before everything else of the same user; -1000 … 1000. */
const OOM_SCORE_ADJUSTMENT = 500;

export class ProcessSpawner implements Spawner {
  private readonly entry: string;

  constructor(private readonly options: ProcessSpawnerOptions) {
    this.entry = options.entry ?? hostEntry();
  }

  async spawn(request: SpawnRequest): Promise<HostProcess> {
    const output = this.openLog(request.label);
    try {
      const child = spawn(process.execPath, [...loaderArguments(this.entry), this.entry], {
        stdio: ['ignore', output.fd, output.fd, 'pipe'],
        env: hostEnvironment({ ...this.options.config, hid: request.hid, lifelineFd: LIFELINE_FD }),
      });
      this.follow(child, output, request);
      await once(child, 'spawn'); // rejects with the 'error' event when there is no process
      void this.markExpendable(child);
      return {
        pid: child.pid ?? 0,
        signal: (name) => {
          child.kill(name);
        },
        relabel: (label) => this.renameLog(output, label),
      };
    } catch (thrown) {
      output.close();
      throw new LlamaestroError('load_failed', `no host process could be started: ${String(thrown)}`, {
        cause: thrown,
      });
    }
  }

  private openLog(label: string): ProcessLog {
    try {
      return new ProcessLog(this.options.logFolder, logName(label));
    } catch (thrown) {
      throw new LlamaestroError('load_failed', `the log of a host could not be opened: ${String(thrown)}`, {
        cause: thrown,
        remedy: `Make ${this.options.logFolder} writable.`,
      });
    }
  }

  private renameLog(output: ProcessLog, label: string): void {
    try {
      output.rename(logName(label));
    } catch (error) {
      this.options.log.warn('the log of a host keeps its name', { label, error });
    }
  }

  private follow(child: ChildProcess, output: ProcessLog, request: SpawnRequest): void {
    const reader = new HeartbeatReader();
    // Without a free descriptor there is neither process nor pipe; the 'error' event that follows says so.
    const lifeline = child.stdio?.[LIFELINE_FD] as Readable | undefined;
    lifeline?.on('data', (chunk: Buffer) => {
      for (const beat of reader.push(chunk)) request.onHeartbeat(beat);
      output.trim(); // the heartbeat is the pace at which the file is looked at
    });
    lifeline?.on('error', () => undefined); // ECONNRESET of a killed child: its exit says it all
    child.on('error', (error) => this.options.log.warn('a host process misbehaved', { hid: request.hid, error }));
    child.once('exit', (exitCode, signal) => {
      const lastWords = output.lastWords();
      output.close();
      lifeline?.destroy();
      request.onExit({ exitCode, signal, lastWords });
    });
  }

  private async markExpendable(child: ChildProcess): Promise<void> {
    if (process.platform !== 'linux') return;
    try {
      await writeFile(`/proc/${String(child.pid)}/oom_score_adj`, String(OOM_SCORE_ADJUSTMENT));
    } catch {
      // Already gone, or a sandbox without /proc: the process runs as well without it.
    }
  }
}

function logName(label: string): string {
  return `host-${label.replace(/[^A-Za-z0-9._-]/g, '-')}`;
}

/** The host room's entry, in the form (source or compiled) in which this file runs. */
function hostEntry(): string {
  const suffix = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return fileURLToPath(new URL(`../host/host-main.${suffix}`, import.meta.url));
}

/** TypeScript sources need the loader that tests run under; production runs compiled files and has none. */
function loaderArguments(entry: string): readonly string[] {
  if (!entry.endsWith('.ts')) return [];
  return ['--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href];
}
