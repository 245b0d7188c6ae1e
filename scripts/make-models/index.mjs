/** The face of this folder for TypeScript and other scripts; types in index.d.mts. */
export { devShapes } from './dev-shapes.mjs';
export { kv, tensorBytes } from './gguf-format.mjs';
export { readGgufHeader } from './gguf-reader.mjs';
export { writeGguf } from './gguf-writer.mjs';
export { defaultLlamaCppDir, makeModels, setNames } from './make.mjs';
export { randomModel } from './random-weights.mjs';
export { scriptedNames, scriptedPhrases, scriptedSentence } from './scripted.mjs';
export { borrowedVocabulary } from './vocabulary.mjs';
