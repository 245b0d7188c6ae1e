// Runs a model inside this process: load, stream, stop after n tokens, close.
//   node examples/stream.mjs MODEL.gguf ["prompt"] [tokens]
import { generate, loadModel } from 'llamaestro/native';

const [, , file, text = 'Once upon a time', tokens = '64'] = process.argv;
if (file === undefined) throw new Error('usage: node examples/stream.mjs MODEL.gguf ["prompt"] [tokens]');

const onProgress = (fraction) => process.stderr.write(`\rloading ${Math.round(fraction * 100)} %`);
const engine = await loadModel({ file, purpose: 'generate', contextTokens: 2048 }, { onProgress });
process.stderr.write(`\r${engine.info.name}: ${engine.memory().totalBytes} bytes\n`);

const abort = new AbortController();
engine.onStep(() => engine.stats().generatedTokens >= Number(tokens) && abort.abort());
const stream = generate(engine, { prompt: { kind: 'text', text }, ignoreEos: true }, abort.signal);
for await (const piece of stream) process.stdout.write(piece);

const { reason, usage } = await stream.result;
process.stdout.write(`\n${reason} after ${usage.completionTokens} tokens\n`);
await engine.close();
