/**
 * Whether something changes in a folder: a port and its implementation over the system's own watch. Says that, not what;
 * it may say it too often, and where a system cannot watch it never says it.
 */
import { watch } from 'node:fs';

/** Calls `onChange` after each change of a file in `folder`; returns how to stop. A folder that is not there is never changed. */
export type WatchFolder = (folder: string, onChange: () => void) => () => void;

export const watchFolder: WatchFolder = (folder, onChange) => {
  try {
    const watcher = watch(folder, { persistent: false }, onChange);
    // The folder went away, or the system ran out of watches.
    watcher.on('error', () => watcher.close());
    return () => watcher.close();
  } catch {
    return () => undefined;
  }
};
