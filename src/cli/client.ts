/** HTTP to the gateway, errors as they are everywhere else. Exit code 2 means that nothing answers. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { isErrorCode, LlamaestroError } from '../base/errors.js';
import type { GatewayConfig } from '../schema/config.js';

/** Where the gateway of this home was started, if `npm start` did it; else where the configuration says. */
export function defaultUrl(config: GatewayConfig): string {
  try {
    const record = JSON.parse(readFileSync(config.paths.pidFile, 'utf8')) as { readonly url?: unknown };
    if (typeof record.url === 'string') return record.url;
  } catch {
    // No record, or none that can be read: the configuration decides.
  }
  return `http://${config.host}:${String(config.port)}`;
}

/** The base URL given to the program, or its default. */
export function urlOf(command: Command): string {
  return String(command.optsWithGlobals()['url']);
}

interface ProblemBody {
  readonly error?: { readonly code?: unknown; readonly message?: unknown };
  readonly remedy?: unknown;
}

async function ask(url: string, path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(new URL(path, url), init);
  } catch (cause) {
    const remedy = 'Start it with "npm start", or give --url.';
    throw new LlamaestroError('no_host', `no server answers at ${url}`, { remedy, cause });
  }
}

/** What the events of a stream carry, as they come; ends with it, however it ends. */
export async function* streamed(url: string, path: string): AsyncGenerator<unknown> {
  const { body } = await ask(url, path, {});
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for await (const chunk of body ?? []) {
      const blocks = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const data = /^data: (\{.*)$/m.exec(block)?.[1];
        if (data !== undefined) yield JSON.parse(data) as unknown;
      }
    }
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    // The connection broke: whoever reads sees that the last event did not come.
  }
}

/** The JSON answer of a route. `no_host` when nothing listens; otherwise the server's own error. */
export async function call(url: string, path: string, body?: unknown, method?: 'DELETE'): Promise<unknown> {
  const init =
    body === undefined
      ? { method: method ?? 'GET' }
      : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const response = await ask(url, path, init);
  const answer = (await response.json()) as ProblemBody;
  if (response.ok) return answer;
  const code = answer.error?.code;
  throw new LlamaestroError(
    isErrorCode(code) ? code : 'internal',
    String(answer.error?.message ?? response.statusText),
    {
      ...(typeof answer.remedy === 'string' ? { remedy: answer.remedy } : {}),
    },
  );
}
