/** The bounds of the embedded bus, by name. Payload and control line are those of a nats-server as it comes. */
export interface BrokerLimits {
  /** Longest line of the protocol, without its end. */
  readonly controlLineBytes: number;
  /** Headers and body of one message. */
  readonly payloadBytes: number;
  /** What may wait in memory for one slow connection before it is cut. */
  readonly pendingBytes: number;
  readonly subscriptionsPerConnection: number;
  readonly connections: number;
  /** Time a new connection has to say who it is. */
  readonly authMs: number;
  /** Time a connection has to take its last bytes when the bus closes. */
  readonly closeMs: number;
}

export const DEFAULT_BROKER_LIMITS: BrokerLimits = {
  controlLineBytes: 4096,
  payloadBytes: 1024 * 1024,
  pendingBytes: 8 * 1024 * 1024,
  subscriptionsPerConnection: 4096,
  connections: 256,
  authMs: 2000,
  closeMs: 1000,
};
