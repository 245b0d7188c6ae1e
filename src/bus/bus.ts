/**
 * The bus port: publish, subscribe, request. What passes the one conformance suite: `nats-bus` against the embedded broker
 * and against a real nats-server, the broker's own `local-bus` with either, and `sim-bus` for the simulator. Bodies are
 * JSON values.
 */

/** A message as a subscriber sees it. */
export interface BusMessage {
  readonly subject: string;
  /** Decoded JSON; not yet validated. */
  readonly body: unknown;
  /** Answers a request; does nothing when the sender did not ask for an answer. */
  respond(body: unknown): void;
}

export interface Subscription {
  /** Stops delivery at once. Idempotent. */
  unsubscribe(): void;
}

export interface RequestOptions {
  /** > 0; on expiry the promise rejects with `ack_timeout`. */
  readonly timeoutMs: number;
}

export interface Bus {
  /** Largest encoded body; `publish` and `request` throw `payload_too_large` (details: bytes, limitBytes) above it. */
  readonly maxPayloadBytes: number;
  /** Fire and forget, in order per connection. */
  publish(subject: string, body: unknown): void;
  /**
   * One request, one reply. Rejects with `no_host` at once when nobody listens, `ack_timeout` on expiry, the signal's
   * reason on abort.
   */
  request(subject: string, body: unknown, options: RequestOptions, signal?: AbortSignal): Promise<unknown>;
  /**
   * Calls `handler` for each message in order, without waiting for it. `subject` may hold `*` (one token) and a final
   * `>`. With `queue`, one member of the group gets each message. A throwing handler is logged, never fatal.
   */
  subscribe(subject: string, handler: (message: BusMessage) => void, queue?: string): Subscription;
  /** Resolves when everything published so far has reached the broker. */
  flush(): Promise<void>;
  /** 'lost' and 'back' as the connection goes and returns. Returns the function that removes the listener. */
  onStatus(listener: (status: 'lost' | 'back') => void): () => void;
  /** Delivers what has arrived, then closes. Idempotent. */
  close(): Promise<void>;
}
