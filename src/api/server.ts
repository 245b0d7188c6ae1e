/** The HTTP server around the app: listens on loopback, closes without cutting what runs. */
import { createServer, type Server } from 'node:http';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type Koa from 'koa';
import { LlamaestroError } from '../base/errors.js';
import type { Clock } from '../base/ports.js';
import { problemOf } from './problem.js';

/** What a slow reader gets to take the rest of its answer when the server stops. */
const FLUSH_MS = 5000;
/** Above the idle time of common proxies, so that they close first. */
const KEEP_ALIVE_MS = 75_000;

export interface HttpServer {
  readonly url: string;
  /** Stops listening; resolves when the answers under way are written, or cuts them after `FLUSH_MS`. */
  close(clock: Clock): Promise<void>;
}

/**
 * Refuses, as `listen` would, a port that is taken, before anything is started for it. `listen` keeps the last word:
 * somebody may come in between.
 */
export function checkPort(host: string, port: number): Promise<void> {
  // A client that finds the probe must not keep it open.
  const probe = createTcpServer((socket) => void socket.destroy());
  return new Promise((resolve, reject) => {
    probe.once('error', (cause) => reject(cannotListen(host, port, cause)));
    probe.listen(port, host, () => probe.close(() => resolve()));
  });
}

/** `invalid_request` when the port is taken or may not be used. */
export function listen(app: Koa, host: string, port: number): Promise<HttpServer> {
  const handler = app.callback();
  const server = createServer((request, response) => void handler(request, response));
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.on('clientError', refuseMalformed);
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => reject(cannotListen(host, port, cause)));
    server.listen(port, host, () => {
      const address = server.address() as AddressInfo;
      const name = address.family === 'IPv6' ? `[${address.address}]` : address.address;
      resolve({ url: `http://${name}:${String(address.port)}`, close: (clock) => close(server, clock) });
    });
  });
}

function cannotListen(host: string, port: number, cause: NodeJS.ErrnoException): LlamaestroError {
  const taken = cause.code === 'EADDRINUSE';
  const text = taken
    ? `port ${String(port)} of ${host} is in use`
    : `cannot listen on ${host}:${String(port)}: ${cause.message}`;
  const remedy = 'Choose another port with --port or LLAMAESTRO_PORT, or stop the program that uses it.';
  return new LlamaestroError('invalid_request', text, { param: 'port', remedy, cause });
}

/** What is not HTTP never reaches the app, but gets the same shape of error. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const refusal = new LlamaestroError('invalid_request', 'this is not a valid HTTP request');
  const body = JSON.stringify(problemOf(refusal.toWire()));
  const head = ['HTTP/1.1 400 Bad Request', 'Content-Type: application/problem+json', 'Connection: close'];
  socket.end([...head, `Content-Length: ${String(Buffer.byteLength(body))}`, '', body].join('\r\n'));
}

function close(server: Server, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const cut = clock.setTimer(FLUSH_MS, () => server.closeAllConnections());
    server.close(() => {
      cut.cancel();
      resolve();
    });
    server.closeIdleConnections();
  });
}
