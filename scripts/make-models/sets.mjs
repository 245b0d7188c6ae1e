/**
 * Which models there are: sets of names, each with a recipe that returns the model as `writeGguf` takes it. The demo set is
 * the ten roles of profiles/demo.yaml; dev-sparse stands for the ten files of profiles/dev.yaml.
 */
import { architectureModel, architectureShapes } from './architectures.mjs';
import { embedderModel, rerankerModel } from './bert.mjs';
import { copierModel } from './copier.mjs';
import { devShapes } from './dev-shapes.mjs';
import { sparseModel } from './dev-sparse.mjs';
import { randomModel } from './random-weights.mjs';
import { chatModel, chatNames, scriptedModel } from './scripted.mjs';

const scripted = (name) => [name, async () => scriptedModel(name)];
const chat = (name) => [name, (dir) => chatModel(name, dir)];
const random = (name) => [name, (dir) => randomModel(name, dir)];
const demoSpeakers = ['router', 'fast', 'general', 'coder', 'reasoner', 'planner', 'critic', 'summarizer'];
const copier = ['copier', async () => copierModel()];
const judges = [
  ['embedder', embedderModel],
  ['reranker', rerankerModel],
];

/** Set name -> model name -> recipe, a function of the llama.cpp folder. */
export const sets = {
  demo: new Map([...demoSpeakers.map(scripted), ...judges]),
  test: new Map([
    scripted('scripted'),
    scripted('utf8'),
    ...chatNames.map(chat),
    random('tiny'),
    random('prefill'),
    copier,
    ...judges,
  ]),
  architectures: new Map(Object.keys(architectureShapes).map((name) => [name, async () => architectureModel(name)])),
  bench: new Map([random('15m'), random('150m')]),
  'bench-gpu': new Map([random('600m')]),
  'dev-sparse': new Map(devShapes.map((shape) => [shape.role, (dir) => sparseModel(shape, dir)])),
};

/** Where the file of a model lies under the models folder; the sparse files take the names that profiles/dev.yaml gives. */
export function fileOf(set, name) {
  const shape = set === 'dev-sparse' ? devShapes.find(({ role }) => role === name) : undefined;
  return shape === undefined ? `${set}/${name}.gguf` : `dev-sparse/${shape.source.file}`;
}
