/** The addresses and credentials in what a person wrote as NATS_URL. Pure. */
import { LlamaestroError } from '../base/errors.js';

export interface NatsServers {
  /** `host:port` each, at least one. */
  readonly addresses: readonly string[];
  readonly tls: boolean;
  readonly token?: string;
  readonly user?: string;
  readonly pass?: string;
}

const DEFAULT_PORT = '4222';
const SCHEMES = ['nats:', 'tls:'];

/** The text without what stands before the last `@`: messages must not show a password. */
function withoutSecret(text: string): string {
  return text.replace(/\/\/.*@/, '//…@');
}

function parseOne(text: string): { address: string; tls: boolean; user: string; pass: string } {
  const whole = text.includes('://') ? text : `nats://${text}`;
  const url = URL.canParse(whole) ? new URL(whole) : undefined;
  if (url === undefined || url.hostname === '' || !SCHEMES.includes(url.protocol)) {
    const remedy = 'Write nats://HOST:PORT, nats://USER:PASSWORD@HOST:PORT or nats://TOKEN@HOST:PORT.';
    throw new LlamaestroError('invalid_request', `'${withoutSecret(text)}' is not the address of a bus`, { remedy });
  }
  const address = `${url.hostname}:${url.port === '' ? DEFAULT_PORT : url.port}`;
  const [user, pass] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
  return { address, tls: url.protocol === 'tls:', user, pass };
}

/** Reads one address, several separated by commas, or a list. A user without a password is a token. */
export function parseNatsServers(servers: string | readonly string[]): NatsServers {
  const texts = (typeof servers === 'string' ? servers.split(',') : servers).map((text) => text.trim());
  const parsed = texts.filter((text) => text !== '').map(parseOne);
  const [first] = parsed;
  if (first === undefined) throw new LlamaestroError('invalid_request', 'no address of a bus is given');
  const credentials =
    first.user === '' ? {} : first.pass === '' ? { token: first.user } : { user: first.user, pass: first.pass };
  return { addresses: parsed.map(({ address }) => address), tls: parsed.some(({ tls }) => tls), ...credentials };
}
