/**
 * Switches a real gateway between two profiles again and again while requests of every kind come, and counts: each request must
 * have one answer that its profile can give, and the ledger must end where it began. Knows no test runner.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { post, type GatewayProcess } from '../support/gateway.js';

export interface SoakOptions {
  /** Round trips are two. */
  readonly switches: number;
  readonly requestsPerS: number;
  /** The profile that is active, and the other one. */
  readonly profiles: readonly [string, string];
  /** Names that both profiles answer, and names that only one does. */
  readonly shared: readonly string[];
  readonly single: readonly string[];
  readonly onSwitch?: (done: number, ms: number) => void;
}

export interface SoakReport {
  readonly asked: number;
  /** By HTTP status and error code. */
  readonly outcomes: Readonly<Record<string, number>>;
  /** What must not be. */
  readonly wrong: readonly string[];
  readonly switchMs: readonly number[];
}

interface Status {
  readonly runs: Readonly<Record<'accepted' | 'completed' | 'failed' | 'cancelled' | 'running', number>>;
  readonly nodes: readonly { readonly ledger: readonly { readonly heldBytes: number }[] }[];
}

const SETTLE_TRIES = 200;
const TRY_MS = 100;

export async function soak(gateway: GatewayProcess, options: SoakOptions): Promise<SoakReport> {
  const { switches, requestsPerS, profiles, shared, single, onSwitch } = options;
  const wrong: string[] = [];
  const outcomes: Record<string, number> = {};
  const answers: Promise<void>[] = [];
  const statusNow = async (): Promise<Status> => (await (await fetch(`${gateway.url}/v1/status`)).json()) as Status;
  const heldBytes = ({ nodes }: Status): number => nodes[0]?.ledger.reduce((sum, row) => sum + row.heldBytes, 0) ?? 0;
  const names = [...shared, ...single];
  const ask = async (model: string): Promise<void> => {
    const response = await post(`${gateway.url}/v1/execute`, { task: 'Hello', model });
    const body = (await response.json()) as { error?: { code: string; message: string }; output?: { text: string } };
    const code = body.error?.code ?? 'ok';
    outcomes[`${String(response.status)} ${code}`] = (outcomes[`${String(response.status)} ${code}`] ?? 0) + 1;
    const mayBeGone = single.includes(model) && code === 'model_not_found';
    if (code !== 'ok' && !mayBeGone) wrong.push(`${model}: ${code}: ${body.error?.message ?? ''}`);
    const { text = '' } = body.output ?? {};
    // The demo models answer one sentence each; a second answer behind a first would be twice as long.
    const sentence = text.slice(0, 20);
    if (code === 'ok' && (text === '' || text.indexOf(sentence, 1) !== -1))
      wrong.push(`${model}: an answer twice: ${text}`);
  };
  const first = heldBytes(await statusNow());
  let isOver = false;
  const crowd = (async (): Promise<void> => {
    while (!isOver) {
      const model = names[answers.length % names.length] ?? 'auto';
      answers.push(ask(model).catch((error: unknown) => void wrong.push(`${model}: ${String(error)}`)));
      await pause(1000 / requestsPerS);
    }
  })();
  const switchMs: number[] = [];
  for (let done = 0; done < switches; done++) {
    const beganMs = performance.now();
    const to = profiles[(done + 1) % 2];
    const response = await post(`${gateway.url}/v1/profiles/switch`, { name: to, wait: true });
    if (response.status !== 200) wrong.push(`switch ${String(done + 1)}: ${await response.text()}`);
    switchMs.push(performance.now() - beganMs);
    onSwitch?.(done + 1, switchMs.at(-1) ?? 0);
  }
  isOver = true;
  await crowd;
  await Promise.all(answers);
  const { runs } = await statusNow();
  if (runs.running > 0) wrong.push(`${String(runs.running)} runs are still under way`);
  if (runs.completed + runs.failed + runs.cancelled !== runs.accepted)
    wrong.push(`runs do not add up: ${JSON.stringify(runs)}`);
  wrong.push(...(await ledgerFault(first, async () => heldBytes(await statusNow()), single, gateway)));
  return { asked: answers.length, outcomes, wrong, switchMs };
}

/** Models on demand that requests loaded are unloaded by command, then the ledger must be at its first value. */
async function ledgerFault(
  first: number,
  heldNow: () => Promise<number>,
  single: readonly string[],
  { url }: GatewayProcess,
): Promise<readonly string[]> {
  const { models } = (await (await fetch(`${url}/v1/status`)).json()) as {
    models: readonly { readonly name: string }[];
  };
  const resident = ['router', 'fast'];
  for (const { name } of models)
    if (!resident.includes(name) || single.includes(name)) await post(`${url}/v1/models/${name}/unload`, {});
  for (let tries = 0; tries < SETTLE_TRIES; tries++) {
    if ((await heldNow()) === first) return [];
    await pause(TRY_MS);
  }
  return [`the ledger holds ${String(await heldNow())} bytes, ${String(first)} at first`];
}
