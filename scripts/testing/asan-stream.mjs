// @ts-check
/**
 * A small program that a sanitizer build of the addon has to live through: a streamed request, an abort, a close in
 * mid-decode, and two Node environments that exit in mid-decode. LLAMAESTRO_ADDON_UNDER_TEST names the addon. Closes
 * with `N passed, N failed`; what the sanitizer finds at the end shows in the exit status.
 */
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { rootDir } from '../lib/paths.mjs';
import { makeModels, scriptedSentence } from '../make-models/index.mjs';
import { closingLine } from './counts.mjs';

const dist = pathToFileURL(path.join(rootDir, 'dist', 'engine', 'index.js')).href;
const { createNativeDriver, generate } = await import(dist);
const driver = createNativeDriver(process.env.LLAMAESTRO_ADDON_UNDER_TEST);

if (isMainThread) await runAll();
else await decodeUntilTold(workerData.file);

async function runAll() {
  const models = path.join(rootDir, '.cache', 'models');
  const talk = await oneModel(models, 'scripted');
  const endless = await oneModel(models, 'tiny');
  const counts = { passed: 0, failed: 0, skipped: 0 };
  /** @type {[string, () => Promise<void>][]} */
  const checks = [
    ['a streamed request gives the whole sentence', () => streamSentence(talk)],
    ['an aborted request ends as cancelled', () => abortInStream(endless)],
    ['a close in mid-decode ends every sequence', () => closeInDecode(endless)],
    ['two environments exit in mid-decode', () => exitInDecode(endless)],
  ];
  for (const [name, check] of checks) {
    try {
      await check();
      counts.passed += 1;
      process.stdout.write(`ok ${name}\n`);
    } catch (error) {
      counts.failed += 1;
      process.stdout.write(`FAILED ${name}: ${error instanceof Error ? error.stack : error}\n`);
    }
  }
  process.stdout.write(`${closingLine(counts)}\n`);
  process.exitCode = counts.failed === 0 ? 0 : 1;
}

/**
 * @param {string} out
 * @param {string} only
 * @returns {Promise<string>}
 */
async function oneModel(out, only) {
  const [made] = await makeModels({ out, set: 'test', only });
  if (!made) throw new Error(`no model ${only}`);
  return made.path;
}

/** @param {string} file */
function load(file) {
  return driver.load({ file, purpose: 'generate', slots: 4, contextTokens: 8192, threads: 1 });
}

/** @param {string} file */
async function streamSentence(file) {
  const engine = await load(file);
  let text = '';
  for await (const piece of generate(engine, { prompt: { kind: 'text', text: 'Hello' }, temperature: 0 }))
    text += piece;
  await engine.close();
  if (text !== scriptedSentence('scripted')) throw new Error(`the text was "${text}"`);
}

/** @param {string} file */
async function abortInStream(file) {
  const engine = await load(file);
  const abort = new AbortController();
  const stream = generate(engine, { prompt: { kind: 'text', text: 'Hello' }, ignoreEos: true }, abort.signal);
  for await (const piece of stream) if (piece) abort.abort();
  const { reason } = await stream.result;
  await engine.close();
  if (reason !== 'cancelled') throw new Error(`it ended as ${reason}`);
}

/** @param {string} file */
async function closeInDecode(file) {
  const engine = await load(file);
  const ends = await startFour(engine);
  await engine.close();
  const reasons = await Promise.all(ends);
  if (reasons.some((reason) => reason !== 'cancelled')) throw new Error(`they ended as ${reasons.join(', ')}`);
}

/** @param {string} file */
async function exitInDecode(file) {
  const workers = [0, 1].map(() => new Worker(fileURLToPath(import.meta.url), { workerData: { file } }));
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
  const exits = workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)));
  for (const worker of workers) worker.postMessage('exit');
  const statuses = await Promise.all(exits);
  if (statuses.join(' ') !== '9 9') throw new Error(`they exited with ${statuses.join(' ')}`);
}

/** @param {string} file */
async function decodeUntilTold(file) {
  parentPort?.on('message', () => process.exit(9));
  await startFour(await load(file));
  parentPort?.postMessage('decoding');
}

/**
 * Starts four endless sequences and waits until each has shown tokens.
 * @param {any} engine
 * @returns {Promise<Promise<string>[]>} how each ends
 */
async function startFour(engine) {
  /** @type {Promise<string>[]} */
  const ends = [];
  /** @type {Promise<void>[]} */
  const flowing = [];
  for (let index = 0; index < 4; index++) {
    const prompt = { kind: 'text', text: `sequence ${index}` };
    flowing.push(
      new Promise((shown) => {
        ends.push(
          new Promise((ended) => {
            engine.submit({ prompt, ignoreEos: true }, (/** @type {any} */ event) => {
              if (event.type === 'tokens') shown();
              if (event.type === 'finished') ended(event.reason);
            });
          }),
        );
      }),
    );
  }
  await Promise.all(flowing);
  return ends;
}
