/** The catalog of this installation: the user's own folder first, then the profiles that come with the program. */
import { fileURLToPath } from 'node:url';
import { createCatalog, type Catalog } from './profile/catalog.js';
import type { HomePaths } from './schema/config.js';

/** Folder of the profiles that come with the program, beside `src` and `dist`. */
const OWN_PROFILES = fileURLToPath(new URL('../profiles', import.meta.url));

export function openCatalog({ profiles, models }: Pick<HomePaths, 'profiles' | 'models'>): Catalog {
  return createCatalog({ folders: [profiles, OWN_PROFILES], modelRoots: [models] });
}
