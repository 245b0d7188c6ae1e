declare module 'koa-sse-stream' {
  import type { Middleware } from 'koa';
  import type { Transform } from 'node:stream';

  export interface SseStream extends Transform {
    sendEnd(data: { data: string; event?: string; id?: number }): void;
  }
  export default function sse(options?: { maxClients?: number; pingInterval?: number }): Middleware;
}
