/**
 * From bytes to operations of the client side of the core NATS protocol, however the bytes are cut. Pure: no socket, no
 * subscription, no opinion on who may do what. Memory is bounded by one control line plus one payload.
 *
 * Text is read as latin1 and written back as latin1, so that subjects in UTF-8 pass byte for byte.
 */

/** What a client says of itself; unknown fields are ignored. */
export interface ConnectOptions {
  readonly token: string;
  readonly name: string;
  readonly verbose: boolean;
  readonly echo: boolean;
  readonly headers: boolean;
  readonly noResponders: boolean;
}

export type Operation =
  | { readonly op: 'connect'; readonly options: ConnectOptions }
  | { readonly op: 'ping' }
  | { readonly op: 'pong' }
  | { readonly op: 'sub'; readonly subject: string; readonly queue: string | undefined; readonly sid: string }
  | { readonly op: 'unsub'; readonly sid: string; readonly max: number | undefined }
  | {
      readonly op: 'pub';
      readonly subject: string;
      readonly reply: string | undefined;
      /** Leading bytes of `payload` that are headers. */
      readonly headerBytes: number;
      /** May share memory with the chunk it came in. */
      readonly payload: Buffer;
    };

/** Why a connection must end, in the words a nats-server uses. */
export type Violation =
  'Unknown Protocol Operation' | 'Parser Error' | 'Maximum Control Line Exceeded' | 'Maximum Payload Violation';

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const EMPTY = Buffer.alloc(0);

interface PayloadWanted {
  readonly subject: string;
  readonly reply: string | undefined;
  readonly headerBytes: number;
  readonly totalBytes: number;
  /** Made when the payload comes in more than one chunk. */
  into: Buffer | undefined;
  filledBytes: number;
}

function sizeOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

function parseConnect(json: string): ConnectOptions | undefined {
  try {
    const fields = JSON.parse(Buffer.from(json, 'latin1').toString('utf8')) as unknown;
    if (typeof fields !== 'object' || fields === null) return undefined;
    const text = (key: string): string => {
      const value = (fields as Record<string, unknown>)[key];
      return typeof value === 'string' ? value : '';
    };
    const flag = (key: string, otherwise: boolean): boolean => {
      const value = (fields as Record<string, unknown>)[key];
      return typeof value === 'boolean' ? value : otherwise;
    };
    return {
      token: text('auth_token'),
      name: text('name').slice(0, 64),
      verbose: flag('verbose', false),
      echo: flag('echo', true),
      headers: flag('headers', false),
      noResponders: flag('no_responders', false) && flag('headers', false),
    };
  } catch {
    return undefined;
  }
}

export class ProtocolParser {
  #line: Buffer = EMPTY;
  #wanted: PayloadWanted | undefined;
  #stopped = false;

  constructor(
    private readonly limits: { readonly controlLineBytes: number; readonly payloadBytes: number },
    private readonly handle: (operation: Operation) => void,
  ) {}

  /** No operation is handled after it; may be called from within `handle`. */
  stop(): void {
    this.#stopped = true;
    this.#line = EMPTY;
    this.#wanted = undefined;
  }

  /** Handles every operation that `chunk` completes. On a violation the parser has stopped. */
  push(chunk: Buffer): Violation | undefined {
    let at = 0;
    while (at < chunk.length && !this.#stopped) {
      const next = this.#wanted === undefined ? this.#readLine(chunk, at) : this.#readPayload(chunk, at, this.#wanted);
      if (typeof next === 'string') {
        this.stop();
        return next;
      }
      at = next;
    }
    return undefined;
  }

  #readLine(chunk: Buffer, at: number): number | Violation {
    const end = chunk.indexOf(LINE_FEED, at);
    const upTo = end === -1 ? chunk.length : end;
    if (this.#line.length + upTo - at > this.limits.controlLineBytes + 1) return 'Maximum Control Line Exceeded';
    if (end === -1) {
      this.#line = Buffer.concat([this.#line, chunk.subarray(at)]);
      return chunk.length;
    }
    let text: string;
    if (this.#line.length === 0) {
      text = chunk.toString('latin1', at, end);
    } else {
      text = this.#line.toString('latin1') + chunk.toString('latin1', at, end);
      this.#line = EMPTY;
    }
    const violation = this.#takeLine(text.charCodeAt(text.length - 1) === CARRIAGE_RETURN ? text.slice(0, -1) : text);
    return violation ?? end + 1;
  }

  #takeLine(line: string): Violation | undefined {
    if (line.length > this.limits.controlLineBytes) return 'Maximum Control Line Exceeded';
    const cut = line.search(/[ \t]/);
    const verb = (cut === -1 ? line : line.slice(0, cut)).toUpperCase();
    const rest = cut === -1 ? '' : line.slice(cut + 1).trim();
    switch (verb) {
      case 'PUB':
      case 'HPUB':
        return this.#takePublish(rest.split(/[ \t]+/), verb === 'HPUB');
      case 'SUB':
        return this.#takeSubscribe(rest.split(/[ \t]+/));
      case 'UNSUB':
        return this.#takeUnsubscribe(rest.split(/[ \t]+/));
      case 'PING':
        return this.#emit({ op: 'ping' });
      case 'PONG':
        return this.#emit({ op: 'pong' });
      case 'CONNECT': {
        const options = parseConnect(rest);
        return options === undefined ? 'Parser Error' : this.#emit({ op: 'connect', options });
      }
      default:
        return 'Unknown Protocol Operation';
    }
  }

  #emit(operation: Operation): undefined {
    this.handle(operation);
    return undefined;
  }

  #takePublish(words: readonly string[], withHeaders: boolean): Violation | undefined {
    const sizes = withHeaders ? 2 : 1;
    const [subject, reply] = words;
    const totalBytes = sizeOf(words.at(-1));
    const headerBytes = withHeaders ? sizeOf(words.at(-2)) : 0;
    const named = words.length - sizes;
    if (subject === undefined || subject === '' || named < 1 || named > 2) return 'Parser Error';
    if (totalBytes === undefined || headerBytes === undefined || headerBytes > totalBytes) return 'Parser Error';
    if (totalBytes > this.limits.payloadBytes) return 'Maximum Payload Violation';
    const replyTo = named === 2 ? reply : undefined;
    this.#wanted = { subject, reply: replyTo, headerBytes, totalBytes, into: undefined, filledBytes: 0 };
    return undefined;
  }

  #takeSubscribe(words: readonly string[]): Violation | undefined {
    const [subject, second, third] = words;
    if (subject === undefined || second === undefined || words.length > 3) return 'Parser Error';
    return third === undefined
      ? this.#emit({ op: 'sub', subject, queue: undefined, sid: second })
      : this.#emit({ op: 'sub', subject, queue: second, sid: third });
  }

  #takeUnsubscribe(words: readonly string[]): Violation | undefined {
    const [sid, count] = words;
    if (sid === undefined || sid === '' || words.length > 2) return 'Parser Error';
    if (count === undefined) return this.#emit({ op: 'unsub', sid, max: undefined });
    const max = sizeOf(count);
    return max === undefined ? 'Parser Error' : this.#emit({ op: 'unsub', sid, max: max === 0 ? undefined : max });
  }

  /** Payload, then its line end. A payload that lies whole in one chunk is not copied. */
  #readPayload(chunk: Buffer, at: number, wanted: PayloadWanted): number | Violation {
    const { totalBytes } = wanted;
    if (wanted.into === undefined && chunk.length - at >= totalBytes + 2) {
      if (chunk[at + totalBytes] !== CARRIAGE_RETURN || chunk[at + totalBytes + 1] !== LINE_FEED) return 'Parser Error';
      this.#finish(wanted, chunk.subarray(at, at + totalBytes));
      return at + totalBytes + 2;
    }
    wanted.into ??= Buffer.allocUnsafe(totalBytes + 2);
    const taken = chunk.copy(wanted.into, wanted.filledBytes, at);
    wanted.filledBytes += taken;
    if (wanted.filledBytes === totalBytes + 2) {
      if (wanted.into[totalBytes] !== CARRIAGE_RETURN || wanted.into[totalBytes + 1] !== LINE_FEED)
        return 'Parser Error';
      this.#finish(wanted, wanted.into.subarray(0, totalBytes));
    }
    return at + taken;
  }

  #finish({ subject, reply, headerBytes }: PayloadWanted, payload: Buffer): void {
    this.#wanted = undefined;
    this.handle({ op: 'pub', subject, reply, headerBytes, payload });
  }
}
