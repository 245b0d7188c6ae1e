/**
 * What `import … from 'llamaestro/native'` gets: the face of the engine room, with the addon loaded at once, so that a
 * missing or unfit one is told by the import and not by some later call. Errors of the import: `addon_missing`, whose
 * remedy is a command that builds the addon.
 */
import { createNativeDriver } from './native-engine.js';

export * from './index.js';

createNativeDriver();
