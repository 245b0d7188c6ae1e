/** Finds, starts and stops a real nats-server for tests; ends only the process it started. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

export interface NatsServer {
  readonly url: string;
  readonly port: number;
  /** Ends the process and waits for it. */
  stop(): Promise<void>;
}

/** Path of the binary: NATS_SERVER_BIN, then the PATH, then where Debian puts it. */
export function findNatsServer(): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  const places = [process.env['NATS_SERVER_BIN'], ...folders.map((folder) => join(folder, 'nats-server'))];
  return places.find((place) => {
    if (place === undefined || place === '') return false;
    try {
      accessSync(place, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Says loudly that tests are left out, once per caller. */
export function sayNoNatsServer(): void {
  process.stderr.write(
    '\n  !!! no nats-server found: the bus was NOT tested against one (set NATS_SERVER_BIN) !!!\n\n',
  );
}

async function readPort(folder: string, child: ChildProcess): Promise<number> {
  const file = join(folder, `nats-server_${String(child.pid)}.ports`);
  for (let tries = 0; tries < 200; tries++) {
    if (child.exitCode !== null) break;
    try {
      const { nats } = JSON.parse(readFileSync(file, 'utf8')) as { nats: string[] };
      return Number(new URL(nats[0] ?? '').port);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
  throw new Error('nats-server did not start');
}

/** Starts `binary` on the loopback interface, on any free port unless one is given; `extra` are further arguments. */
export async function startNatsServer(binary: string, port = -1, extra: readonly string[] = []): Promise<NatsServer> {
  const folder = mkdtempSync(join(tmpdir(), 'llamaestro-nats-'));
  const address = ['-a', '127.0.0.1', '-p', String(port), '--ports_file_dir', folder];
  const child = spawn(binary, [...address, ...extra], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  // A test run that ends early must not leave the server behind.
  const end = (): void => void child.kill('SIGKILL');
  process.once('exit', end);
  const stop = async (): Promise<void> => {
    process.removeListener('exit', end);
    end();
    await exited;
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const taken = await readPort(folder, child);
    return { url: `nats://127.0.0.1:${String(taken)}`, port: taken, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
