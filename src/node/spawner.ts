/** The spawner port: how a node agent gets a host process. Knows nothing of what the process does. */
import type { Heartbeat } from './heartbeat.js';

export interface HostExit {
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** The last output of the process, at most `NODE_LIMITS.lastWordsBytes`. */
  readonly lastWords: string;
}

export interface SpawnRequest {
  readonly hid: string;
  /** Names the log file; need not be unique. */
  readonly label: string;
  /** Called once, after the process is reaped; never before `spawn` resolved. */
  readonly onExit: (exit: HostExit) => void;
  /** Called about once a second while the process lives, whatever its event loop does. */
  readonly onHeartbeat: (beat: Heartbeat) => void;
}

/** A running process. */
export interface HostProcess {
  readonly pid: number;
  /** Does nothing after the exit. */
  signal(name: 'SIGTERM' | 'SIGKILL'): void;
  /** Names the log file anew. Does nothing after the exit. */
  relabel(label: string): void;
}

export interface Spawner {
  /** Resolves once the process exists; rejects with `load_failed` when the system refuses one. */
  spawn(request: SpawnRequest): Promise<HostProcess>;
}
