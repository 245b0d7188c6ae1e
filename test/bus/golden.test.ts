/**
 * One file per message of version 1, with examples as they were sent when the version was made. Every later build must
 * still read them: a failing test here means that an older host and a newer gateway no longer understand each other.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import type * as t from 'io-ts';
import { LlamaestroError } from '../../src/base/errors.js';
import * as messages from '../../src/schema/bus-messages.js';
import { decode } from '../../src/schema/decode.js';
import { MemoryPlanCodec } from '../../src/schema/load.js';

const FOLDER = new URL('golden/', import.meta.url);
const { replyOf } = messages;
const CODECS: Readonly<Record<string, t.Mixed>> = {
  gen: messages.GenCodec,
  'gen-reply': replyOf(messages.GenAckCodec),
  tokenize: messages.TokenizeCodec,
  'tokenize-reply': replyOf(messages.TokenizedCodec),
  embed: messages.EmbedCodec,
  'embed-reply': replyOf(messages.EmbeddedCodec),
  rerank: messages.RerankCodec,
  'rerank-reply': replyOf(messages.RerankedCodec),
  plan: messages.PlanCodec,
  'plan-reply': replyOf(MemoryPlanCodec),
  bundle: messages.BundleCodec,
  'host-command': messages.HostCommandCodec,
  'host-command-reply': replyOf(messages.AckCodec),
  'host-event': messages.HostEventCodec,
  'node-command': messages.NodeCommandCodec,
  'spawned-reply': replyOf(messages.SpawnedCodec),
  'devices-reply': replyOf(messages.DevicesCodec),
  'hosts-reply': replyOf(messages.HostsCodec),
  'node-event': messages.NodeEventCodec,
};

function examplesOf(name: string): Record<string, unknown>[] {
  return JSON.parse(readFileSync(new URL(`${name}.json`, FOLDER), 'utf8')) as Record<string, unknown>[];
}

/** `value` with a field no version knows in every object, however deep. */
function withExtras(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withExtras);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).map(([key, inner]) => [key, withExtras(inner)] as const);
  return { ...Object.fromEntries(fields), fieldOfTomorrow: { any: ['thing'] } };
}

describe('bus messages of version 1', () => {
  it('have a golden file each, and each file a message', () => {
    const files = readdirSync(FOLDER).map((file) => file.replace('.json', ''));
    expect(files.sort()).to.deep.equal(Object.keys(CODECS).sort());
  });

  for (const [name, codec] of Object.entries(CODECS)) {
    it(`reads every '${name}'`, () => {
      const examples = examplesOf(name);
      expect(examples).to.not.be.empty;
      for (const example of examples) {
        expect(decode(codec, example)).to.deep.equal(example);
        expect(() => decode(codec, withExtras(example)), 'fields may be added inside a version').to.not.throw();
        for (const wrong of [null, [], 'text', { ...example, v: 2, op: 'dance', ok: 'yes', rid: 7, prompt: 7 }]) {
          if (!codec.is(wrong)) expect(() => decode(codec, wrong)).to.throw(LlamaestroError);
        }
      }
    });
  }

  it('shows every command, every state and every frame', () => {
    const seen = (name: string, key: string): unknown[] => [...new Set(examplesOf(name).map((one) => one[key]))];
    expect(seen('host-command', 'op')).to.have.members(
      messages.HostCommandCodec.types.map((one) => one.props.op.value),
    );
    expect(seen('node-command', 'op')).to.have.members(
      messages.NodeCommandCodec.types.map((one) => one.props.op.value),
    );
    const frames = examplesOf('bundle').flatMap((bundle) => bundle['frames'] as { type: string }[]);
    expect([...new Set(frames.map(({ type }) => type))]).to.have.members(
      messages.FrameCodec.types.map((one) => one.props.type.value),
    );
  });
});
