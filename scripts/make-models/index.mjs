/** The face of this folder for TypeScript and other scripts; types in index.d.mts. */
export { defaultLlamaCppDir, makeModels, setNames } from './make.mjs';
export { scriptedNames, scriptedPhrases, scriptedSentence } from './scripted.mjs';
