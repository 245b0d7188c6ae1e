/** The gateway process: reads the command line, starts, stops on a signal. `npm start` runs it; so may a supervisor. */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { LlamaestroError, toLlamaestroError } from './base/errors.js';
import { createLogger } from './base/log.js';
import { systemClock } from './base/system-ports.js';
import { startGateway, type Choice } from './gateway.js';
import { readGatewayConfig, type GatewayConfig } from './schema/config.js';

/** What running requests get after SIGTERM before they are interrupted; a supervisor must wait longer. */
const DRAIN_MS = 30_000;
/** Exit code of a start that the user can correct. */
const EXIT_REFUSED = 78; // EX_CONFIG of sysexits

const USAGE = `node dist/main.js [--host H] [--port N] [--profile NAME|PATH | --model FILE [--context N] [--slots N]]`;

function whole(name: string, text: string | undefined, minimum: number, maximum: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= minimum && value <= maximum) return value;
  const range = `a whole number from ${String(minimum)} to ${String(maximum)}`;
  throw new LlamaestroError('invalid_request', `--${name} must be ${range}, got '${text}'`, { param: name });
}

/** A wrong option is the caller's mistake, not ours. */
function parse<T extends Record<string, { readonly type: 'string' }>>(options: T): Partial<Record<keyof T, string>> {
  try {
    return parseArgs({ options }).values as Partial<Record<keyof T, string>>;
  } catch (cause) {
    throw new LlamaestroError('invalid_request', (cause as Error).message, { remedy: `Usage: ${USAGE}`, cause });
  }
}

function readArguments(config: GatewayConfig): { config: GatewayConfig; choice: Choice } {
  const text = { type: 'string' } as const;
  const options = { host: text, port: text, profile: text, model: text, context: text, slots: text };
  const values = parse(options);
  const contextTokens = whole('context', values.context, 1, 2 ** 24);
  const slots = whole('slots', values.slots, 1, 256);
  if (values.profile !== undefined && values.model !== undefined) {
    throw new LlamaestroError('invalid_request', '--profile and --model exclude each other', { param: 'model' });
  }
  if (values.model === undefined && (contextTokens !== undefined || slots !== undefined)) {
    const message = '--context and --slots belong to --model';
    throw new LlamaestroError('invalid_request', message, { remedy: 'A profile says context and slots per model.' });
  }
  const model =
    values.model === undefined
      ? undefined
      : {
          file: values.model,
          ...(contextTokens === undefined ? {} : { contextTokens }),
          ...(slots === undefined ? {} : { slots }),
        };
  return {
    config: { ...config, host: values.host ?? config.host, port: whole('port', values.port, 0, 65_535) ?? config.port },
    choice: {
      ...(values.profile === undefined ? {} : { profile: values.profile }),
      ...(model === undefined ? {} : { model }),
    },
  };
}

function refuse(thrown: unknown): never {
  const error = toLlamaestroError(thrown);
  process.stderr.write(`${error.message}\n${error.remedy}\n`);
  process.exit(EXIT_REFUSED);
}

async function main(): Promise<void> {
  const { config, choice } = readArguments(readGatewayConfig());
  const log = createLogger({ level: config.logLevel });
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  const gateway = await startGateway(config, choice, version, log);
  let signals = 0;
  const hurry = new AbortController();
  const onSignal = (): void => {
    signals++;
    if (signals > 1) return hurry.abort();
    log.info('stopping: no new runs, those under way may finish', { drainMs: DRAIN_MS });
    systemClock.setTimer(DRAIN_MS, () => hurry.abort());
    void gateway.stop(hurry.signal).then(() => {
      log.flush();
      process.exit(0);
    });
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}

main().catch(refuse);
