/** The native driver and the generated model files, for the tests that need the real thing. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { defaultAddonPath } from '../../src/engine/addon-loader.js';
import { createNativeDriver, type NativeDriver } from '../../src/engine/native-engine.js';
import { adapterFile } from '../support/adapters.js';
import {
  chatModel,
  embedderModel,
  modelsDirectory,
  prefillModel,
  recurrentModel,
  rerankerModel,
  scriptedModel,
  scriptedSentence,
  tinyModel,
} from '../support/models.js';
import type { ContractSubject } from './contract.js';

/** The addon is built by the set-up; without it the native tests are skipped, and say so. */
export const hasAddon = existsSync(defaultAddonPath);

/** The build that a sanitizer run puts in the place of the one that people use. */
const addonUnderTest = process.env['LLAMAESTRO_ADDON_UNDER_TEST'];

export async function nativeSubject(): Promise<ContractSubject & { readonly driver: NativeDriver }> {
  mkdirSync(modelsDirectory, { recursive: true });
  const broken = join(modelsDirectory, 'broken.gguf');
  writeFileSync(broken, 'GGUF and then nothing of use');
  return {
    driver: createNativeDriver(addonUnderTest),
    files: {
      talk: await scriptedModel(),
      sentence: scriptedSentence(),
      endless: await tinyModel(),
      heavy: await prefillModel(),
      embedder: await embedderModel(),
      reranker: await rerankerModel(),
      thinker: await chatModel('thinker'),
      caller: await chatModel('caller'),
      recurrent: await recurrentModel(),
      adapters: {
        first: await adapterFile('first', await tinyModel(), { seed: 1 }),
        second: await adapterFile('second', await tinyModel(), { seed: 2, rank: 8 }),
        embedder: await adapterFile('embedder', await embedderModel(), { seed: 3 }),
      },
      broken,
    },
  };
}
