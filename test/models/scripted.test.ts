/**
 * Scripted models, judged from the bytes of the written files with the arithmetic of the model done by hand: whatever the
 * last token was, the next ones are the sentence, then the end.
 */
import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { readGgufHeader, scriptedNames, scriptedPhrases as phrasesOf, scriptedSentence as sentenceOf } from '../../scripts/make-models/index.mjs';
import { demoModel, scriptedModel, scriptedPhrases, scriptedSentence, splitCharacterModel } from '../support/models.js';
import type { ScriptedRole } from '../support/models.js';

const roles: readonly ScriptedRole[] = [
  'router',
  'fast',
  'general',
  'coder',
  'reasoner',
  'planner',
  'critic',
  'summarizer',
];

/** Enough of a model to run it: blocks add nothing to the residual, so only the ends matter. */
interface Chain {
  readonly tokens: readonly Buffer[];
  readonly types: readonly number[];
  readonly endToken: number;
  readonly width: number;
  readonly embedding: Float32Array;
  readonly output: Float32Array;
}

async function readChain(path: string): Promise<Chain> {
  const header = await readGgufHeader(path);
  const file = await readFile(path);
  const floats = (name: string): Float32Array => {
    const tensor = header.tensors.find((candidate) => candidate.name === name);
    if (tensor === undefined) throw new Error(`no tensor ${name}`);
    const count = tensor.shape.reduce((product, extent) => product * extent, 1);
    const start = header.dataOffset + tensor.offset;
    return new Float32Array(file.buffer.slice(file.byteOffset + start, file.byteOffset + start + 4 * count));
  };
  for (const name of ['blk.0.attn_output.weight', 'blk.0.ffn_down.weight']) {
    expect(floats(name).every((weight) => weight === 0), `${name} is zero`).to.equal(true);
  }
  const tokensRaw = header.metadata.get('tokenizer.ggml.tokens')?.raw ?? Buffer.alloc(12);
  return {
    tokens: splitStrings(tokensRaw),
    types: header.metadata.get('tokenizer.ggml.token_type')?.value as number[],
    endToken: header.metadata.get('tokenizer.ggml.eos_token_id')?.value as number,
    width: header.metadata.get('llama.embedding_length')?.value as number,
    embedding: floats('token_embd.weight'),
    output: floats('output.weight'),
  };
}

/** Raw string array: element type, count, then length and bytes of each. */
function splitStrings(raw: Buffer): Buffer[] {
  const strings: Buffer[] = [];
  for (let at = 12; at < raw.length; ) {
    const length = Number(raw.readBigUInt64LE(at));
    strings.push(raw.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return strings;
}

/** Tokens by logit, best first, after `token`: RMS norm of its embedding times the output rows. */
function ranking(chain: Chain, token: number): { token: number; logit: number }[] {
  const { width, embedding, output } = chain;
  const row = embedding.subarray(token * width, (token + 1) * width);
  const scale = 1 / Math.sqrt(row.reduce((sum, x) => sum + x * x, 0) / width + 1e-5);
  const logits = chain.tokens.map((_, candidate) => ({
    token: candidate,
    logit: row.reduce((sum, x, i) => sum + x * scale * (output[candidate * width + i] ?? 0), 0),
  }));
  return logits.sort((a, b) => b.logit - a.logit);
}

function winner(chain: Chain, token: number): number {
  const [best, next] = ranking(chain, token);
  expect((best?.logit ?? 0) - (next?.logit ?? 0), 'lead of the winner').to.be.greaterThan(30);
  return best?.token ?? -1;
}

function answer(chain: Chain, lastPromptToken: number): string {
  const pieces: Buffer[] = [];
  for (let token = winner(chain, lastPromptToken); token !== chain.endToken; token = winner(chain, token)) {
    pieces.push(chain.tokens[token] ?? Buffer.alloc(0));
    expect(pieces.length).to.be.lessThan(100);
  }
  return Buffer.concat(pieces).toString('utf8').replaceAll('\u2581', ' ');
}

describe('scripted models', () => {
  for (const role of roles) {
    it(`${role} says who it is, that it is a demo, and how to use a real file`, async () => {
      const sentence = scriptedSentence(role);
      expect(sentence).to.match(new RegExp(`^This is ${role}, a demo model`));
      expect(sentence).to.include('npm start -- --model FILE.gguf');
      const chain = await readChain(await demoModel(role));
      expect(answer(chain, 3 + 'x'.charCodeAt(0))).to.equal(sentence);
    });
  }

  it('gives the sentence after every token that is not part of it', async () => {
    const chain = await readChain(await scriptedModel());
    const phraseCount = scriptedPhrases().length;
    for (let token = 0; token < chain.tokens.length - phraseCount; token++) {
      expect(answer(chain, token), `after token ${token}`).to.equal(scriptedSentence());
    }
  });

  it('begins again when the end of text is ignored', async () => {
    const chain = await readChain(await scriptedModel());
    const [end, next, third] = ranking(chain, chain.tokens.length - 1);
    expect(end?.token).to.equal(chain.endToken);
    expect(next?.token).to.equal(chain.tokens.length - scriptedPhrases().length);
    expect((next?.logit ?? 0) - (third?.logit ?? 0)).to.be.greaterThan(20);
  });

  it('has a sentence of several pieces for each name, and no two alike', () => {
    const sentences = scriptedNames.map(sentenceOf);
    expect(new Set(sentences).size).to.equal(sentences.length);
    for (const name of scriptedNames) expect(phrasesOf(name).join('')).to.equal(sentenceOf(name));
    for (const role of roles) expect(scriptedPhrases(role).length).to.be.greaterThan(10);
    expect(() => sentenceOf('gardener')).to.throw(/no script for "gardener"; there are scripted, router/);
  });

  it('cuts two characters of the utf8 model in halves', async () => {
    const chain = await readChain(await splitCharacterModel());
    expect(answer(chain, 1)).to.equal(scriptedSentence('utf8')).and.to.include('🎵').and.to.include('☃');
    expect(chain.tokens.some((token) => token.toString('utf8').includes('\ufffd'))).to.equal(true);
  });

  it('has no phrase that the tokenizer could join from two shorter tokens', async () => {
    const chain = await readChain(await demoModel('general'));
    const normal = chain.tokens.filter((_, token) => chain.types[token] === 1).map((token) => token.toString('utf8'));
    const known = new Set(normal);
    const reachable = (text: string): boolean => [...text].length === 1 || known.has(text);
    for (const phrase of normal.filter((text) => [...text].length > 1)) {
      const characters = [...phrase];
      for (let cut = 1; cut < characters.length; cut++) {
        const parts = [characters.slice(0, cut).join(''), characters.slice(cut).join('')];
        expect(parts.every(reachable), `"${phrase}" at ${cut}`).to.equal(false);
      }
    }
  });
});
