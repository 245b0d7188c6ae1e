/** A trial process that goes wrong in the way that the model's name says. Started by trial.test.ts. */
import { basename } from 'node:path';
import type { TrialRequest } from '../../src/engine/trial-messages.js';

process.once('message', ({ options }: TrialRequest) => {
  const way = basename(options.file);
  if (way === 'aborts') {
    process.stderr.write('llamaestro: llama.cpp ends this process: /a/folder/ops.c:1: GGML_ASSERT(x) failed\n', () =>
      process.abort(),
    );
  }
  if (way === 'crashes') process.kill(process.pid, 'SIGSEGV');
  if (way === 'exits') process.exit(3);
  if (way === 'hangs') for (;;);
});
process.send?.('ready');
