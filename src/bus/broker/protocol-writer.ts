/** From messages to the bytes of the server side of the core NATS protocol. Pure. */

const LINE_END = '\r\n';
/** The whole header block, without a body, of "nobody listens". */
export const NO_RESPONDERS = Buffer.from(`NATS/1.0 503${LINE_END}${LINE_END}`, 'latin1');

export const PING = Buffer.from(`PING${LINE_END}`);
export const PONG = Buffer.from(`PONG${LINE_END}`);
export const OK = Buffer.from(`+OK${LINE_END}`);

export function infoLine(info: Readonly<Record<string, unknown>>): Buffer {
  return Buffer.from(`INFO ${JSON.stringify(info)}${LINE_END}`);
}

/** `reason` is one line without quotes. */
export function errorLine(reason: string): Buffer {
  return Buffer.from(`-ERR '${reason}'${LINE_END}`, 'latin1');
}

export interface Delivery {
  readonly subject: string;
  readonly sid: string;
  readonly reply: string | undefined;
  /** Leading bytes of `payload` that are headers; 0 makes a message without any. */
  readonly headerBytes: number;
  readonly payload: Buffer;
}

/** One MSG or HMSG in memory of its own: a slow reader must not keep the chunk alive that a message came in. */
export function messageBytes({ subject, sid, reply, headerBytes, payload }: Delivery): Buffer {
  const to = reply === undefined ? `${subject} ${sid}` : `${subject} ${sid} ${reply}`;
  const head =
    headerBytes === 0
      ? `MSG ${to} ${String(payload.length)}${LINE_END}`
      : `HMSG ${to} ${String(headerBytes)} ${String(payload.length)}${LINE_END}`;
  const bytes = Buffer.allocUnsafe(head.length + payload.length + 2);
  bytes.write(head, 0, 'latin1');
  payload.copy(bytes, head.length);
  bytes.write(LINE_END, head.length + payload.length, 'latin1');
  return bytes;
}
